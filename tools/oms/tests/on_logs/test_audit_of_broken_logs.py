"""Each kind of damage, done to a log that was whole, is found, and named by the place where it shows."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from chassis.kafka.partitioner import home_of
from contracts.fulfillment import OrderPacked
from contracts.inventory import (
    ConfigureItem,
    GoodsLine,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    ReserveStock,
    StockReceived,
    StockReleased,
    StockReserved,
    StockTransferred,
    TransferStock,
)
from contracts.message import Message, Reason
from contracts.order import (
    CancelOrder,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderValidated,
    PlacementRefused,
)
from contracts.payment import PaymentAuthorized, PaymentCaptured, PaymentRefunded, PaymentVoided
from contracts.record import Record
from oms.audit.auditor import Judged, Verdict

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Judge = Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]
Place = Callable[..., OrderPlaced]
DECLINED = {"payment_token": "tok_declined_lost_card"}


@pytest.fixture
async def whole(stage: Callable[[int], Stage], placed: Place) -> Stage:
    """Two orders that were completed, one whose card was declined, one that was cancelled."""
    shop = stage(7)
    shop.stock("LON", 9, "MUG", "TEA")
    await shop.settle()
    shop.send(placed("1", units=2, skus=("MUG", "TEA")))
    shop.send(placed("2"))
    shop.send(placed("3", **DECLINED))
    shop.send(placed("4", special_instructions="[simulate: nobody picks]"))
    await shop.settle()
    shop.send(CancelOrder(order_id="web:4", reason="no longer wanted", requested_by="Ada"))
    await shop.settle()
    return shop


@pytest.fixture
def checks(judge: Judge) -> Callable[[Iterable[Record]], dict[str, list[str]]]:
    """What is found in a log: by check, the places."""

    def found(log: Iterable[Record]) -> dict[str, list[str]]:
        by_check: dict[str, list[str]] = {}
        for finding in judge(list(log))[0].findings:
            by_check.setdefault(finding.check, []).append(finding.place)
        return by_check

    return found


Checks = Callable[[Iterable[Record]], dict[str, list[str]]]


@pytest.fixture
def wrong_movements(judge: Judge) -> Callable[[Iterable[Record]], list[tuple[str, str]]]:
    """What is found of movements of stock in a log: where, and what."""

    def found(log: Iterable[Record]) -> list[tuple[str, str]]:
        findings = judge(list(log))[0].findings
        return [(finding.place, finding.what) for finding in findings if finding.about.startswith("movement")]

    return found


Movements = Callable[[Iterable[Record]], list[tuple[str, str]]]


async def transfer(shop: Stage) -> None:
    """Send three mugs to Manchester."""
    lines = (GoodsLine(sku="MUG", quantity=3),)
    shop.send(TransferStock(movement_id="transfer-1", location="LON", to_location="MAN", lines=lines))
    await shop.settle()


def record_of(shop: Stage, model: type[Message], order_id: str = "") -> Record:
    """The first record of this type that is about the order."""
    return next(
        record for record in shop.of_type(model) if not order_id or f'"{order_id}"'.encode() in (record.value or b"")
    )


def without(log: Sequence[Record], *gone: Record) -> list[Record]:
    return [record for record in log if record not in gone]


def changed(log: Sequence[Record], record: Record, old: bytes, new: bytes) -> list[Record]:
    """The log with other words in the body of one record."""
    assert old in (record.value or b"")
    other = replace(record, value=(record.value or b"").replace(old, new))
    return [other if one == record else one for one in log]


def said_once_more(log: Sequence[Record], record: Record, old: bytes = b"", new: bytes = b"") -> list[Record]:
    """The log with one more message like that record, written later by the same source."""
    headers = dict(record.headers)
    source = headers["ce_source"]
    part = [one for one in log if (one.topic, one.partition) == (record.topic, record.partition)]
    of_link = [dict(one.headers) for one in part if dict(one.headers)["ce_source"] == source]
    later = {
        **headers,
        "ce_id": source + b"/999999/0",
        "ce_sequence": b"%d" % (max(int(one["ce_sequence"]) for one in of_link) + 1),
    }
    value = (record.value or b"").replace(old, new) if old else record.value
    return [*log, replace(record, offset=len(part), headers=tuple(later.items()), value=value)]


async def test_finds_nothing_before_the_damage_is_done(whole: Stage, judge: Judge) -> None:
    verdict, _ = judge(whole.log)

    assert verdict.findings == []
    assert verdict.orders == Counter(completed=2, rejected=1, cancelled=1)


async def test_finds_a_lost_message(whole: Stage, checks: Checks) -> None:
    lost = record_of(whole, StockReserved, "web:1")
    later = next(
        r for r in whole.log if (r.topic, r.partition) == (lost.topic, lost.partition) and r.offset > lost.offset
    )

    assert later.place in checks(without(whole.log, lost))["links"]


async def test_finds_stock_that_was_reserved_in_another_quantity(whole: Stage, checks: Checks) -> None:
    reserved = record_of(whole, StockReserved, "web:1")

    found = checks(changed(whole.log, reserved, b'"quantity":2', b'"quantity":3'))

    assert found["stock"]


async def test_finds_stock_that_stays_set_aside_for_a_cancelled_order(whole: Stage, checks: Checks) -> None:
    found = checks(without(whole.log, record_of(whole, StockReleased, "web:4")))

    assert record_of(whole, StockReserved, "web:4").place in found["stock"]


async def test_finds_a_delivery_that_vanished(whole: Stage, judge: Judge) -> None:
    verdict, _ = judge(without(whole.log, record_of(whole, StockReceived)))

    assert any(found.check == "stock" for found in verdict.findings)
    assert [one.state for one in verdict.waiting if one.about == "LON"] == ["not taken"]


async def test_finds_a_delivery_that_is_booked_twice(whole: Stage, wrong_movements: Movements) -> None:
    log = said_once_more(whole.log, record_of(whole, StockReceived))

    assert wrong_movements(log) == [(log[-1].place, "the message here books a movement for the second time")]


async def test_takes_a_delivery_for_one_that_is_published_again(whole: Stage, wrong_movements: Movements) -> None:
    booked = record_of(whole, StockReceived)
    again = replace(booked, offset=max(r.offset for r in whole.log if r.topic == booked.topic) + 1)

    assert wrong_movements([*whole.log, again]) == []


async def test_finds_a_delivery_that_nobody_sent(whole: Stage, wrong_movements: Movements) -> None:
    found = wrong_movements(without(whole.log, record_of(whole, ReceiveStock)))

    booked = record_of(whole, StockReceived)
    assert found == [(booked.place, "the message here answers a movement that nobody asked for")]


async def test_finds_a_delivery_that_is_booked_in_another_quantity(whole: Stage, wrong_movements: Movements) -> None:
    asked = record_of(whole, ReceiveStock)

    found = wrong_movements(changed(whole.log, asked, b'"quantity":9', b'"quantity":8'))

    booked = record_of(whole, StockReceived)
    assert found == [(booked.place, "the message here books something else than the movement was asked for")]


async def test_finds_a_transfer_that_brings_more_than_left(whole: Stage, wrong_movements: Movements) -> None:
    await transfer(whole)
    assert wrong_movements(whole.log) == []
    asked, booked = record_of(whole, ReceiveTransfer), whole.of_type(StockReceived)[-1]
    log = changed(whole.log, asked, b'"quantity":3', b'"quantity":5')

    found = wrong_movements(changed(log, booked, b'"quantity":3', b'"quantity":5'))

    assert found == [(asked.place, "the message here brings something else than left the other location")]


async def test_finds_a_transfer_that_is_refused_where_it_arrives(whole: Stage, wrong_movements: Movements) -> None:
    """A book does that which would count more units of an item than it can."""
    await transfer(whole)
    asked, booked = record_of(whole, ReceiveTransfer), whole.of_type(StockReceived)[-1]
    refusal = MovementRefused(
        movement_id=json.loads(asked.value or b"")["movement_id"],
        location="MAN",
        reasons=(Reason(path="lines[0].quantity", code="too_many", message="it is full"),),
    )
    headers = {**dict(booked.headers), "ce_type": MovementRefused.__name__.encode()}
    refused = replace(booked, headers=tuple(headers.items()), value=refusal.model_dump_json().encode())
    log = [refused if record == booked else record for record in whole.log]

    assert wrong_movements(log) == [
        (asked.place, "the message here brings what left the other location, and is refused: it is nowhere now")
    ]


async def test_names_what_left_and_is_not_on_its_way(whole: Stage, judge: Judge) -> None:
    await transfer(whole)
    on_its_way = [record_of(whole, ReceiveTransfer), whole.of_type(StockReceived)[-1]]

    verdict, _ = judge(without(whole.log, *on_its_way))

    departed = record_of(whole, StockTransferred).place
    assert [(one.about, one.why) for one in verdict.waiting] == [
        ("MAN", f"what left by transfer-1 should have been sent on to MAN and was not yet: {departed}")
    ]


async def test_finds_nothing_where_movements_come_twice_or_share_an_id(whole: Stage, judge: Judge) -> None:
    sent = ReceiveStock(movement_id="d-1", location="LON", lines=(GoodsLine(sku="CUP", quantity=3),))
    for movement in (sent, sent, sent.model_copy(update={"reference": "other"}), sent):
        whole.send(movement)
    await whole.settle()

    verdict, _ = judge(whole.log)

    assert whole.of_type(MovementRefused)
    assert (verdict.findings, verdict.waiting) == ([], [])


async def test_finds_a_movement_that_was_passed_over(whole: Stage, judge: Judge) -> None:
    taken = record_of(whole, ReceiveStock)
    unheard = replace(taken, offset=-1, value=(taken.value or b"").replace(b"delivery-1", b"delivery-0"))

    verdict, _ = judge([unheard, *whole.log])

    assert [(found.check, found.place) for found in verdict.findings] == [("delivery", unheard.place)]
    assert verdict.waiting == []


async def test_finds_an_order_that_was_completed_with_other_items(whole: Stage, checks: Checks) -> None:
    """As many units of something else are set aside and issued, in every message about it."""
    of_it = [r for r in whole.log if r.topic.startswith("inventory.") and b'"web:1"' in (r.value or b"")]

    log = [replace(r, value=(r.value or b"").replace(b"TEA", b"MUG")) if r in of_it else r for r in whole.log]

    assert record_of(whole, OrderCompleted, "web:1").place in checks(log)["stock"]


async def test_finds_a_second_capture(whole: Stage, checks: Checks) -> None:
    captured = record_of(whole, PaymentCaptured, "web:2")

    found = checks(said_once_more(whole.log, captured, b'"capture_id":"sim', b'"capture_id":"another'))

    assert len(found["money"]) == 2  # the second capture, and the end at which too much was taken


async def test_takes_a_capture_that_is_told_again_for_one(whole: Stage, checks: Checks) -> None:
    found = checks(said_once_more(whole.log, record_of(whole, PaymentCaptured, "web:2")))

    assert "money" not in found


async def test_takes_a_capture_for_one_that_a_version_tells_again_which_does_not_name_it(
    whole: Stage, checks: Checks
) -> None:
    captured = record_of(whole, PaymentCaptured, "web:2")
    name = b',"capture_id":"%s"' % json.loads(captured.value or b"")["capture_id"].encode()
    nameless = replace(captured, value=(captured.value or b"").replace(name, b""))
    log_of_before = [nameless if record == captured else record for record in whole.log]

    assert nameless != captured
    assert "money" not in checks(said_once_more(whole.log, captured, name, b""))
    assert "money" not in checks(said_once_more(log_of_before, nameless, b"}", name + b"}"))


async def test_finds_a_capture_of_too_little(whole: Stage, checks: Checks) -> None:
    captured = record_of(whole, PaymentCaptured, "web:2")

    found = checks(changed(whole.log, captured, b'"amount":500', b'"amount":499'))

    assert record_of(whole, OrderCompleted, "web:2").place in found["money"]


async def test_finds_money_given_back_that_was_never_taken(whole: Stage, checks: Checks) -> None:
    voided = record_of(whole, PaymentVoided, "web:4")
    body = b'{"order_id":"web:4","revision":1,"attempt":1,"amount":500,"currency":"GBP","refund_id":"r1"}'
    log = said_once_more(whole.log, voided)
    headers = {**dict(log[-1].headers), "ce_type": PaymentRefunded.__name__.encode()}
    log[-1] = replace(log[-1], value=body, headers=tuple(headers.items()))

    assert log[-1].place in checks(log)["money"]


async def test_finds_money_held_for_a_cancelled_order(whole: Stage, checks: Checks) -> None:
    found = checks(without(whole.log, record_of(whole, PaymentVoided, "web:4")))

    assert found["money"] == [record_of(whole, PaymentAuthorized, "web:4").place]


async def test_finds_an_order_that_is_completed_twice(whole: Stage, checks: Checks) -> None:
    log = said_once_more(whole.log, record_of(whole, OrderCompleted, "web:1"))

    assert checks(log)["once"] == [log[-1].place]


async def test_finds_an_order_that_nobody_placed(whole: Stage, checks: Checks) -> None:
    found = checks(without(whole.log, record_of(whole, OrderPlaced, "1")))

    assert found["endings"] == [record_of(whole, OrderValidated, "web:1").place]
    assert record_of(whole, OrderValidated, "web:1").place in found["decisions"]


async def test_finds_what_the_order_service_should_not_have_said(whole: Stage, checks: Checks) -> None:
    confirmed = record_of(whole, OrderConfirmed, "web:1")

    found = checks(changed(whole.log, confirmed, b'"quantity":2', b'"quantity":1'))

    assert confirmed.place in found["decisions"]


async def test_finds_what_the_order_service_was_sent_and_passed_over(whole: Stage, judge: Judge, placed: Place) -> None:
    taken = record_of(whole, OrderPlaced, "2")
    number = next(str(n) for n in count(100) if home_of(f"web:{n}", 2) == taken.partition)
    unheard = replace(taken, offset=-1, key=None, value=placed(number).model_dump_json().encode())

    verdict, _ = judge([unheard, *whole.log])

    assert [(found.check, found.place) for found in verdict.findings] == [("delivery", unheard.place)]
    assert [(one.about, one.state) for one in verdict.waiting] == [(f"web:{number}", "placed")]


async def test_lets_what_came_last_wait_to_be_taken(whole: Stage, judge: Judge, placed: Place) -> None:
    whole.send(placed("5"))

    verdict, _ = judge(whole.log)

    assert verdict.findings == []
    assert {(one.about, one.state) for one in verdict.waiting} == {("web:5", "placed"), ("web:5", "not taken")}


async def test_names_what_each_order_waits_for_wherever_the_log_is_cut(whole: Stage, judge: Judge) -> None:
    ends = {OrderCompleted, OrderRejected, OrderCancelled}
    for cut in range(len(whole.log)):
        log = whole.log[:cut]
        placed = {dict(r.headers)["ce_id"] for r in log if dict(r.headers)["ce_type"] == b"OrderPlaced"}
        ended = sum(dict(r.headers)["ce_type"].decode() in {end.__name__ for end in ends} for r in log)

        verdict, _ = judge(log)

        waiting = {one.about for one in verdict.waiting if one.about.startswith("web:")}
        assert len(waiting) == len(placed) - ended
        assert all(one.why for one in verdict.waiting)


async def test_names_what_an_order_waits_for_of_which_another_placing_was_refused(
    stage: Callable[[int], Stage], judge: Judge, placed: Place
) -> None:
    shop = stage(7)
    shop.send(ConfigureItem(location="MAN", sku="MUG"))
    await shop.settle()
    shop.send(placed("1", allow_backorder=True))
    await shop.settle()
    shop.send(placed("1", units=2, allow_backorder=True))
    await shop.settle()
    assert shop.of_type(PlacementRefused)

    [waiting] = judge(shop.log)[0].waiting

    assert (waiting.about, waiting.state) == ("web:1", "backordered")
    assert waiting.why.startswith("waits at MAN until")


async def test_an_order_that_goes_on_without_a_silent_location_is_not_undoing(
    stage: Callable[[int], Stage], judge: Judge, placed: Place
) -> None:
    shop = stage(7)
    shop.stop("inventory")
    shop.send(placed("1"))
    await asyncio.sleep(shop.policy.reserve_within.total_seconds() + 60)
    assert shop.of_type(ReleaseStock)

    [waiting] = judge(shop.log)[0].waiting

    assert (waiting.about, waiting.state) == ("web:1", "validated")


async def test_finds_a_record_sent_to_the_wrong_partition_and_never_sent_on(
    whole: Stage, judge: Judge, placed: Place
) -> None:
    key = next(f"{n}" for n in count(100) if home_of(f"web:{n}", 2) == 0)
    whole.send(placed(key), partition=1)
    number = next(f"{n}" for n in count(200) if home_of(f"web:{n}", 2) == 1)
    whole.send(placed(number))
    await whole.settle()
    assert judge(whole.log)[0].findings == []
    [sent_on] = [record for record in whole.log if "forwarded_from" in dict(record.headers)]

    verdict, _ = judge(without(whole.log, sent_on))

    assert ("delivery", f"web:{key}") in {(found.check, found.about) for found in verdict.findings}


async def test_finds_a_message_of_a_service_that_cannot_be_read(whole: Stage, checks: Checks) -> None:
    packed = record_of(whole, OrderPacked, "web:1")

    found = checks(changed(whole.log, packed, b'"revision":1', b'"revision":0'))

    assert packed.place in found["messages"]


async def test_finds_a_stranger_on_a_topic_that_one_service_writes(whole: Stage, checks: Checks) -> None:
    packed = record_of(whole, OrderPacked, "web:1")
    headers = {**dict(packed.headers), "ce_source": b"somebody"}
    stranger = replace(packed, offset=99, headers=tuple(headers.items()))

    assert stranger.place in checks([*whole.log, stranger])["messages"]


async def test_finds_a_stranger_who_writes_a_header_without_a_value(whole: Stage, checks: Checks) -> None:
    reserve = record_of(whole, ReserveStock, "web:1")
    headers: dict[str, bytes | None] = {**dict(reserve.headers), "ce_source": b"somebody", "ce_correlationid": None}
    stranger = replace(reserve, offset=99, headers=tuple(headers.items()))  # type: ignore[arg-type] # Kafka lets null be

    assert stranger.place in checks([*whole.log, stranger])["messages"]


async def test_counts_dead_letters_by_reason_and_blames_nobody_for_what_channels_send(
    whole: Stage, judge: Judge
) -> None:
    for body in (b"{", b"[1,2", b'{"total": NaN}'):
        whole.send_raw(OrderPlaced, body, "web:9")
    await whole.settle()

    verdict, _ = judge(whole.log)

    assert verdict.findings == []
    assert sum(verdict.dead_letters.values()) == 3
    assert all(cause.topic == "order.intake" and verdict.examples[cause] for cause in verdict.dead_letters)


async def test_finds_what_could_not_be_read_and_did_not_become_a_dead_letter(
    whole: Stage, judge: Judge, placed: Place
) -> None:
    whole.send_raw(OrderPlaced, b"{", "web:9")
    whole.send(placed(next(f"{n}" for n in count(100) if home_of(f"web:{n}", 2) == home_of("web:9", 2))))
    await whole.settle()
    lost = [record for record in whole.log if record.topic.endswith(".dead-letter")]

    verdict, _ = judge(without(whole.log, *lost))

    assert [found.check for found in verdict.findings] == ["delivery"]


@pytest.mark.parametrize("code", ["bug", "failed"])
async def test_finds_a_bug_by_its_dead_letter_and_lets_its_order_wait(
    whole: Stage, judge: Judge, placed: Place, code: str
) -> None:
    number = next(f"{n}" for n in count(100) if home_of(f"web:{n}", 2) == 0)
    record = whole.send(placed(number))
    why = json.dumps([{"path": "", "code": code, "message": "KeyError: x"}]).encode()
    headers = (*record.headers, ("dead_letter_reasons", why), ("dead_letter_from", record.place.encode()))
    buried = replace(record, topic="order.intake.dead-letter", offset=0, headers=headers)

    verdict, _ = judge([*whole.log, buried, replace(buried, offset=1)])

    assert [(found.check, found.place) for found in verdict.findings] == [("dead letters", record.place)]
    assert sum(verdict.dead_letters.values()) == 1  # published twice, counted once


async def test_names_movements_that_are_not_booked_yet(whole: Stage, judge: Judge) -> None:
    whole.stock("LON", 3, "CUP")

    verdict, _ = judge(whole.log)

    assert verdict.findings == []
    place = whole.of_type(ReceiveStock)[-1].place
    assert [(one.about, one.why) for one in verdict.waiting] == [
        ("LON", f"ReceiveStock delivery-2 should have been booked and was not yet: {place}")
    ]
