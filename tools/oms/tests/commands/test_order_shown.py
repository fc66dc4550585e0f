"""What an order looks like for people."""

from typing import Any

import pytest
from oms.commands import order


@pytest.mark.parametrize(
    ("asked", "what"),
    [("OrderPlaced", "placing"), ("CancelOrder", "cancellation"), ("CompensateOrder", "compensation")],
)
def test_the_names_that_others_give_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], asked: str, what: str
) -> None:
    happening = {
        "at": "2026-01-05T12:00:00Z",
        "heard": "CancelOrder",
        "source": "Ada [/ops]",
        "detail": "Ada [/ops]: too late",
        "said": ["OrderCancelled"],
    }
    found: dict[str, Any] = {
        "order_id": "web:1",
        "revision": 1,
        "status": "cancelled",
        "reasons": [{"path": "", "code": "requested", "message": "asked for by Ada [/ops]"}],
        "parcels": [{"location": "LON", "carrier": "Parcels [/b]", "tracking_number": "[red]7"}],
        "refused": {
            "at": "2026-01-05T12:00:00Z",
            "request": asked,
            "revision": 1,
            "by": "Ada [/ops]",
            "reason": {"path": "reason", "code": "string_too_long", "message": "this is too long"},
        },
        "timeline": [happening],
    }

    order.show(found)

    said = " ".join(capsys.readouterr().out.split())  # where a line ends is a matter of the terminal
    assert said.count("Ada [/ops]") == 4
    assert f"refused was a {what} of revision 1, by Ada [/ops]: this is too long (string_too_long)" in said
    assert "parcel from LON: Parcels [/b] [red]7" in said
