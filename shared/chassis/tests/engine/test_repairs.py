"""People put right what only they can decide: by messages, once each, and whatever dies meanwhile."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from chassis.decision import Decision, Document, Documents, Input
from chassis.ports import PositionLost
from chassis.service import Service
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked
from chassis.stuck.repair import Repair
from chassis.testing.topics import MemoryTopics
from chassis.testing.world import LIMITS, Process, World, calling
from contracts.inventory import IssueStock
from contracts.message import Message
from contracts.order import CancelOrder
from contracts.payment import PaymentVoided, VoidPayment
from contracts.record import Received
from contracts.repair import (
    AcceptGap,
    DeadLetterDropped,
    DeadLetterRetried,
    DropDeadLetter,
    GapAccepted,
    ParkedReleased,
    ReleaseParked,
    RepairCommand,
    RepairEvent,
    RepairRefused,
    RetryDeadLetter,
)
from contracts.topics import REPAIRS, TOPIC_OF
from contracts.wire import decode, link_of

RESULTS = TOPIC_OF[ParkedReleased].name
NUMBERS = count(1)


async def settle(seconds: float = 5) -> None:
    await asyncio.sleep(seconds)


def ask(world: World, model: type[RepairCommand], **fields: object) -> RepairCommand:
    """Ask for a repair of partition 0 of the service called `order`, and say what was asked."""
    asked = {
        "repair_id": f"repair-{next(NUMBERS)}",
        "service": "order",
        "partition": 0,
        "by": "kim",
        "reason": "looked into it",
        **fields,
    }
    command = model.model_validate(asked)
    world.send(command)
    return command


def answers(world: World) -> list[RepairEvent]:
    """What was answered, each answer once."""
    found: dict[object, Message] = {}
    for record in world.topics.all(RESULTS):
        found.setdefault(link_of(record), decode(record).message)
    return [message for message in found.values() if isinstance(message, RepairEvent)]


def fixed(toys: SimpleNamespace) -> Service:
    """The next version of the counter, which counts what its predecessor failed on."""
    before = toys.counter

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        if isinstance(message, CancelOrder) and message.reason.startswith("bug"):
            message = message.model_copy(update={"reason": message.reason.replace("bug", "no bug")})
        decided: Decision = before.decide(documents, message, now)
        return decided

    service: Service = toys.counter_with(decide=decide)
    return service


def heard(world: World, toys: SimpleNamespace, order_id: str) -> tuple[str, ...]:
    tally = world.read(toys.counter, toys.Tally, order_id)
    return tally.heard if tally else ()


# Releasing what is parked.


async def test_what_a_bug_stopped_goes_on_in_order_after_a_new_version_fixed_it(
    toys: SimpleNamespace, world: World
) -> None:
    old = world.start(toys.counter)
    sick, healthy = toys.orders_on(world, 0, 2)
    for reason in ("first", "bug", "behind it", "and behind that"):
        world.send(toys.ask(sick, reason))
    await settle()
    await old.stop()
    world.start(fixed(toys))
    world.send(toys.ask(healthy, "good"))
    asked = ask(world, ReleaseParked, place=sick)
    world.send(toys.ask(sick, "after it"))
    await settle()
    assert heard(world, toys, sick) == ("first", "no bug", "behind it", "and behind that", "after it")
    assert heard(world, toys, healthy) == ("good",)
    assert answers(world) == [
        ParkedReleased(
            repair_id=asked.repair_id,
            service="order",
            partition=0,
            by="kim",
            reason="looked into it",
            place=sick,
            records=3,
            parked_again=False,
        )
    ]
    parked = world.read(toys.counter, Parked, f"0/{sick}")
    assert parked is not None
    assert (parked.open, parked.records) == (False, ())


async def test_the_answer_names_the_request_as_its_cause(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    ask(world, ReleaseParked, place="shop:nobody")
    await settle()
    (answer,) = world.topics.all(RESULTS)
    (asked,) = world.topics.all(REPAIRS.name)
    assert dict(answer.headers)["ce_causationid"] == dict(asked.headers)["ce_id"]
    assert answer.partition == 0


async def test_the_log_names_the_order_that_a_repair_is_about_and_the_trace_of_the_request(
    toys: SimpleNamespace, world: World
) -> None:
    world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    with structlog.testing.capture_logs() as lines:
        asked = ask(world, ReleaseParked, place=order_id)
        ask(world, DropDeadLetter, topic="order.intake", offset=17)
        await settle()
    released, dropped = [line for line in lines if line["event"] == "a repair"]
    assert (released["order_id"], released["by"], "about" in released) == (order_id, asked.by, False)
    assert (dropped["about"], "order_id" in dropped) == ("order.intake/0/17", False)
    traces = [dict(answer.headers)["traceparent"].decode()[3:35] for answer in world.topics.all(RESULTS)]
    assert [released["trace_id"], dropped["trace_id"]] == traces


async def test_what_fails_again_is_parked_again_and_nothing_is_lost(toys: SimpleNamespace, world: World) -> None:
    old = world.start(toys.counter)
    sick = toys.orders_on(world, 0, 1)[0]
    for reason in ("bug", "behind it"):
        world.send(toys.ask(sick, reason))
    await settle()
    ask(world, ReleaseParked, place=sick)
    world.send(toys.ask(sick, "after it"))
    await settle()
    parked = world.read(toys.counter, Parked, f"0/{sick}")
    assert parked is not None
    assert (parked.open, parked.times, [one.offset for one in parked.records]) == (True, 2, [0, 1, 2])
    (answer,) = answers(world)
    assert isinstance(answer, ParkedReleased)
    assert answer.parked_again
    assert len(world.topics.all(toys.LETTERS)) == 2
    await old.stop()
    world.start(fixed(toys))
    ask(world, ReleaseParked, place=sick)
    await settle()
    assert heard(world, toys, sick) == ("no bug", "behind it", "after it")


async def test_of_two_bugs_the_second_is_parked_with_what_is_behind_it(toys: SimpleNamespace, world: World) -> None:
    old = world.start(toys.counter)
    sick = toys.orders_on(world, 0, 1)[0]
    for reason in ("bug", "behind it", "needs a bug", "last"):
        world.send(toys.ask(sick, reason))
    await settle()
    await old.stop()
    world.start(fixed(toys))
    ask(world, ReleaseParked, place=sick)
    await settle()
    assert heard(world, toys, sick) == ("no bug", "behind it")
    parked = world.read(toys.counter, Parked, f"0/{sick}")
    assert parked is not None
    assert [one.offset for one in parked.records] == [2, 3]


async def test_a_request_that_comes_twice_is_carried_out_once(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    sick = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(sick, "bug"))
    await settle()
    asked = ask(world, ReleaseParked, place=sick)
    world.send(asked)
    await settle()
    world.send(asked)
    await settle()
    assert len(world.topics.all(toys.LETTERS)) == 2
    assert len(answers(world)) == 1


async def test_what_is_not_parked_cannot_be_released(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    ask(world, ReleaseParked, place="shop:nobody")
    await settle()
    (answer,) = answers(world)
    assert isinstance(answer, RepairRefused)
    assert (answer.request, answer.refusal.code, answer.refusal.path) == ("ReleaseParked", "not_parked", "place")
    refused = world.read(toys.counter, Repair, f"0/{answer.repair_id}")
    assert refused is not None
    assert (refused.outcome, refused.by, refused.reason) == ("refused", "kim", "looked into it")


async def test_alarms_and_answers_that_came_while_it_was_parked_come_again(toys: SimpleNamespace, world: World) -> None:
    class Bank:
        @staticmethod
        async def perform(_: object) -> object:
            await asyncio.sleep(2)
            return "yes"

    old = world.start(toys.counter_with(gateway=Bank()))
    sick = toys.orders_on(world, 0, 1)[0]
    for reason in ("alarm 3", "call bank", "bug"):
        world.send(toys.ask(sick, reason))
    await settle(10)
    assert heard(world, toys, sick) == ("alarm 3", "call bank")
    await old.stop()
    world.start(calling(fixed(toys), Bank()))
    await settle(10)
    ask(world, ReleaseParked, place=sick)
    await settle(10)
    assert heard(world, toys, sick) == ("alarm 3", "call bank", "no bug", "rang", "answered yes")


async def test_an_order_whose_alarm_was_the_bug_is_released_without_a_record(
    toys: SimpleNamespace, world: World
) -> None:
    old = world.start(toys.counter)
    sick = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(sick, "deaf"))
    world.send(toys.ask(sick, "alarm 2"))
    await settle(10)
    assert f"parked/0/{sick}" in world.saved(toys.counter)

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        decided: Decision = toys.counter.decide(documents, message, now)
        return Decision(tuple(document.but(alarm=None) for document in decided.documents), decided.messages)

    await old.stop()
    world.start(toys.counter_with(decide=decide))
    ask(world, ReleaseParked, place=sick)
    await settle()
    assert heard(world, toys, sick) == ("deaf", "alarm 2", "rang")


async def test_a_release_is_carried_out_once_wherever_its_process_dies(toys: SimpleNamespace) -> None:
    deaths = 0
    for death in count():
        world = World()
        old = world.start(toys.counter)
        sick = toys.orders_on(world, 0, 1)[0]
        for reason in ("bug", "behind it"):
            world.send(toys.ask(sick, reason))
        await settle()
        await old.stop()
        dying = world.start(fixed(toys))
        await settle(0.5)
        died = die_at(dying, death)
        ask(world, ReleaseParked, place=sick)
        await settle()
        if died.is_set():
            deaths += 1
            world.start(fixed(toys))
            await settle()
        assert heard(world, toys, sick) == ("no bug", "behind it")
        assert len(answers(world)) == 1
        asked = [decode(record) for record in world.topics.all("payment.commands")]
        assert len({envelope.id for envelope in asked}) == 2
        await world.close()
        if not died.is_set():
            break
    assert deaths > 10


def die_at(process: Process, number: int) -> asyncio.Event:
    """Let the process die at this step of those that it takes from now on; says whether it did."""
    steps, died = count(), asyncio.Event()

    async def before(_: str) -> None:
        if next(steps) == number:
            died.set()
            process.crash()

    process.before = before
    return died


# Dead letters.


def unreadable(world: World, toys: SimpleNamespace, reason: str) -> tuple[str, int]:
    """Send what no version read so far: the order that it is about, and its offset."""
    order_id = toys.orders_on(world, 0, 1)[0]
    sent = world.send(toys.ask(order_id, reason), headers={"ce_type": b"PleaseCancel"})
    return order_id, len(world.topics.read(sent.topic, 0)) - 1


def that_reads_it(toys: SimpleNamespace, service: Service | None = None) -> Service:
    """The next version of the counter, which understands what its predecessor could not read."""

    def salvage(record: Received, _: object) -> Message | None:
        read: Message = toys.read_ask(record)
        return read

    return replace(service or toys.counter, salvage=salvage)


async def test_a_dead_letter_is_remembered_until_it_is_dealt_with(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    order_id, offset = unreadable(world, toys, "once")
    await settle()
    letter = world.read(toys.counter, DeadLetter, f"order.intake/0/{offset}")
    assert letter is not None
    assert (letter.open, letter.why, letter.about, letter.partition) == (True, "unknown_type", order_id, 0)


async def test_a_dead_letter_that_can_be_read_now_is_taken_as_the_same_message(
    toys: SimpleNamespace, world: World
) -> None:
    old = world.start(toys.counter)
    order_id, offset = unreadable(world, toys, "once")
    await settle()
    await old.stop()
    world.start(that_reads_it(toys))
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    assert heard(world, toys, order_id) == ("once",)
    (answer,) = answers(world)
    assert isinstance(answer, DeadLetterRetried)
    assert (answer.topic, answer.offset, answer.outcome) == ("order.intake", offset, "taken")
    (said,) = world.topics.all("payment.commands")
    assert dict(said.headers)["ce_causationid"] == b"channel-0"
    letter = world.read(toys.counter, DeadLetter, f"order.intake/0/{offset}")
    assert letter is not None
    assert not letter.open


async def test_a_message_of_a_link_is_retried_although_it_was_heard(toys: SimpleNamespace, world: World) -> None:
    old = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    first, second = (PaymentVoided(order_id=order_id, revision=1, attempt=number) for number in (1, 2))
    world.send(first, source="payment/0@aa", sequence=1, headers={"ce_specversion": b"9"})
    world.send(second, source="payment/0@aa", sequence=2)
    await settle()
    await old.stop()

    def salvage(record: Received, _: object) -> Message | None:
        return PaymentVoided.model_validate_json(record.value or b"")

    world.start(toys.counter_with(salvage=salvage))
    ask(world, RetryDeadLetter, topic="payment.events", offset=0)
    await settle()
    assert heard(world, toys, order_id) == ("voided 2", "voided 1")


async def test_a_dead_letter_that_still_cannot_be_read_is_one_again(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    _, offset = unreadable(world, toys, "once")
    await settle()
    asked = ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    world.send(asked)
    await settle()
    letter = world.read(toys.counter, DeadLetter, f"order.intake/0/{offset}")
    assert letter is not None
    assert (letter.open, letter.times) == (True, 2)
    assert len(world.topics.all(toys.LETTERS)) == 2
    (answer,) = answers(world)
    assert isinstance(answer, DeadLetterRetried)
    assert answer.outcome == "dead_letter"


async def test_a_retried_message_of_a_parked_order_waits_behind_the_others(toys: SimpleNamespace, world: World) -> None:
    old = world.start(toys.counter)
    order_id, offset = unreadable(world, toys, "was unreadable")
    world.send(toys.ask(order_id, "bug"))
    await settle()
    await old.stop()
    new = world.start(that_reads_it(toys))
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    (answer,) = answers(world)
    assert isinstance(answer, DeadLetterRetried)
    assert answer.outcome == "parked"
    await new.stop()
    world.start(that_reads_it(toys, fixed(toys)))
    ask(world, ReleaseParked, place=order_id)
    await settle()
    assert heard(world, toys, order_id) == ("no bug", "was unreadable")


async def test_what_a_full_parking_place_could_not_keep_is_retried_after_its_release(
    toys: SimpleNamespace, world: World
) -> None:
    old = world.start(toys.counter)
    sick = toys.orders_on(world, 0, 1)[0]
    noise = {"noise": b"x" * 600_000}
    for reason in ("bug", "1", "2", "3", "4"):
        world.send(toys.ask(sick, reason), headers=noise)
    await settle()
    kept = world.read(toys.counter, Parked, f"0/{sick}")
    assert kept is not None
    await old.stop()
    world.start(fixed(toys))
    ask(world, ReleaseParked, place=sick)
    for offset in range(len(kept.records), 5):
        ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    assert 1 < len(kept.records) < 5
    assert heard(world, toys, sick) == ("no bug", "1", "2", "3", "4")


async def test_many_dead_letters_that_are_retried_at_once_hold_nobody_up_for_longer_than_one(
    toys: SimpleNamespace, world: World
) -> None:
    old = world.start(toys.counter)
    letters = [unreadable(world, toys, f"letter {number}") for number in range(20)]
    await settle()
    await old.stop()
    new = world.start(that_reads_it(toys))

    async def slowly(step: str) -> None:
        if step == "read":
            await asyncio.sleep(5)

    new.before = slowly
    for _, offset in letters:
        ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    order_id = toys.orders_on(world, 0, 2)[1]
    world.send(toys.ask(order_id, "good"))
    await settle(8)  # five for Kafka, and a moment to be saved
    assert heard(world, toys, order_id) == ("good",)
    assert [answer.outcome for answer in answers(world) if isinstance(answer, DeadLetterRetried)] == ["taken"] * 20


async def test_a_dead_letter_that_kafka_does_not_give_is_left_for_another_time(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    _, offset = unreadable(world, toys, "once")
    await settle()

    async def nothing(_: object) -> Mapping[object, Received]:
        return {}

    process.partition._log.read = nothing  # type: ignore[method-assign] # in memory it always answers
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    (answer,) = answers(world)
    assert isinstance(answer, RepairRefused)
    assert answer.refusal.code == "unavailable"
    letter = world.read(toys.counter, DeadLetter, f"order.intake/0/{offset}")
    assert letter is not None
    assert letter.open


async def test_what_is_dropped_is_closed_with_who_and_why(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    _, offset = unreadable(world, toys, "once")
    await settle()
    ask(world, DropDeadLetter, topic="order.intake", offset=offset, reason="the shop sent it again")
    ask(world, DropDeadLetter, topic="order.intake", offset=offset)
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    dropped, again, retried = answers(world)
    assert isinstance(dropped, DeadLetterDropped)
    assert dropped.reason == "the shop sent it again"
    for refused in (again, retried):
        assert isinstance(refused, RepairRefused)
        assert refused.refusal.code == "not_open"


async def test_a_record_that_its_topic_does_not_have_any_more_cannot_be_retried(
    toys: SimpleNamespace, world: World
) -> None:
    world.start(toys.counter)
    _, offset = unreadable(world, toys, "once")
    await settle()
    world.topics._records["order.intake", 0].clear()
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    (answer,) = answers(world)
    assert isinstance(answer, RepairRefused)
    assert answer.refusal.code == "gone"


async def test_a_request_that_nobody_could_read_is_to_be_asked_for_again(toys: SimpleNamespace, world: World) -> None:
    """A version that can read it would give it to `decide`, which knows no repairs, and say that it was taken."""

    def salvage(record: Received, _: object) -> Message | None:
        return ReleaseParked.model_validate_json(record.value or b"")

    old = world.start(toys.payer)
    asked = ReleaseParked(repair_id="1", service="payment", partition=0, by="kim", reason="looked into", place="shop:1")
    world.send(asked, headers={"ce_specversion": b"9"})
    await settle()
    await old.stop()
    process = world.start(replace(toys.payer, salvage=salvage))
    ask(world, RetryDeadLetter, service="payment", topic=REPAIRS.name, offset=0)
    ask(world, DropDeadLetter, service="payment", topic=REPAIRS.name, offset=0)
    await settle()
    refused, dropped = answers(world)
    assert isinstance(refused, RepairRefused)
    assert refused.refusal.code == "ask_again"
    assert "read" not in process.steps
    assert isinstance(dropped, DeadLetterDropped)


# Gaps.


def void(order_id: str, attempt: int) -> VoidPayment:
    return VoidPayment(order_id=order_id, revision=1, attempt=attempt)


def send_numbered(world: World, order_id: str, *numbers: int) -> None:
    for number in numbers:
        world.send(void(order_id, number), source="order/1@aa", sequence=number)


def accept(world: World, **fields: object) -> None:
    loss: Mapping[str, Any] = {"topic": "payment.commands", "source": "order/1@aa", "first": 3, "last": 4}
    ask(world, AcceptGap, service="payment", **{**loss, **fields})


def gap_of(world: World, toys: SimpleNamespace) -> Gap:
    found = world.read(toys.payer, Gap, "0")
    assert found is not None
    return found


def attempts(world: World, toys: SimpleNamespace, order_id: str) -> tuple[int, ...]:
    voids = world.read(toys.payer, toys.Voids, order_id)
    return voids.attempts if voids else ()


async def test_a_partition_goes_on_past_a_gap_that_is_accepted(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 5, 6)
    await settle()
    assert process.partition.state == "gap"
    assert attempts(world, toys, order_id) == (1, 2)
    gap = gap_of(world, toys)
    assert (gap.open, *gap.loss) == (True, "payment.commands", "order/1@aa", 3, 4)
    accept(world)
    await settle()
    assert process.partition.state == "running"
    assert attempts(world, toys, order_id) == (1, 2, 5, 6)
    assert not gap_of(world, toys).open
    (answer,) = answers(world)
    assert isinstance(answer, GapAccepted)
    assert (answer.topic, answer.source, answer.first, answer.last) == ("payment.commands", "order/1@aa", 3, 4)
    assert (answer.by, answer.reason) == ("kim", "looked into it")


async def test_what_is_asked_for_right_after_a_gap_was_accepted_is_done(toys: SimpleNamespace, world: World) -> None:
    """They may be taken at once, so that the partition stands still until both are dealt with."""
    process = world.start(toys.counter)
    order_id, offset = unreadable(world, toys, "once")
    world.send(toys.ask(order_id, "bug"))
    await settle(1)
    world.send(PaymentVoided(order_id=order_id, revision=1, attempt=7), source="payment/0@aa", sequence=2)
    await settle()
    assert process.partition.state == "gap"
    ask(world, AcceptGap, topic="payment.events", source="payment/0@aa", first=1, last=1)
    ask(world, ReleaseParked, place=order_id)
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    await settle()
    assert [type(answer).__name__ for answer in answers(world)] == [
        "GapAccepted",
        "ParkedReleased",
        "DeadLetterRetried",
    ]


async def test_the_next_gap_is_not_accepted_too(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 5, 9)
    await settle()
    accept(world)
    accept(world)
    await settle()
    assert process.partition.state == "gap"
    assert attempts(world, toys, order_id) == (1, 2, 5)
    assert gap_of(world, toys).loss == ("payment.commands", "order/1@aa", 6, 8)
    assert [type(answer).__name__ for answer in answers(world)] == ["GapAccepted", "RepairRefused"]


@pytest.mark.parametrize(
    "wrong", [{"first": 2}, {"last": 5}, {"source": "order/0@aa"}, {"topic": "order.intake"}, {"source": ""}]
)
async def test_only_the_very_gap_can_be_accepted(
    toys: SimpleNamespace, world: World, wrong: Mapping[str, object]
) -> None:
    process = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 5)
    await settle()
    accept(world, **wrong)
    await settle()
    assert process.partition.state == "gap"
    (answer,) = answers(world)
    assert isinstance(answer, RepairRefused)
    assert answer.refusal.code == "other_gap"
    accept(world)
    await settle()
    assert attempts(world, toys, order_id) == (1, 2, 5)


async def test_no_gap_is_accepted_before_it_is_there(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2)
    accept(world)
    await settle()
    send_numbered(world, order_id, 5)
    await settle()
    assert process.partition.state == "gap"
    (answer,) = answers(world)
    assert isinstance(answer, RepairRefused)
    assert answer.refusal.code == "no_gap"


async def test_since_when_a_partition_stands_still_outlives_its_process(toys: SimpleNamespace, world: World) -> None:
    first = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 5)
    await settle()
    since = gap_of(world, toys).since
    first.crash()
    second = world.start(toys.payer)
    await settle()
    assert second.partition.state == "gap"
    assert gap_of(world, toys).since == since
    await second.stop()
    third = world.start(toys.payer)
    accept(world)
    await settle()
    assert third.partition.state == "running"
    assert attempts(world, toys, order_id) == (1, 2, 5)


async def test_a_gap_that_is_filled_is_closed_by_itself(toys: SimpleNamespace, world: World) -> None:
    """A broker with the missing records was brought back, and the service restarted."""
    first = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 5)
    await settle()
    await first.stop()
    world.topics._records["payment.commands", 0].pop()
    second = world.start(toys.payer)
    await settle()
    assert (second.partition.state, gap_of(world, toys).open) == ("running", True)
    send_numbered(world, order_id, 3, 4, 5)
    await settle()
    assert attempts(world, toys, order_id) == (1, 2, 3, 4, 5)
    assert not gap_of(world, toys).open


async def test_a_gap_is_closed_when_the_topic_has_its_records_again(toys: SimpleNamespace, world: World) -> None:
    """The broker that had them was brought back, and the service restarted, while nobody writes to that topic."""
    first = world.start(toys.payer)
    order_id = toys.orders_on(world, 0, 1)[0]
    send_numbered(world, order_id, 1, 2, 3)
    await settle()
    await first.stop()
    lost = world.topics._records["payment.commands", 0].pop()
    second = world.start(toys.payer)
    await settle()
    assert (second.partition.state, gap_of(world, toys).open) == ("gap", True)
    await second.stop()
    world.topics._records["payment.commands", 0].append(lost)
    third = world.start(toys.payer)
    await settle()
    assert (third.partition.state, gap_of(world, toys).open) == ("running", False)
    entries = len(world.store(toys.payer).journal(0))
    await third.stop()
    world.start(toys.payer)
    await settle()
    assert len(world.store(toys.payer).journal(0)) == entries


async def test_no_deadline_counts_while_a_partition_stands_still(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "alarm 5"))
    await settle(1)
    world.send(PaymentVoided(order_id=order_id, revision=1, attempt=7), source="payment/0@aa", sequence=2)
    await settle(30)
    assert heard(world, toys, order_id) == ("alarm 5",)
    ask(world, AcceptGap, topic="payment.events", source="payment/0@aa", first=1, last=1)
    await settle(5)
    assert heard(world, toys, order_id) == ("alarm 5", "voided 7", "rang")


async def test_nothing_is_taken_while_a_partition_stands_still_but_dead_letters_can_be_dropped(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    order_id, offset = unreadable(world, toys, "once")
    world.send(toys.ask(order_id, "bug"))
    await settle(1)
    world.send(PaymentVoided(order_id=order_id, revision=1, attempt=7), source="payment/0@aa", sequence=2)
    await settle()
    world.send(toys.ask(order_id, "later"))
    ask(world, ReleaseParked, place=order_id)
    ask(world, RetryDeadLetter, topic="order.intake", offset=offset)
    ask(world, DropDeadLetter, topic="order.intake", offset=offset)
    await settle()
    assert process.partition.state == "gap"
    released, retried, dropped = answers(world)
    for refused in (released, retried):
        assert isinstance(refused, RepairRefused)
        assert refused.refusal.code == "stands_still"
    assert "read" not in process.steps  # Kafka is not asked for what is not taken
    assert isinstance(dropped, DeadLetterDropped)


async def test_a_topic_that_was_cut_short_is_gone_on_with_when_that_is_accepted(
    toys: SimpleNamespace, world: World
) -> None:
    first = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "first"))
    await settle()
    await first.stop()
    for reason in ("lost", "lost, too", "still there"):
        world.send(toys.ask(order_id, reason))
    second = world.start(toys.counter)
    start_at = second.feed.start_at

    async def check(positions: Mapping[str, int], topics: Any) -> Mapping[str, tuple[int, int]]:  # noqa: ANN401 - as the port has it
        if "order.intake" in topics and positions.get("order.intake", 0) < 3:
            raise PositionLost("order.intake", positions.get("order.intake", 0), 3)
        return await start_at(positions, topics)

    second.feed.start_at = check  # type: ignore[method-assign] # a topic in memory cannot be cut short
    await settle()
    assert second.partition.state == "gap"
    gap = world.read(toys.counter, Gap, "0")
    assert gap is not None
    assert gap.loss == ("order.intake", "", 1, 2)
    ask(world, AcceptGap, topic="order.intake", source="", first=1, last=2)
    await settle()
    assert second.partition.state == "running"
    assert heard(world, toys, order_id) == ("first", "still there")


async def test_a_partition_knows_where_it_stands_before_it_has_taken_anything(
    toys: SimpleNamespace, world: World
) -> None:
    """Else what is written while it is away, and cut off before it comes back, would be passed over."""
    process = world.start(toys.counter)
    await settle()
    positions = dict.fromkeys(toys.counter.topics, 0)
    assert world.store(toys.counter).checkpoint_of(0).progress.positions == positions
    assert process.steps.count("append") == 0


async def test_requests_are_heard_on_a_topic_that_was_made_anew(toys: SimpleNamespace, world: World) -> None:
    first = world.start(toys.counter)
    for _ in range(3):
        ask(world, ReleaseParked, place="web:1")
    await settle()
    assert len(answers(world)) == 3
    await first.stop()
    world.topics = MemoryTopics(2, world.clock)
    world.start(toys.counter)
    asked = ask(world, ReleaseParked, place="web:1")
    await settle()
    assert [answer.repair_id for answer in answers(world)] == [asked.repair_id]


async def test_an_accepted_gap_is_passed_once_wherever_its_process_dies(toys: SimpleNamespace) -> None:
    deaths = 0
    for death in count():
        world = World()
        order_id = toys.orders_on(world, 0, 1)[0]
        dying = world.start(toys.payer)
        send_numbered(world, order_id, 1, 2, 5, 6)
        await settle(0.5)
        died = die_at(dying, death)
        accept(world)
        await settle()
        if died.is_set():
            deaths += 1
            world.start(toys.payer)
            await settle()
        assert attempts(world, toys, order_id) == (1, 2, 5, 6)
        assert [type(answer).__name__ for answer in answers(world)] == ["GapAccepted"]
        await world.close()
        if not died.is_set():
            break
    assert deaths > 10


# Several partitions: the commands of one order go to the books of all its locations.


class Issued(Document):
    """What an order was issued from a book."""

    kind = "issued"
    order_id: str
    attempts: tuple[int, ...] = ()


def issue(documents: Documents, message: Input, _: datetime) -> Decision:
    assert isinstance(message, IssueStock)
    id_ = f"{message.location}/{message.order_id}"
    issued = documents.get(Issued, id_) or Issued(id=id_, order_id=message.order_id)
    return Decision((issued.but(attempts=(*issued.attempts, message.attempt)),))


def fail(*_: object) -> Decision:
    raise RuntimeError("a bug in issuing")


BOOKS = Service(
    "inventory",
    ("inventory.commands", REPAIRS.name),
    (Issued,),
    needs=lambda message, _: [Issued.key_of(f"{message.location}/{message.order_id}")],  # type: ignore[union-attr] # it hears only of stock
    decide=issue,
)
LOCATIONS = ("L0", "L1")
"""Of each partition, one whose book it has."""
SPLIT = "shop:split"


def issue_from_both(world: World, *attempts: int) -> None:
    for attempt in attempts:
        for location in LOCATIONS:
            world.send(IssueStock(order_id=SPLIT, revision=1, attempt=attempt, location=location))


def issued(world: World) -> list[tuple[int, ...]]:
    """What the order was issued from each of the books."""
    found = [world.read(BOOKS, Issued, f"{location}/{SPLIT}") for location in LOCATIONS]
    return [one.attempts if one else () for one in found]


async def parked_in_both(world: World) -> None:
    """Have an order parked in two books by a bug, and the fixed version started."""
    old = [world.start(replace(BOOKS, decide=fail), number) for number in range(len(LOCATIONS))]
    issue_from_both(world, 1, 2)
    await settle()
    for process in old:
        await process.stop()
    for number in range(len(LOCATIONS)):
        world.start(BOOKS, number)
    await settle()


async def test_an_order_that_is_parked_in_two_books_is_lost_in_neither(world: World) -> None:
    await parked_in_both(world)
    issue_from_both(world, 3)
    await settle()
    assert issued(world) == [(), ()]
    for number in range(len(LOCATIONS)):
        ask(world, ReleaseParked, service="inventory", partition=number, place=SPLIT)
    await settle()
    assert issued(world) == [(1, 2, 3), (1, 2, 3)]


async def test_an_order_that_is_released_in_one_book_waits_in_the_other(world: World) -> None:
    await parked_in_both(world)
    ask(world, ReleaseParked, service="inventory", partition=1, place=SPLIT)
    await settle()
    issue_from_both(world, 3)
    await settle()
    assert issued(world) == [(), (1, 2, 3)]
    ask(world, ReleaseParked, service="inventory", partition=0, place=SPLIT)
    await settle()
    assert issued(world) == [(1, 2, 3), (1, 2, 3)]


async def test_requests_of_one_name_to_two_partitions_are_both_carried_out_and_answered(world: World) -> None:
    await parked_in_both(world)
    for number in (0, 1, 0, 1):
        ask(world, ReleaseParked, service="inventory", partition=number, place=SPLIT, repair_id="r-1")
    await settle()
    assert issued(world) == [(1, 2), (1, 2)]
    assert [(answer.repair_id, answer.partition) for answer in answers(world)] == [("r-1", 0), ("r-1", 1)]
    repairs = [world.read(BOOKS, Repair, f"{number}/r-1") for number in (0, 1)]
    assert [(one.repair_id, one.outcome) for one in repairs if one is not None] == [("r-1", "done")] * 2


# Whom a request is for.


async def test_a_request_for_another_service_is_none_of_our_business(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    ask(world, ReleaseParked, service="payment", place="shop:1")
    command = ReleaseParked(
        repair_id="1", service="payment", partition=0, by="kim", reason="looked into it", place="shop:1"
    )
    world.send(command, headers={"ce_type": b"Unheard"})
    await settle()
    assert answers(world) == []
    assert world.topics.all(REPAIRS.dead_letter) == []
    assert process.partition.positions[REPAIRS.name] == 2


async def test_a_request_on_the_wrong_partition_is_buried(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter)
    command = ReleaseParked(
        repair_id="1", service="order", partition=1, by="kim", reason="looked into it", place="shop:1"
    )
    world.send(command, partition=0)
    await settle()
    (letter,) = world.topics.all(REPAIRS.dead_letter)
    assert b"misplaced" in dict(letter.headers)["dead_letter_reasons"]


async def test_a_request_does_not_wait_for_room(toys: SimpleNamespace, world: World) -> None:
    world.start(toys.counter, limits=replace(LIMITS, under_way_max_documents=1))
    busy, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(busy, "alarm 9"))
    world.send(toys.ask(other, "waits for room"))
    await settle(1)
    ask(world, ReleaseParked, place="shop:nobody")
    await settle(2)
    assert len(answers(world)) == 1
    assert heard(world, toys, other) == ()
