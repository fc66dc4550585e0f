from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.dead_letter import dead_letter
from contracts.message import Reason
from contracts.wire import Headers

NUMBER = b"4111111111111111"


@dataclass
class Record:
    topic: str = "order.intake"
    partition: int = 0
    offset: int = 7
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b'{"payment_token": "%s"}' % NUMBER
    headers: Headers = ()


def test_card_data_is_not_copied_to_the_dead_letters() -> None:
    reason = Reason(path="payment_token", code="card_number", message="this is written like a card number")
    letter = dead_letter(Record(), "order", [reason], datetime(2026, 1, 5, tzinfo=UTC))
    assert letter.value is None
    assert all(NUMBER not in value for _, value in letter.headers)


def test_any_other_body_is_kept_as_it_came() -> None:
    reason = Reason(path="total", code="missing", message="Field required")
    assert dead_letter(Record(), "order", [reason], datetime(2026, 1, 5, tzinfo=UTC)).value == Record.value
