"""What may be placed, what is refused, and what is told to whoever placed it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from chassis.testing.stage import NOON, Rehearsal
from contracts.inventory import ReserveStock, StockReleased
from contracts.message import Message
from contracts.order import (
    CancellationRefused,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderValidated,
    PlacementRefused,
)
from contracts.payment import PaymentDeclined
from contracts.reasons import Unreadable
from contracts.wire import decode
from order.state import MalformedCancellation, Order, Refusal
from order.validation import read, salvage
from order.view import StatusChange

Placed = Callable[..., OrderPlaced]
ID = "web:1001"


@dataclass
class Record:
    """A record as a channel writes it."""

    value: bytes
    headers: list[tuple[str, bytes]] = field(
        default_factory=lambda: [
            ("ce_specversion", b"1.0"),
            ("ce_type", b"OrderPlaced"),
            ("ce_id", b"1"),
            ("ce_source", b"shop"),
        ]
    )
    topic: str = "order.intake"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


def json_of(order: OrderPlaced, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field, well-formed or not
    return order.model_dump(mode="json", exclude_unset=True) | changes


def salvaged(fields: dict[str, Any], type_: bytes = b"OrderPlaced") -> Message | None:
    record = Record(json.dumps(fields).encode())
    record.headers[1] = ("ce_type", type_)
    with pytest.raises(Unreadable) as caught:
        decode(record)
    return salvage(record, caught.value.reasons)


def codes(said: tuple[Message, ...]) -> dict[str, str]:
    """By path, the codes of the reasons for which the one order was rejected."""
    (rejected,) = said
    assert isinstance(rejected, OrderRejected)
    return {reason.path: reason.code for reason in rejected.reasons}


def rejected(stage: Rehearsal, placed: Placed, revision: int = 1) -> None:
    names = {"order_id": ID, "revision": revision, "attempt": 1}
    stage.take(placed(revision=revision), PaymentDeclined(**names, code="lost_card", message=""))
    stage.take(StockReleased(**names, location="LON", lines=()))
    assert stage.documents[Order.key_of(ID)].model_dump()["status"] == "rejected"


# What makes no sense.


def test_a_total_that_does_not_add_up_is_rejected(stage: Rehearsal, placed: Placed) -> None:
    (said,) = stage.take(placed(total=1749))
    assert isinstance(said, OrderRejected)
    (reason,) = said.reasons
    assert (reason.path, reason.code) == ("total", "total_mismatch")
    assert reason.message == "the lines and the shipping charge come to 1750, not to 1749"


def test_a_discount_that_does_not_divide_is_told_in_two_lines_of_one_item(stage: Rehearsal, placed: Placed) -> None:
    lines = (OrderLine(sku="MUG", quantity=2, unit_price=467), OrderLine(sku="MUG", quantity=1, unit_price=466))
    validated, *_ = stage.take(placed(lines=lines, total=1700))
    assert isinstance(validated, OrderValidated)
    assert validated.total == 1700


def test_more_units_than_a_message_can_count_are_rejected(stage: Rehearsal, placed: Placed) -> None:
    lines = (OrderLine(sku="PIN", quantity=10_000_000, unit_price=0), OrderLine(sku="PIN", quantity=1, unit_price=0))
    assert codes(stage.take(placed(lines=lines, total=300))) == {"lines": "too_many_units"}


def test_all_reasons_are_told_at_once_each_with_its_path(stage: Rehearsal, placed: Placed) -> None:
    fields = json_of(placed(), currency="ZZZ", surprise=1)
    fields["shipping_address"]["country"] = "XX"
    fields["lines"][1] |= {"quantity": 0, "unit_price": -1}
    message = salvaged(fields)
    assert message is not None
    assert codes(stage.take(message)) == {
        "currency": "invalidcurrency",
        "surprise": "extra_forbidden",
        "shipping_address.country": "country_alpha2",
        "lines[1].quantity": "greater_than_equal",
        "lines[1].unit_price": "greater_than_equal",
    }


def test_a_field_that_is_named_like_a_header_is_told_like_any_other(stage: Rehearsal, placed: Placed) -> None:
    message = salvaged(json_of(placed(), ce_id="x"))
    assert message is not None
    assert codes(stage.take(message)) == {"ce_id": "extra_forbidden"}


def test_a_wrong_total_is_told_together_with_what_is_wrong_elsewhere(stage: Rehearsal, placed: Placed) -> None:
    fields = json_of(placed(), total=1)
    fields["billing_address"]["country"] = "XX"
    message = salvaged(fields)
    assert message is not None
    assert codes(stage.take(message)) == {"billing_address.country": "country_alpha2", "total": "total_mismatch"}


def test_an_order_without_lines_has_nothing_to_ship(stage: Rehearsal, placed: Placed) -> None:
    message = salvaged(json_of(placed(), lines=[], total=300))
    assert message is not None
    assert codes(stage.take(message)) == {"lines": "nothing_to_ship"}


def test_lines_that_are_all_malformed_are_not_called_missing(stage: Rehearsal, placed: Placed) -> None:
    message = salvaged(json_of(placed(), lines=[{"sku": "MUG", "quantity": "2", "unit_price": 1}]))
    assert message is not None
    assert codes(stage.take(message)) == {"lines[0].quantity": "int_type"}


# What cannot be read.


def test_a_revision_that_cannot_be_read_is_told_as_one_more_reason(stage: Rehearsal, placed: Placed) -> None:
    message = salvaged(json_of(placed(), revision="two"))
    assert message is not None
    assert codes(stage.take(message)) == {"revision": "int_type"}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"channel": "web"}',
        b'{"channel": "web", "number": 1001}',
        b'{"channel": "WEB!", "number": "1001"}',
        b'{"channel": "web", "number": "1001", "lines": ' + b"[" * 100_000,
        b'{"channel": "web", "number": "1001", "total": ' + b"9" * 5000 + b"}",
        b'{"channel": "web", "number": "' + b"1" * 2_000_000 + b'"}',
        b'\xff{"channel": "web", "number": "1001"}',
    ],
)
def test_what_does_not_say_which_order_it_is_becomes_a_dead_letter(value: bytes) -> None:
    record = Record(value)
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert salvage(record, caught.value.reasons) is None


@pytest.mark.parametrize("changes", [{}, {"quantity": 1}, {"total": -1}], ids=["good", "unknown field", "bad field"])
@pytest.mark.parametrize("twice", ['"number": "1000"', '"channel": "pos"', '"revision": 2, "revision": 1'])
def test_what_says_twice_which_order_it_is_becomes_a_dead_letter(
    placed: Placed, changes: dict[str, Any], twice: str
) -> None:
    value = json.dumps(json_of(placed(), **changes))
    record = Record(f"{{{twice}, {value[1:]}".encode())
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert salvage(record, caught.value.reasons) is None


def test_wrong_headers_make_a_dead_letter_of_a_good_order(placed: Placed) -> None:
    record = Record(json.dumps(json_of(placed())).encode(), headers=[("ce_type", b"OrderPlaced")])
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert salvage(record, caught.value.reasons) is None


def test_a_malformed_order_whose_id_nobody_could_pass_on_becomes_a_dead_letter(placed: Placed) -> None:
    """The id of what is answered goes with the answer, and so would make that one unreadable, too."""
    record = Record(json.dumps(json_of(placed(), total=-1)).encode())
    record.headers[2] = ("ce_id", b"a\r\nb")
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert salvage(record, caught.value.reasons) is None


@pytest.mark.parametrize(
    "value",
    [
        b'{"channel": "web", "number": "1001", "reason": "why", "requested_by": "Ada"}',
        b'{"order_id": "1001", "reason": "why", "requested_by": "Ada"}',
        b'{"order_id": "web:1000", "order_id": "web:1001", "reason": "why", "requested_by": "Ada"}',
        b'{"order_id": "web:1001"',
    ],
)
def test_a_cancellation_that_does_not_say_of_which_order_becomes_a_dead_letter(value: bytes) -> None:
    record = Record(value)
    record.headers[1] = ("ce_type", b"CancelOrder")
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert salvage(record, caught.value.reasons) is None


def test_an_order_read_from_json_is_refused_with_the_reasons_of_all_its_parts(placed: Placed) -> None:
    fields = json_of(placed(), total=1, payment_token="")
    with pytest.raises(Unreadable) as caught:
        read(json.dumps(fields).encode())
    assert [reason.path for reason in caught.value.reasons] == ["payment_token", "total"]
    assert read(json.dumps(json_of(placed())).encode()) == placed()


# What cannot be read of a cancellation.


@pytest.mark.parametrize(
    ("changes", "path", "code", "asked"),
    [
        ({"reason": "x" * 201}, "reason", "string_too_long", "Ada"),
        ({"reason": "wrong\nsize"}, "reason", "string_pattern_mismatch", "Ada"),
        ({"requested_by": None}, "requested_by", "string_type", "web"),
        ({"requested_by": "", "reason": 7}, "reason", "string_type", "web"),
        ({"channel": "web"}, "channel", "extra_forbidden", "Ada"),
    ],
)
def test_a_malformed_cancellation_is_refused_for_what_is_wrong_with_it(
    stage: Rehearsal, placed: Placed, changes: dict[str, Any], path: str, code: str, asked: str
) -> None:
    stage.take(placed())
    wish = {"order_id": ID, "reason": "wrong size", "requested_by": "Ada"} | changes
    message = salvaged(wish, b"CancelOrder")
    assert message is not None
    (refused,) = stage.take(message)
    assert isinstance(refused, CancellationRefused)
    assert (refused.order_id, refused.revision, refused.requested_by) == (ID, 1, asked)
    assert (refused.reason.path, refused.reason.code) == (path, code)
    order = stage.get(Order, ID)
    assert order is not None
    assert (order.status, order.ending) == ("reserving", None)
    assert order.refused == Refusal(at=NOON, request="CancelOrder", revision=1, by=asked, reason=refused.reason)


def test_a_cancellation_that_names_two_people_is_refused_to_the_channel() -> None:
    record = Record(b'{"order_id": "web:1001", "reason": "wrong size", "requested_by": "Ada", "requested_by": "Ben"}')
    record.headers[1] = ("ce_type", b"CancelOrder")
    with pytest.raises(Unreadable) as caught:
        decode(record)
    message = salvage(record, caught.value.reasons)
    assert isinstance(message, MalformedCancellation)
    assert (message.order_id, message.requested_by) == (ID, "web")
    assert [reason.code for reason in message.reasons] == ["duplicate_key"]


def test_a_malformed_cancellation_of_an_order_that_nobody_placed_is_refused(stage: Rehearsal) -> None:
    message = salvaged({"order_id": ID}, b"CancelOrder")
    assert message is not None
    (refused,) = stage.take(message)
    assert isinstance(refused, CancellationRefused)
    assert (refused.revision, refused.reason.path, refused.requested_by) == (1, "reason", "web")
    assert stage.get(Order, ID) is None


# Placing again.


def test_the_same_order_twice_is_one_order(stage: Rehearsal, placed: Placed) -> None:
    stage.take(placed())
    assert stage.take(placed()) == ()


def test_other_content_under_the_same_revision_is_refused_and_the_order_goes_on(
    stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    (refused,) = stage.take(placed(special_instructions="leave it at the door"))
    assert isinstance(refused, PlacementRefused)
    assert (refused.revision, refused.reason.code) == (1, "other_content")
    order = stage.get(Order, ID)
    assert order is not None
    assert (order.placed, order.status, order.version) == (placed(), "reserving", 2)
    assert order.refused == Refusal(at=NOON, request="OrderPlaced", revision=1, by="web", reason=refused.reason)


def test_a_rejected_order_is_placed_again_as_its_next_revision_and_starts_afresh(
    stage: Rehearsal, placed: Placed
) -> None:
    rejected(stage, placed)
    before = stage.get(Order, ID)
    stage.advance(timedelta(hours=1))
    said = stage.take(placed(revision=2))
    assert [type(message).__name__ for message in said] == ["OrderValidated", "ReserveStock", "AuthorizePayment"]
    assert all(message.model_dump()["revision"] == 2 for message in said)
    order = stage.get(Order, ID)
    assert order is not None
    assert before is not None
    assert (order.received_ms, order.version) == (before.received_ms, before.version + 1)
    (earlier,) = order.earlier
    assert (earlier.revision, earlier.reasons[0].code) == (1, "payment_declined")
    assert (order.status, order.ending, len(order.timeline)) == ("reserving", None, 1)


def test_an_order_that_could_not_be_read_is_corrected_with_the_next_revision(stage: Rehearsal, placed: Placed) -> None:
    malformed = salvaged(json_of(placed(), currency="ZZZ"))
    assert malformed is not None
    stage.take(malformed)
    assert stage.take(malformed) == ()
    (refused,) = stage.take(placed())
    assert isinstance(refused, PlacementRefused)
    said = stage.take(placed(revision=2))
    assert isinstance(said[0], OrderValidated)


def test_another_malformed_order_under_the_same_revision_is_refused(stage: Rehearsal, placed: Placed) -> None:
    for currency, expected in (("ZZZ", OrderRejected), ("QQQ", PlacementRefused)):
        message = salvaged(json_of(placed(), currency=currency))
        assert message is not None
        (said,) = stage.take(message)
        assert type(said) is expected


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [({"revision": "2"}, "revision", "int_type"), ({"revision": 2, "total": -1}, "total", "greater_than_equal")],
)
def test_a_malformed_placing_of_a_known_order_is_refused_for_what_is_wrong_with_it(
    stage: Rehearsal, placed: Placed, changes: dict[str, Any], path: str, code: str
) -> None:
    stage.take(placed())
    message = salvaged(json_of(placed(), **changes))
    assert message is not None
    (refused,) = stage.take(message)
    assert isinstance(refused, PlacementRefused)
    assert (refused.reason.path, refused.reason.code) == (path, code)
    order = stage.get(Order, ID)
    assert order is not None
    assert order.placed == placed()


def test_a_refusal_is_told_live_as_of_when_it_was_refused(stage: Rehearsal, placed: Placed) -> None:
    stage.take(placed())
    stage.now += timedelta(seconds=7)
    stage.take(placed(special_instructions="leave it at the door"))
    order = stage.get(Order, ID)
    assert order is not None
    change = StatusChange.of(order)
    assert (change.status, change.heard, change.version) == ("reserving", "OrderPlaced", 2)
    assert change.at == NOON + timedelta(seconds=7)


def test_a_fresh_start_forgets_what_was_refused_before_it(stage: Rehearsal, placed: Placed) -> None:
    stage.take(placed(), placed(revision=2))
    order = stage.get(Order, ID)
    assert order is not None
    assert order.refused is not None
    assert (order.refused.revision, order.refused.reason.code) == (2, "still_running")
    rejected(stage, placed)
    stage.take(placed(revision=2))
    order = stage.get(Order, ID)
    assert order is not None
    assert order.refused is None


@pytest.mark.parametrize("revision", [2, 5])
def test_an_unknown_order_starts_with_its_first_revision(stage: Rehearsal, placed: Placed, revision: int) -> None:
    (refused,) = stage.take(placed(revision=revision))
    assert isinstance(refused, PlacementRefused)
    assert (refused.revision, refused.reason.code) == (revision, "out_of_turn")
    assert stage.get(Order, ID) is None


@pytest.mark.parametrize(("revision", "code"), [(1, "out_of_turn"), (3, "still_running"), (4, "out_of_turn")])
def test_a_revision_out_of_turn_is_refused(stage: Rehearsal, placed: Placed, revision: int, code: str) -> None:
    rejected(stage, placed)
    stage.take(placed(revision=2))
    (refused,) = stage.take(placed(revision=revision))
    assert isinstance(refused, PlacementRefused)
    assert (refused.revision, refused.reason.code) == (revision, code)


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_only_a_rejected_order_is_placed_again(stage: Rehearsal, placed: Placed, end: str) -> None:
    stage.take(placed())
    order = stage.get(Order, ID)
    assert order is not None
    stage.documents[order.key] = order.but(status=end)
    (refused,) = stage.take(placed(revision=2))
    assert isinstance(refused, PlacementRefused)
    assert refused.reason.code == f"already_{end}"


def test_a_rejected_order_remembers_only_its_latest_revisions(stage: Rehearsal, placed: Placed) -> None:
    for revision in range(1, 31):
        stage.take(placed(revision=revision, total=1))
    order = stage.get(Order, ID)
    assert order is not None
    assert [earlier.revision for earlier in order.earlier] == list(range(10, 30))
    assert not any(isinstance(message, ReserveStock) for message in stage.take(placed(revision=30, total=1)))
