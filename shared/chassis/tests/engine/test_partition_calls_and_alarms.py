"""Gateway calls and alarms: made once journaled, bounded, made again after a crash, and never twice for one key."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from chassis.decision import AlarmRang, Call, CallAnswered, Decision, Documents, Input
from chassis.engine.unheard import HELD_UP_S
from chassis.testing.virtual_time import EPOCH, VirtualTimeLoop
from chassis.testing.world import CALLS_AT_ONCE, LIMITS, World
from contracts.payment import PaymentVoided


class Bank:
    """A gateway that says what it is told to, and remembers what it was asked, and when."""

    def __init__(self, reply: Callable[[Call], Awaitable[object]]) -> None:
        self.asked: list[tuple[str, float]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._reply = reply

    async def perform(self, call: Call) -> object:
        self.asked.append((call.id, asyncio.get_running_loop().time()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._reply(call)
        finally:
            self.at_once -= 1

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.asked]


async def yes(_: Call) -> object:
    await asyncio.sleep(0.1)
    return "yes"


async def never(_: Call) -> object:
    await asyncio.sleep(3600)
    return "too late"


@pytest.fixture
def order_id(toys: SimpleNamespace, world: World) -> str:
    return str(toys.orders_on(world, 0, 1)[0])


async def test_a_call_is_made_after_its_entry_and_its_answer_is_an_input(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    journaled: list[int] = []

    async def look(_: Call) -> object:
        journaled.append(len(world.store(toys.counter).journal(0)))
        return "yes"

    bank = Bank(look)
    counter = toys.counter_with(gateway=bank)
    world.start(counter)
    world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(5)
    assert journaled == [1]
    assert bank.keys == [f"{order_id}/call bank"]
    tally = world.read(counter, toys.Tally, order_id)
    assert (tally.heard, tally.calls) == (("call bank", "answered yes"), ())


async def test_a_call_that_times_out_is_unknown_and_asked_again_with_the_same_key_not_before_its_time(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    async def slow_at_first(call: Call) -> object:
        return await (never(call) if call.tries < 2 else yes(call))

    bank = Bank(slow_at_first)
    counter = toys.counter_with(gateway=bank)
    process = world.start(counter)
    world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(60)
    assert world.read(counter, toys.Tally, order_id).heard == ("call bank", "unknown", "unknown", "answered yes")
    assert len(set(bank.keys)) == 1
    waited = [later - earlier for (_, earlier), (_, later) in zip(bank.asked, bank.asked[1:], strict=False)]
    assert waited == pytest.approx([15, 15], abs=0.1)  # ten seconds until unknown, and then five
    assert process.count("throughline_calls_total") == 3


@pytest.mark.parametrize("failure", [ConnectionError("the line is dead"), asyncio.CancelledError()], ids=repr)
async def test_a_gateway_that_raises_leaves_the_outcome_unknown(
    toys: SimpleNamespace, world: World, order_id: str, failure: BaseException
) -> None:
    async def breaks(call: Call) -> object:
        if call.tries == 0:
            raise failure
        return "yes"

    counter = toys.counter_with(gateway=Bank(breaks))
    world.start(counter)
    world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(30)
    assert world.read(counter, toys.Tally, order_id).heard == ("call bank", "unknown", "answered yes")


async def test_a_service_makes_so_many_calls_at_once_and_delays_no_other_order(
    toys: SimpleNamespace, world: World
) -> None:
    bank = Bank(never)
    counter = toys.counter_with(gateway=bank)
    world.start(counter)
    *callers, other = toys.orders_on(world, 0, 21)
    for caller in callers:
        world.send(toys.ask(caller, "call bank"))
    world.send(toys.ask(other, "quick"))
    await asyncio.sleep(5)
    assert (bank.most_at_once, bank.at_once) == (CALLS_AT_ONCE, CALLS_AT_ONCE)
    assert world.read(counter, toys.Tally, other).heard == ("quick",)
    await asyncio.sleep(200)
    assert bank.most_at_once == CALLS_AT_ONCE
    assert set(bank.keys) == {f"{caller}/call bank" for caller in callers}


async def test_a_call_that_is_due_again_goes_before_calls_that_were_wanted_after_that(
    toys: SimpleNamespace, world: World
) -> None:
    """As a capture that is tried again does, while the provider is slow and new orders come without pause."""
    unlucky, *others = toys.orders_on(world, 0, 200)

    async def slow(call: Call) -> object:
        await asyncio.sleep(4)
        if unlucky in call.id.split("/") and call.tries == 0:
            raise ConnectionError("the line is dead")
        return "yes"

    bank = Bank(slow)
    world.start(toys.counter_with(gateway=bank))
    world.send(toys.ask(unlucky, "call bank"))
    for other in others[:120]:  # twice as many as can be made
        world.send(toys.ask(other, "call bank"))
        await asyncio.sleep(0.5)

    first, again = [when for key, when in bank.asked if key == f"{unlucky}/call bank"]
    due = first + 4 + 5  # when it is unknown, and then five seconds
    assert due <= again < due + 15


async def test_no_slot_is_lost_when_a_partition_is_given_up(toys: SimpleNamespace, world: World) -> None:
    counter = toys.counter_with(gateway=Bank(never))
    process = world.start(counter)
    for caller in toys.orders_on(world, 0, 10):
        world.send(toys.ask(caller, "call bank"))
    await asyncio.sleep(5)
    assert process.service.outside.slots.locked()
    await process.stop()
    await asyncio.sleep(0)
    for _ in range(CALLS_AT_ONCE):
        await asyncio.wait_for(process.service.outside.slots.acquire(), 1)
    assert process.service.outside.slots.locked()


@pytest.mark.parametrize("checkpointed", [False, True])
async def test_a_pending_call_is_made_again_after_a_crash_and_an_answered_one_is_not(
    toys: SimpleNamespace, world: World, checkpointed: bool
) -> None:
    answered, pending = toys.orders_on(world, 0, 2)

    async def one_answers(call: Call) -> object:
        return await (yes(call) if answered in call.id or len(bank.asked) > 2 else never(call))

    bank = Bank(one_answers)
    counter = toys.counter_with(gateway=bank)
    first = world.start(counter, limits=replace(LIMITS, checkpoint_interval_s=1 if checkpointed else 60))
    for order_id in (answered, pending):
        world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(5)
    assert (world.saved(counter) != {}) is checkpointed
    first.crash()
    world.start(counter)
    await asyncio.sleep(5)
    assert Counter(bank.keys) == {f"{answered}/call bank": 1, f"{pending}/call bank": 2}
    assert world.read(counter, toys.Tally, pending).heard == ("call bank", "answered yes")


async def test_an_answer_that_nobody_waits_for_any_more_is_ignored(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    """Two processes ask with one key; the second answer comes when the first was taken already."""
    counter = toys.counter_with(gateway=Bank(yes))
    process = world.start(counter)
    world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(5)
    process.partition._inbox.answer(CallAnswered(f"tally/{order_id}", Call(id=f"{order_id}/call bank"), "again"))
    process.partition._inbox.answer(CallAnswered("tally/nobody:1", Call(id="nobody:1/call bank"), "who?"))
    await asyncio.sleep(5)
    assert process.partition.state == "running"
    assert world.read(counter, toys.Tally, order_id).heard == ("call bank", "answered yes")


# Alarms.


async def test_an_alarm_rings_when_it_is_due(toys: SimpleNamespace, world: World, order_id: str) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 5"))
    await asyncio.sleep(4.9)
    assert process.count("throughline_alarms_rung_total") == 0
    await asyncio.sleep(2)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 5", "rang")


@pytest.mark.parametrize("moved_to", ["never", "100"])
async def test_an_alarm_that_was_moved_does_not_ring(
    toys: SimpleNamespace, world: World, order_id: str, moved_to: str
) -> None:
    world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 5"))
    await asyncio.sleep(2)
    world.send(toys.ask(order_id, f"alarm {moved_to}"))
    await asyncio.sleep(60)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 5", f"alarm {moved_to}")
    await asyncio.sleep(60)
    rang = ("rang",) if moved_to == "100" else ()
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 5", f"alarm {moved_to}", *rang)


@pytest.mark.parametrize("moment_s", ["5.0005", "5.000999", "5.0000001", "0.0004"])
async def test_an_alarm_between_two_milliseconds_rings_too(
    toys: SimpleNamespace, world: World, order_id: str, moment_s: str
) -> None:
    """The partition's time and MongoDB's dates have milliseconds only."""
    world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {moment_s}"))
    await asyncio.sleep(20)
    assert world.read(toys.counter, toys.Tally, order_id).heard == (f"alarm {moment_s}", "rang")


async def test_an_alarm_rings_though_the_clock_steps_back_as_it_comes_due(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 5"))
    await asyncio.sleep(1)
    now = world.clock.now

    def stepping() -> object:
        moment = now()
        if moment >= EPOCH + timedelta(seconds=5):
            world.clock.skew = timedelta(seconds=-3)
        return moment

    world.clock.now = stepping  # type: ignore[assignment]
    await asyncio.sleep(30)
    assert process.count("throughline_alarms_rung_total") == 1
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 5", "rang")


async def test_an_alarm_does_not_wait_for_a_clock_that_was_a_day_ahead_and_is_set_right(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    world.clock.skew = timedelta(days=1)
    world.start(toys.counter)
    world.send(toys.ask(order_id, "first"))
    await asyncio.sleep(5)
    world.clock.skew = timedelta()
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(50)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("first", "alarm 60")
    await asyncio.sleep(75)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("first", "alarm 60", "rang")


async def test_an_alarm_rings_soon_after_the_clock_was_put_forward(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    """A machine that was suspended, or whose clock was wrong, does not sleep on for the hour it thought it had."""
    world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 3600"))
    await asyncio.sleep(2)
    world.clock.skew = timedelta(hours=1)
    await asyncio.sleep(35)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 3600", "rang")


@pytest.mark.parametrize("away_s", [1, 6.9, 60])
@pytest.mark.parametrize("alarm", ["alarm 10", "alarm 10.0008"])
async def test_alarms_survive_a_crash_and_ring_at_once_if_they_are_overdue(
    toys: SimpleNamespace, world: World, away_s: float, alarm: str
) -> None:
    saved, journaled = toys.orders_on(world, 0, 2)
    first = world.start(toys.counter)
    world.send(toys.ask(saved, alarm))
    await asyncio.sleep(3)
    world.send(toys.ask(journaled, alarm))
    await asyncio.sleep(0.1)
    first.crash()
    await asyncio.sleep(away_s)
    world.start(toys.counter)
    await asyncio.sleep(15)
    for order_id in (saved, journaled):
        assert world.read(toys.counter, toys.Tally, order_id).heard == (alarm, "rang")


async def test_an_alarm_that_is_not_moved_parks_its_order_instead_of_ringing_for_ever(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    deaf, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(deaf, "deaf"))
    world.send(toys.ask(deaf, "alarm 5"))
    await asyncio.sleep(20)
    world.send(toys.ask(other, "good"))
    await asyncio.sleep(5)
    assert process.count("throughline_alarms_rung_total") == 1
    assert f"parked/0/{deaf}" in world.saved(toys.counter)
    assert world.read(toys.counter, toys.Tally, other).heard == ("good",)


async def test_many_alarms_at_once_ring_in_order_and_let_messages_through(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter, limits=replace(LIMITS, batch_max_messages=10))
    orders = toys.orders_on(world, 0, 55)
    for order_id in orders[:-1]:
        world.send(toys.ask(order_id, "alarm 5"))
    await asyncio.sleep(4)
    await asyncio.sleep(4)
    world.send(toys.ask(orders[-1], "good"))
    await asyncio.sleep(3)
    assert process.count("throughline_alarms_rung_total") == 54
    assert all(world.read(toys.counter, toys.Tally, order_id).heard[-1] == "rang" for order_id in orders[:-1])
    assert world.read(toys.counter, toys.Tally, orders[-1]).heard == ("good",)


async def test_answers_are_heard_though_more_alarms_come_due_again_and_again_than_are_rung(
    toys: SimpleNamespace, world: World
) -> None:
    def ask_again(documents: Documents, message: Input, now: datetime) -> Decision:
        decision: Decision = toys.counter.decide(documents, message, now)
        again = now + timedelta(seconds=1) if isinstance(message, AlarmRang) else None
        changed = [document.but(alarm=again or document.alarm) for document in decision.documents]
        return Decision(tuple(changed), decision.messages)

    counter = toys.counter_with(decide=ask_again)
    process = world.start(counter, limits=replace(LIMITS, batch_max_messages=10, under_way_max_documents=1000))

    async def slowly(step: str) -> None:
        if step == "append":
            await asyncio.sleep(0.1)

    process.before = slowly  # a hundred decisions a second, for two hundred alarms
    orders = toys.orders_on(world, 0, 200)
    for order_id in orders:
        world.send(toys.ask(order_id, "alarm 1"))
    await asyncio.sleep(10)
    for number, order_id in enumerate(orders, 1):
        world.send(PaymentVoided(order_id=order_id, revision=1, attempt=1), source="payment/0@a", sequence=number)
    await asyncio.sleep(30)
    assert [order_id for order_id in orders if "voided 1" not in world.read(counter, toys.Tally, order_id).heard] == []


async def test_an_alarm_that_came_due_meanwhile_rings_after_the_answers_that_were_there(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(3)
    await process.stop()
    answers = LIMITS.inbox_max_messages + LIMITS.batch_max_messages
    for attempt in range(1, answers + 1):
        voided = PaymentVoided(order_id=order_id, revision=1, attempt=attempt)
        world.send(voided, source="payment/0@a", sequence=attempt)
    await asyncio.sleep(120)
    world.start(toys.counter)
    await asyncio.sleep(20)
    heard = world.read(toys.counter, toys.Tally, order_id).heard
    assert heard == ("alarm 60", *(f"voided {number + 1}" for number in range(answers)), "rang")


@pytest.mark.parametrize("step", ["append", "publish"])
@pytest.mark.parametrize("recovers", [False, True])
async def test_an_alarm_that_came_due_while_nothing_could_be_written_rings_after_the_answers_that_came_meanwhile(
    toys: SimpleNamespace, world: World, step: str, recovers: bool
) -> None:
    order_id, other = toys.orders_on(world, 0, 2)
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(3)
    is_back = asyncio.Event()

    async def wait(name: str) -> None:
        if name == step:
            await is_back.wait()

    process.before = wait
    world.send(toys.ask(other, "first"))
    await asyncio.sleep(1)
    if recovers:
        process.crash()
        process = world.start(toys.counter)
        process.before = wait
        await asyncio.sleep(1)
    answers = LIMITS.inbox_max_messages + LIMITS.batch_max_messages
    for attempt in range(1, answers + 1):
        voided = PaymentVoided(order_id=order_id, revision=1, attempt=attempt)
        world.send(voided, source="payment/0@a", sequence=attempt)
    await asyncio.sleep(120)
    is_back.set()
    await asyncio.sleep(20)
    assert process.partition.state == "running"
    heard = world.read(toys.counter, toys.Tally, order_id).heard
    assert heard == ("alarm 60", *(f"voided {number + 1}" for number in range(answers)), "rang")


async def test_an_alarm_that_came_due_while_the_process_was_frozen_rings_after_the_answer_that_came_meanwhile(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(3)
    process.feed._delay_s = lambda: 0.01  # it wakes up before its first fetch brings anything
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stand_still(20)
    world.send(PaymentVoided(order_id=order_id, revision=1, attempt=1), source="payment/0@a", sequence=1)
    loop.stand_still(100)
    await asyncio.sleep(20)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 60", "voided 1", "rang")
    assert process.steps.count("claim") == 1


async def test_an_alarm_that_came_due_while_a_new_owner_caught_up_rings_after_the_answers_that_came_meanwhile(
    toys: SimpleNamespace, world: World
) -> None:
    order_id, *others = toys.orders_on(world, 0, 1 + 3 * LIMITS.batch_max_messages)
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(3)
    process.crash()
    for attempt, other in enumerate(others, 1):
        world.send(PaymentVoided(order_id=other, revision=1, attempt=1), source="payment/0@a", sequence=attempt)
    process = world.start(toys.counter)
    is_back = asyncio.Event()

    async def wait(name: str) -> None:
        if name == "append":
            await is_back.wait()

    process.before = wait
    await asyncio.sleep(1)
    voided = PaymentVoided(order_id=order_id, revision=1, attempt=1)
    world.send(voided, source="payment/0@a", sequence=len(others) + 1)
    await asyncio.sleep(120)
    is_back.set()
    await asyncio.sleep(20)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 60", "voided 1", "rang")


async def test_alarms_ring_though_every_batch_is_held_up(toys: SimpleNamespace, world: World) -> None:
    order_id, *others = toys.orders_on(world, 0, 100)
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 60"))
    await asyncio.sleep(3)

    async def slowly(name: str) -> None:
        if name == "append":
            await asyncio.sleep(HELD_UP_S + 1)

    process.before = slowly
    for number, other in enumerate(others, 1):
        world.send(PaymentVoided(order_id=other, revision=1, attempt=1), source="payment/0@a", sequence=number)
        await asyncio.sleep(5)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 60", "rang")


@pytest.mark.parametrize("step", ["append", "load"])
async def test_calls_are_answered_though_every_batch_is_held_up(toys: SimpleNamespace, world: World, step: str) -> None:
    bank = Bank(yes)
    process = world.start(toys.counter_with(gateway=bank))

    async def slowly(name: str) -> None:
        if name == step:
            await asyncio.sleep(HELD_UP_S + 1)

    process.before = slowly
    order_id, *others = toys.orders_on(world, 0, 100)
    world.send(toys.ask(order_id, "call bank"))
    for other in others:
        await asyncio.sleep(5)
        world.send(toys.ask(other, "first"))
    await asyncio.sleep(5 * HELD_UP_S)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("call bank", "answered yes")
    assert len(bank.asked) == 1


async def test_a_call_under_way_is_not_made_again_because_its_document_changes(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    async def slow(_: Call) -> object:
        await asyncio.sleep(5)
        return "yes"

    bank = Bank(slow)
    counter = toys.counter_with(gateway=bank)
    world.start(counter)
    for reason in ("call bank", "meanwhile", "and again"):
        world.send(toys.ask(order_id, reason))
        await asyncio.sleep(1)
    await asyncio.sleep(10)
    assert bank.keys == [f"{order_id}/call bank"]
    assert world.read(counter, toys.Tally, order_id).heard == ("call bank", "meanwhile", "and again", "answered yes")


async def test_an_alarm_that_was_moved_while_it_waited_to_be_heard_is_not_heard(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, "alarm 50"))
    await asyncio.sleep(5)
    process.partition._inbox._ongoing.add([AlarmRang(f"tally/{order_id}")])
    process.partition._inbox.wake()
    await asyncio.sleep(5)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 50",)
    await asyncio.sleep(60)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("alarm 50", "rang")
