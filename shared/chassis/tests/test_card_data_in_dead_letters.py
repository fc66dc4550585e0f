import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from chassis.dead_letter import DeadLetter, dead_letter
from contracts.message import Reason
from contracts.wire import CARD_NUMBER, Headers, Unreadable, decode

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


@pytest.mark.parametrize("wrong_lines", [1, 20, 120])
def test_card_data_is_found_behind_any_number_of_other_reasons(wrong_lines: int) -> None:
    lines = [{"sku": "A", "quantity": "two", "unit_price": 1}] * wrong_lines
    body = json.dumps({"lines": lines, "payment_token": NUMBER.decode()}).encode()
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"OrderPlaced"), ("ce_id", b"1"), ("ce_source", b"web"))
    record = Record(value=body, headers=headers)
    with pytest.raises(Unreadable) as unreadable:
        decode(record)
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert dead_letter(record, "order", unreadable.value.reasons, now).value is None
    assert CARD_NUMBER in {reason.code for reason in DeadLetter.of(record, unreadable.value.reasons, now).reasons}
