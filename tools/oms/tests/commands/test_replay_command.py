from datetime import UTC, datetime

import pytest
from oms.commands.replay import _moment


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-01-05 12:00:00.534", datetime(2026, 1, 5, 12, 0, 0, 534_999, UTC)),
        ("2026-01-05T12:00:00,5Z", datetime(2026, 1, 5, 12, 0, 0, 599_999, UTC)),
        ("2026-01-05T12:00:00.534567", datetime(2026, 1, 5, 12, 0, 0, 534_567, UTC)),
        ("2026-01-05T13:00:00.534567891+01:00", datetime(2026, 1, 5, 12, 0, 0, 534_567, UTC)),
        ("2026-01-05T12:00:00", datetime(2026, 1, 5, 12, 0, 0, 999_999, UTC)),
        ("2026-01-05T12:00", datetime(2026, 1, 5, 12, 0, 0, 999_999, UTC)),
        ("2026-01-05", datetime(2026, 1, 5, 0, 0, 0, 999_999, UTC)),
    ],
)
def test_a_time_with_fewer_digits_than_an_order_was_changed_at_means_all_of_its_last_digit(
    text: str, end: datetime
) -> None:
    assert _moment(text) == end
