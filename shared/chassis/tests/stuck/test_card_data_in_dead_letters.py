import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from chassis.stuck.dead_letter import DeadLetter, dead_letter
from contracts.message import Reason
from contracts.reasons import CARD_NUMBER, Unreadable
from contracts.record import Headers
from contracts.wire import decode

NUMBER = b"4111111111111111"
ORDER = (("ce_specversion", b"1.0"), ("ce_type", b"OrderPlaced"), ("ce_id", b"1"), ("ce_source", b"web"))
OF_AN_ORDER = {"channel": "web", "number": "1001", "payment_token": NUMBER.decode()}


@dataclass
class Record:
    topic: str = "order.intake"
    partition: int = 0
    offset: int = 7
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b'{"payment_token": "%s"}' % NUMBER
    headers: Headers = ()


def reasons_against(record: Record) -> tuple[Reason, ...]:
    with pytest.raises(Unreadable) as unreadable:
        decode(record)
    return unreadable.value.reasons


def assert_withheld(record: Record) -> None:
    """The dead letter has no body, and whoever shows it knows why."""
    reasons, now = reasons_against(record), datetime(2026, 1, 5, tzinfo=UTC)
    letter = dead_letter(record, "order", reasons, now)
    assert letter.value is None
    assert all(NUMBER not in value for _, value in letter.headers)
    assert CARD_NUMBER in {reason.code for reason in DeadLetter.of(record, reasons, now).reasons}


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
    assert_withheld(Record(value=body, headers=ORDER))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ORDER[:-1],
        (*ORDER, ("ce_id", b"2")),
        (*ORDER[1:], ("ce_specversion", b"0.3")),
        (*ORDER[2:], ORDER[0], ("ce_type", b"order.placed")),
        (*ORDER[2:], ORDER[0], ("ce_type", b"CancelOrder")),
    ],
    ids=["no headers", "no source", "an id twice", "another version", "no such type", "another type"],
)
def test_card_data_is_found_behind_wrong_headers(headers: Headers) -> None:
    assert_withheld(Record(value=json.dumps(OF_AN_ORDER).encode(), headers=headers))


@pytest.mark.parametrize(
    "body",
    [
        b'{"channel": "web", "payment_token": "4111 1111 1111 1111",}',
        b'{"payment_token": "4111111111111111", "payment_token": "tok_ok"',
        b'{"payment_token" :\n "4111-1111-1111-1111"',
        b'{"payment_token": 4111111111111111,}',
        b"{'channel': 'web', 'payment_token': '4111111111111111'}",
        b"channel=web&payment_token=4111111111111111&total=500",
        b"<payment_token>4111111111111111</payment_token>",
        b'\xff{"payment_token": "4111111111111111"}',
        b'[{"payment_token": "4111111111111111"}]',
        b'{"payment_token": 4111111111111111}',
        b'{"payment": {"payment_token": "4111111111111111"}}',
        b'{"payment_token": "4111111111111111", "lines": [%s]}' % b",".join([b"1"] * 20_001),
    ],
)
def test_card_data_is_found_where_a_token_should_stand_in_whatever_cannot_be_read(body: bytes) -> None:
    assert_withheld(Record(value=body, headers=ORDER))


@pytest.mark.parametrize(
    "body",
    [
        b'{"payment_token": "tok_ok",}',
        b'{"payment_token": "4111111111111112",}',
        b'{"payment_token": "41111111111111110000",}',
        b'{"payment_token": "tok_4111111111111111",}',
        b'{"number": "4111111111111111",}',
        b"payment_token",
        b"",
    ],
)
def test_a_body_that_cannot_be_read_and_holds_no_card_data_is_kept(body: bytes) -> None:
    record = Record(value=body, headers=ORDER)
    letter = dead_letter(record, "order", reasons_against(record), datetime(2026, 1, 5, tzinfo=UTC))
    assert letter.value == body


@pytest.mark.parametrize(
    "pattern", [b"payment_token", b"payment_token1", b"payment_token " + b"1" * 13 + b",", b"1 ", b" ", b'"', b"\xff"]
)
def test_a_hostile_body_is_searched_for_card_data_in_one_go(pattern: bytes) -> None:
    body = b'{"payment_token": ' + pattern * (1_000_000 // len(pattern))
    begun = time.process_time()
    assert reasons_against(Record(value=body, headers=ORDER[:-1]))
    assert time.process_time() - begun < 1
