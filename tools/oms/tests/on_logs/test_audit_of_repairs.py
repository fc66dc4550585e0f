"""What people had put right, the audit finds right; what nobody has dealt with, it does not."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import chassis.engine.reading
import chassis.testing.world
import pytest
from chassis.kafka.partitioner import home_of
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.document import Stuck
from chassis.stuck.parking import Parked
from contracts.fulfillment import OrderPicked
from contracts.inventory import Adjustment, AdjustStock, IssueStock, ReceiveStock
from contracts.message import Message, Reason
from contracts.order import (
    CancelOrder,
    CompensateOrder,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRepairRefused,
    OrderShipped,
    OrderTurnedBack,
    OrderValidated,
    RetryStep,
    SkipStep,
)
from contracts.payment import AuthorizePayment, CapturePayment, PaymentAuthorized
from contracts.reasons import Unreadable
from contracts.record import Received, Record
from contracts.repair import DropDeadLetter, ReleaseParked, RetryDeadLetter
from contracts.shipping import CreateShipment
from contracts.topics import REPAIRS
from contracts.wire import Envelope, decode
from fulfillment.decide import NOBODY_PICKS
from oms.audit.auditor import Judged, Verdict
from oms.audit.stored import compare_order
from oms.history.replay import Replayer

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Judge = Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]
Place = Callable[..., OrderPlaced]
S = TypeVar("S", bound=Stuck)
WHO: dict[str, Any] = {"by": "kim", "reason": "fixed in 1.4.1"}
ASKED: dict[str, Any] = {"order_id": "web:1", "requested_by": "kim", "reason": "fixed in 1.4.1"}
UNTIL_IT_FAILED_S = 60.0
ROOM = chassis.testing.world.LIMITS.under_way_max_documents


@pytest.fixture
async def shop(stage: Callable[[int], Stage]) -> Stage:
    made = stage(7)
    made.stock("LON", 9, "MUG")
    await made.settle()  # no order comes before its goods
    return made


@pytest.fixture
def found(judge: Judge, replayer: Replayer) -> Callable[[Stage], list[str]]:
    """By which checks something is found on the log."""
    return lambda shop: sorted({finding.check for finding in judge(shop.log)[0].findings})


Found = Callable[[Stage], list[str]]


def stuck_in(shop: Stage, service: str, model: type[S]) -> S:
    (one,) = [one for one in shop.documents[service].values() if isinstance(one, model) and one.open]
    return one


def release(shop: Stage, service: str, repair_id: str) -> None:
    parked = stuck_in(shop, service, Parked)
    request = ReleaseParked(repair_id=repair_id, service=service, partition=parked.partition, place=parked.place, **WHO)
    shop.send(request)


def unable_to_read(model: type[Message]) -> Callable[[Received], Envelope]:
    """What a version does that knows one type of messages too few."""

    def read(record: Received) -> Envelope:
        envelope = decode(record)
        if isinstance(envelope.message, model):
            raise Unreadable((Reason(path="ce_type", code="unknown_type", message="this version cannot read it"),))
        return envelope

    return read


async def test_a_step_that_failed_by_a_bug_goes_on_when_it_is_released_in_a_fixed_version(
    shop: Stage, placed: Place, found: Found
) -> None:
    shop.upgrade("payment", fails_on=AuthorizePayment)
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    assert found(shop) == ["dead letters"]

    shop.upgrade("payment")
    release(shop, "payment", "r-1")
    await shop.settle()

    assert shop.of_type(OrderCompleted)
    assert found(shop) == []


async def test_what_was_released_too_early_is_found_until_it_is_released_again(
    shop: Stage, placed: Place, found: Found
) -> None:
    shop.upgrade("payment", fails_on=AuthorizePayment)
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    release(shop, "payment", "r-1")
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    assert found(shop) == ["dead letters"]

    shop.upgrade("payment")
    release(shop, "payment", "r-2")
    await shop.settle()

    assert found(shop) == []


async def test_what_was_released_in_one_partition_is_still_found_in_another(shop: Stage, judge: Judge) -> None:
    shop.upgrade("inventory", fails_on=IssueStock)
    one, other = (
        shop.send(IssueStock(order_id="web:1", revision=1, attempt=1, location=location)) for location in ("L0", "LON")
    )
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    shop.upgrade("inventory")
    shop.send(ReleaseParked(repair_id="r-1", service="inventory", partition=one.partition, place="web:1", **WHO))
    await shop.settle()

    found = [finding.place for finding in judge(shop.log)[0].findings if finding.check == "dead letters"]

    assert one.partition != other.partition
    assert found == [other.place]


async def test_movements_of_a_location_that_is_parked_are_not_taken_for_passed_over(shop: Stage, judge: Judge) -> None:
    neighbour = next(f"L{n}" for n in range(99) if home_of(f"L{n}", 2) == home_of("LON", 2))
    shop.upgrade("inventory", fails_on=ReceiveStock)
    shop.stock("LON", 1, "TEA")
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    for location in ("LON", neighbour):
        lines = (Adjustment(sku="MUG", change=1),)
        shop.send(AdjustStock(movement_id="count-1", location=location, lines=lines, reason="counted"))
    await shop.settle()

    verdict, _ = judge(shop.log)

    assert [finding.check for finding in verdict.findings] == ["dead letters"]
    assert [(one.about, one.state) for one in verdict.waiting] == [("LON", "parked")]


async def test_an_order_that_was_parked_is_replayed_as_it_went_on(
    shop: Stage, placed: Place, judge: Judge, replayer: Replayer
) -> None:
    shop.upgrade("order", fails_on=PaymentAuthorized)
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    (waiting,) = judge(shop.log)[0].waiting
    assert (waiting.about, waiting.state) == ("web:1", "validated")

    shop.upgrade("order")
    release(shop, "order", "r-1")
    await shop.settle()

    verdict, judged = judge(shop.log)
    assert (verdict.findings, verdict.waiting) == ([], [])
    assert [one for order in judged for one in compare_order(order, shop.documents, replayer)] == []
    assert [(one.by, one.reason) for one in verdict.repairs] == [("kim", "fixed in 1.4.1")]


async def test_a_record_that_is_taken_out_of_its_turn_is_replayed_where_it_was_taken(
    shop: Stage, placed: Place, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.stop("fulfillment")
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    monkeypatch.setattr(chassis.engine.reading, "decode", unable_to_read(CancelOrder))
    shop.send(CancelOrder(order_id="web:1", reason="changed my mind", requested_by="Ada"))
    await asyncio.sleep(1)
    shop.send(RetryStep(repair_id="r-1", step="fulfill", **ASKED))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    monkeypatch.setattr(chassis.engine.reading, "decode", decode)
    letter = stuck_in(shop, "order", DeadLetter)
    record = {"service": "order", "partition": letter.partition, "topic": letter.topic, "offset": letter.offset}
    shop.send(RetryDeadLetter(repair_id="r-2", **record, **WHO))
    shop.upgrade("fulfillment")
    await shop.settle()

    assert shop.of_type(OrderCancelled)
    assert judge(shop.log)[0].findings == []


async def test_a_dead_letter_of_our_own_is_found_until_it_is_dropped(
    shop: Stage, placed: Place, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis.engine.reading, "decode", unable_to_read(OrderPicked))
    shop.send(placed("1"))
    await shop.settle()
    assert found(shop) == ["dead letters"]

    letter = stuck_in(shop, "order", DeadLetter)
    record = {"service": "order", "partition": letter.partition, "topic": letter.topic, "offset": letter.offset}
    shop.send(DropDeadLetter(repair_id="r-1", **record, **WHO))
    await shop.settle()

    assert found(shop) == []


@pytest.mark.parametrize(
    ("service", "step", "command", "left"),
    [("payment", "capture", CapturePayment, "money"), ("inventory", "issue", IssueStock, "stock")],
)
async def test_what_a_skipped_step_would_have_told_is_left_to_people_and_said_to_be_so(
    shop: Stage, placed: Place, judge: Judge, service: str, step: str, command: type[Message], left: str
) -> None:
    await shop.settle()
    shop.upgrade(service, fails_on=command)
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    assert shop.of_type(OrderShipped)
    assert not shop.of_type(OrderCompleted)
    shop.send(SkipStep(repair_id="r-1", step=step, **ASKED))
    await asyncio.sleep(UNTIL_IT_FAILED_S)

    assert shop.of_type(OrderCompleted)
    verdict, _ = judge(shop.log)
    assert {finding.check for finding in verdict.findings} == {"dead letters"}  # of the bug, but not of money or stock
    assert verdict.unchecked == [f"{left} of 1 orders, whose step a person took as done"]


async def test_an_order_whose_picking_a_person_took_as_done_is_stored_as_the_log_says(
    shop: Stage, placed: Place, judge: Judge, replayer: Replayer
) -> None:
    shop.send(placed("1", special_instructions=NOBODY_PICKS))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    shop.send(SkipStep(repair_id="r-1", step="fulfill", **ASKED))
    await shop.settle()

    assert shop.of_type(OrderCompleted)
    verdict, judged = judge(shop.log)
    assert (verdict.findings, verdict.waiting) == ([], [])
    assert [one for order in judged for one in compare_order(order, shop.documents, replayer)] == []


async def test_an_order_whose_picking_a_person_took_as_done_is_not_undoing_before_it_is(
    shop: Stage, placed: Place, judge: Judge
) -> None:
    shop.stop("shipping")
    shop.send(placed("1", special_instructions=NOBODY_PICKS))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    shop.send(SkipStep(repair_id="r-1", step="fulfill", **ASKED))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    [waiting] = judge(shop.log)[0].waiting
    assert (waiting.about, waiting.state) == ("web:1", "confirmed")

    shop.send(CancelOrder(order_id="web:1", reason="changed my mind", requested_by="Ada"))
    await asyncio.sleep(1)
    [waiting] = judge(shop.log)[0].waiting
    assert (waiting.about, waiting.state) == ("web:1", "undoing")

    shop.stop("fulfillment")
    shop.upgrade("shipping")
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    [waiting] = judge(shop.log)[0].waiting
    assert "CancelFulfillment of " in waiting.why


async def test_repairs_of_an_order_are_replayed_with_what_followed(
    shop: Stage, placed: Place, judge: Judge, replayer: Replayer
) -> None:
    shop.stop("fulfillment")
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    shop.send(RetryStep(repair_id="r-1", **ASKED))
    await asyncio.sleep(1)
    shop.send(CompensateOrder(repair_id="r-2", **ASKED))
    await asyncio.sleep(1)
    shop.upgrade("fulfillment")
    await shop.settle()
    shop.send(RetryStep(repair_id="r-3", **ASKED))
    shop.send(CompensateOrder(repair_id="r-4", **ASKED))
    await shop.settle()

    verdict, judged = judge(shop.log)
    assert shop.of_type(OrderCancelled)
    assert len(shop.of_type(OrderRepairRefused)) == 2
    assert (verdict.findings, verdict.waiting, verdict.unchecked) == ([], [], [])
    told = [(type(one).__name__, one.repair_id) for one in verdict.repairs]
    assert told == [
        ("StepRetried", "r-1"),
        ("OrderTurnedBack", "r-2"),
        ("OrderRepairRefused", "r-3"),
        ("OrderRepairRefused", "r-4"),
    ]
    assert [one for order in judged for one in compare_order(order, shop.documents, replayer)] == []


async def test_an_order_is_turned_back_while_so_many_wait_for_the_carrier_that_no_other_is_begun(
    shop: Stage, placed: Place, judge: Judge
) -> None:
    shop.stock("LON", 200, "TEA")
    shop.stop("shipping")
    beside = [number for number in map(str, range(1, 400)) if home_of(f"web:{number}", 2) == home_of("web:1", 2)]
    for number in beside[:ROOM]:
        shop.send(placed(number, skus=("TEA",)))
    await asyncio.sleep(2 * UNTIL_IT_FAILED_S)
    assert len(shop.of_type(CreateShipment)) == ROOM
    shop.send(placed(beside[ROOM], skus=("TEA",)))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    assert len(shop.of_type(OrderValidated)) == ROOM

    shop.send(CompensateOrder(repair_id="r-1", **ASKED))
    await asyncio.sleep(5)
    assert len(shop.of_type(OrderTurnedBack)) == 1
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    assert len(shop.of_type(OrderValidated)) == ROOM + 1  # the one that was turned back has made room
    shop.upgrade("shipping")
    await shop.settle()

    verdict, _ = judge(shop.log)
    assert (verdict.findings, verdict.waiting) == ([], [])
    assert (len(shop.of_type(OrderCancelled)), len(shop.of_type(OrderCompleted))) == (1, ROOM)


async def test_a_repair_that_comes_before_its_order_is_refused_and_may_be_asked_for_again(
    shop: Stage, placed: Place, judge: Judge, replayer: Replayer
) -> None:
    shop.stop("fulfillment")
    early = CompensateOrder(repair_id="r-1", **ASKED)
    shop.send(early)
    shop.send(placed("1"))
    await asyncio.sleep(UNTIL_IT_FAILED_S)
    (refused,) = shop.of_type(OrderRepairRefused)
    assert json.loads(refused.value or b"")["refusal"]["code"] == "unknown_order"
    shop.send(early)
    shop.upgrade("fulfillment")
    await shop.settle()

    verdict, judged = judge(shop.log)
    assert shop.of_type(OrderCancelled)
    assert (verdict.findings, verdict.waiting) == ([], [])
    assert [one for order in judged for one in compare_order(order, shop.documents, replayer)] == []


async def test_a_request_that_nobody_has_answered_waits(shop: Stage, judge: Judge) -> None:
    shop.stop("payment")
    sent = shop.send(ReleaseParked(repair_id="r-1", service="payment", partition=1, place="web:1", **WHO))
    await shop.settle()

    verdict, _ = judge(shop.log)

    assert sent.topic == REPAIRS.name
    assert [(one.about, one.state) for one in verdict.waiting] == [("ReleaseParked", "not answered")]
    assert verdict.findings == []


async def test_a_request_waits_though_another_partition_has_answered_one_of_its_name(shop: Stage, judge: Judge) -> None:
    shop.stop("payment")
    for service, partition in (("order", 0), ("order", 1), ("payment", 1)):
        shop.send(ReleaseParked(repair_id="r-1", service=service, partition=partition, place="web:1", **WHO))
    await shop.settle()

    verdict, _ = judge(shop.log)

    assert sorted((one.service, one.partition) for one in verdict.repairs) == [("order", 0), ("order", 1)]
    assert [(one.about, one.state) for one in verdict.waiting] == [("ReleaseParked", "not answered")]
