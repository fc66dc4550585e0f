import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from contracts.message import Message
from contracts.order import CancelOrder, OrderConfirmed, OrderPlaced
from contracts.payment import PaymentAuthorized
from contracts.record import Record
from contracts.wire import MOST_HEADER_CHARACTERS
from oms.history.logged import History, logged
from oms.history.replay import Replay, Replayer
from order.state import Order
from order.validation import salvage

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Place = Callable[..., OrderPlaced]


def history_of(log: Sequence[Record], order_id: str) -> History:
    history = History(order_id)
    for record in log:
        if record.topic.endswith(".dead-letter"):
            continue
        message = logged(record, salvage)
        if getattr(message.message, "order_id", "") == order_id:
            history.add(message)
    return history


def status(document: object) -> str:
    assert isinstance(document, Order)
    return document.status


def causes(replay: Replay) -> list[str]:
    return [type(step.cause.message).__name__ if step.cause else "deadline" for step in replay.transitions]


@pytest.fixture
async def completed(stage: Callable[[int], Stage], placed: Place) -> Stage:
    shop = stage(3)
    shop.stock("LON", 9, "MUG")
    await shop.settle()  # or the order may be there before the goods
    shop.send(placed("1", units=2))
    await shop.settle()
    return shop


async def test_rebuilds_each_transition_with_the_message_that_caused_it(completed: Stage, replayer: Replayer) -> None:
    replay = replayer.replay(history_of(completed.log, "web:1"))

    assert replay.differences == ()
    assert replay.untaken == ()
    assert causes(replay)[0] == "OrderPlaced"
    assert set(causes(replay)) == {
        "OrderPlaced",
        "StockReserved",
        "PaymentAuthorized",
        "OrderPicked",
        "OrderPacked",
        "ShipmentCreated",
        "PaymentCaptured",
        "StockIssued",
        "ShipmentDispatched",
        "ShipmentDelivered",
    }
    assert replay.document == replay.transitions[-1].document
    assert status(replay.document) == "completed"


async def test_knows_when_the_order_service_took_what_it_answered(completed: Stage, replayer: Replayer) -> None:
    replay = replayer.replay(history_of(completed.log, "web:1"))
    stored = completed.documents["order"]["orders/web:1"]

    first = replay.transitions[0]
    assert first.at == stored.timeline[0].at


async def test_shows_the_order_as_it_was_at_any_moment(completed: Stage, replayer: Replayer) -> None:
    replay = replayer.replay(history_of(completed.log, "web:1"))
    confirmed = next(step for step in replay.transitions if OrderConfirmed in map(type, step.said))

    assert status(replay.at(confirmed.at).document) == "fulfilling"
    assert status(replay.at(confirmed.at - timedelta(milliseconds=1)).document) == "reserving"
    assert replay.at(replay.transitions[0].at - timedelta(seconds=1)).document is None


async def test_finds_the_order_in_which_silent_inputs_were_taken(
    stage: Callable[[int], Stage], replayer: Replayer, placed: Place
) -> None:
    for seed in range(10):
        shop = stage(seed)
        shop.stock("LON", 9, "MUG")
        await shop.settle()  # or the order may be there before the goods
        shop.send(placed("1", units=2))
        await shop.settle()
        stored = shop.documents["order"]["orders/web:1"]

        replay = replayer.replay(history_of(shop.log, "web:1"))

        assert replay.differences == ()
        assert replay.document is not None
        assert replay.document.version == stored.version
        assert replay.document.tasks == stored.tasks


async def test_hears_deadlines_where_the_log_says_so(
    stage: Callable[[int], Stage], replayer: Replayer, placed: Place
) -> None:
    shop = stage(3)
    shop.stock("MAN", 1, "MUG")
    await shop.settle()  # or the order may be there before the goods
    shop.send(placed("1", units=2, allow_backorder=True))
    await shop.settle()
    await asyncio.sleep(3 * 3600)

    replay = replayer.replay(history_of(shop.log, "web:1"))

    assert replay.differences == ()
    assert "deadline" in causes(replay)
    assert status(replay.document) == "cancelled"


async def test_replays_under_the_policy_of_the_time(stage: Callable[[int], Stage], placed: Place) -> None:
    shop = stage(3)
    shop.stock("MAN", 1, "MUG")
    await shop.settle()  # or the order may be there before the goods
    shop.send(placed("1", units=2, allow_backorder=True))
    await shop.settle()
    policy_of_today = replace(
        shop.policy, routes=replace(shop.policy.routes, default=("ROT",)), backorder_within=timedelta(days=1)
    )

    replay = Replayer(policy_of_today, 2).replay(history_of(shop.log, "web:1"))

    assert replay.differences == ()


async def test_replays_each_revision_by_its_own_route(
    stage: Callable[[int], Stage], replayer: Replayer, placed: Place
) -> None:
    shop = stage(3)
    shop.stock("LON", 1, "MUG")
    shop.stock("MAN", 1, "MUG")
    await shop.settle()  # or the order may be there before the goods
    declined = placed("1", payment_token="tok_declined_stolen_card")  # noqa: S106 - a token of the simulated provider
    shop.send(declined)
    await shop.settle()
    elsewhere = declined.shipping_address.model_copy(update={"country": "FR"})
    shop.send(placed("1", revision=2, shipping_address=elsewhere.model_dump()))
    await shop.settle()

    replay = replayer.replay(history_of(shop.log, "web:1"))

    assert replay.differences == ()
    assert status(replay.document) == "completed"


@pytest.mark.parametrize("factor", [0.1, 10])
async def test_hears_a_deadline_when_it_came_whatever_deadlines_are_today(
    stage: Callable[[int], Stage], placed: Place, factor: float
) -> None:
    shop = stage(3)
    shop.stop("payment")
    shop.send(placed("1"))
    await asyncio.sleep(2 * 3600)
    then = shop.policy
    today = replace(
        then, authorize_within=then.authorize_within * factor, undo_again_after=then.undo_again_after * factor
    )

    replay = Replayer(today, 2).replay(history_of(shop.log, "web:1"))

    assert replay.differences == ()
    assert causes(replay).count("deadline") > 3


async def test_says_where_the_log_and_the_rules_part_ways_and_goes_on(completed: Stage, replayer: Replayer) -> None:
    confirmed = next(r for r in completed.log if dict(r.headers)["ce_type"] == b"OrderConfirmed")
    other = replace(confirmed, value=confirmed.value.replace(b'"quantity":2', b'"quantity":1'))
    log = [other if record == confirmed else record for record in completed.log]

    replay = replayer.replay(history_of(log, "web:1"))

    [difference] = replay.differences
    assert difference.place == confirmed.place
    assert "the log says OrderConfirmed" in difference.difference
    assert status(replay.document) == "completed"


async def test_says_that_a_cause_is_not_on_the_log(completed: Stage, replayer: Replayer) -> None:
    lost = {b"PaymentAuthorized", b"StockReserved"}
    log = [record for record in completed.log if dict(record.headers)["ce_type"] not in lost]

    replay = replayer.replay(history_of(log, "web:1"))

    assert "which is not on the log" in replay.differences[0].difference


async def test_says_what_the_order_service_has_not_taken_yet(completed: Stage, replayer: Replayer) -> None:
    completed.send(CancelOrder(order_id="web:1", reason="too late", requested_by="Ada"))

    replay = replayer.replay(history_of(completed.log, "web:1"))

    assert [type(message.message) for message in replay.untaken] == [CancelOrder]


async def test_survives_rules_that_fail(completed: Stage, replayer: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_policy: object) -> Callable[..., object]:
        def decide(*_: object) -> object:
            raise LookupError("a bug")

        return decide

    monkeypatch.setattr("oms.history.replay.decider", fails)

    replay = replayer.replay(history_of(completed.log, "web:1"))

    assert "decide raises LookupError: a bug" in replay.differences[0].difference


async def test_rebuilds_an_order_that_could_not_be_read(stage: Callable[[int], Stage], replayer: Replayer) -> None:
    shop = stage(3)
    shop.send_raw(OrderPlaced, b'{"channel": "web", "number": "7", "lines": 5}', "web:7")
    await shop.settle()

    replay = replayer.replay(history_of(shop.log, "web:7"))

    assert replay.differences == ()
    assert status(replay.document) == "rejected"


@pytest.mark.parametrize("length", [101, MOST_HEADER_CHARACTERS])
async def test_explains_an_order_that_makes_no_sense_however_long_its_id_is(
    stage: Callable[[int], Stage], replayer: Replayer, length: int
) -> None:
    shop = stage(3)
    shop.send_raw(OrderPlaced, b'{"channel": "web", "number": "7", "lines": 5}', "web:7", b"i" * length)
    await shop.settle()

    replay = replayer.replay(history_of(shop.log, "web:7"))

    assert replay.differences == ()
    assert status(replay.document) == "rejected"


async def test_goes_by_the_last_journal_of_a_service_that_was_wiped(completed: Stage, replayer: Replayer) -> None:
    def begun_anew(record: Record) -> Record:
        """What a new journal would write, having read everything again."""
        renamed = tuple((name, re.sub(rb"^(order/\d+@)[0-9a-f]+", rb"\1b2", value)) for name, value in record.headers)
        later = tuple((name, b"2026-01-06T12:00:00+00:00" if name == "ce_time" else value) for name, value in renamed)
        return replace(record, offset=record.offset + 1000, headers=later)

    said = [r for r in completed.log if dict(r.headers)["ce_source"].startswith(b"order/")]

    replay = replayer.replay(history_of([*completed.log, *map(begun_anew, said)], "web:1"))

    assert {message.envelope.source.rpartition("@")[2] for message in replay.said} == {"b2"}


def test_a_lone_answer_changes_nothing(pen: Callable[[Message], Any], replayer: Replayer) -> None:
    history = History("web:1")
    history.add(
        pen(PaymentAuthorized(order_id="web:1", revision=1, attempt=1, amount=1, currency="GBP", authorization_id="a"))
    )

    replay = replayer.replay(history)

    assert replay.document is None
    assert replay.differences == ()
