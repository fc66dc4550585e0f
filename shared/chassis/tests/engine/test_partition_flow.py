"""Much at once, little memory, slow neighbors: a partition neither loses nor invents anything, and says how it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import NoReturn

import pytest
from chassis.decision import Document
from chassis.engine.fold import MOST_ENTRY_BYTES
from chassis.engine.tail import MOST_TO_RECOVER_BYTES, MOST_UNSAVED_BYTES, SAVED_AT_ONCE
from chassis.entry import Outgoing
from chassis.testing.world import LIMITS, World
from contracts.wire import link_of


async def test_documents_are_not_dropped_from_memory_under_a_batch_that_uses_them(
    toys: SimpleNamespace, world: World
) -> None:
    """A checkpoint makes documents clean, and so droppable, while a batch that counts on them waits for another."""
    process = world.start(toys.counter, limits=replace(LIMITS, documents_in_memory=0))
    rings, filler, other = toys.orders_on(world, 0, 3)
    appended, loaded = asyncio.Event(), asyncio.Event()

    async def hold(step: str) -> None:
        if step == "appended" and process.steps.count("append") == 2:
            await appended.wait()
        if step == "loaded" and process.steps.count("append") == 2 and appended.is_set():
            await loaded.wait()

    process.before = hold
    world.send(toys.ask(rings, "alarm 5"))
    await asyncio.sleep(4.5)
    world.send(toys.ask(filler, "fills"))
    await asyncio.sleep(1)
    world.send(toys.ask(other, "needs loading"))
    await asyncio.sleep(0.1)
    appended.set()
    await asyncio.sleep(5)
    loaded.set()
    await asyncio.sleep(5)
    assert process.steps.count("claim") == 1
    assert process.count("throughline_bugs_total") == 0
    assert world.read(toys.counter, toys.Tally, rings).heard == ("alarm 5", "rang")
    assert world.read(toys.counter, toys.Tally, other).heard == ("needs loading",)


async def test_memory_is_bounded_and_never_drops_what_is_not_saved(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter, limits=replace(LIMITS, documents_in_memory=10))
    orders = toys.orders_on(world, 0, 150)
    blocked = True

    async def no_saving(step: str) -> None:
        if step == "save" and blocked:
            raise ConnectionError("the documents cannot be written")

    process.before = no_saving
    for round_ in range(3):
        for order_id in orders:
            world.send(toys.ask(order_id, f"round {round_}"))
        await asyncio.sleep(1.5)
    assert len(process.partition._held.memory) == 150
    blocked = False
    await asyncio.sleep(3)
    world.send(toys.ask(orders[0], "after"))
    await asyncio.sleep(3)
    process.partition._held.memory.shrink()
    assert len(process.partition._held.memory) <= 10
    for order_id in orders[1:]:
        assert world.read(toys.counter, toys.Tally, order_id).heard == ("round 0", "round 1", "round 2")
    assert process.count("throughline_checkpoint_failures_total") > 0
    assert process.steps.count("claim") == 1


async def test_a_checkpoint_that_is_broken_off_every_time_gets_there_all_the_same(
    toys: SimpleNamespace, world: World
) -> None:
    """A store that is slow breaks off what takes too long: who began anew each time would have ever more to write."""
    process = world.start(toys.counter, limits=replace(LIMITS, under_way_max_documents=10_000))
    orders = toys.orders_on(world, 0, 3 * SAVED_AT_ONCE)
    saved = 0

    async def break_off(step: str) -> None:
        nonlocal saved
        saved += step == "save"
        if saved > 1.5 * SAVED_AT_ONCE:
            saved = 0
            raise ConnectionError("timed out")

    process.before = break_off
    for order_id in orders:
        world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(60)
    assert process.count("throughline_checkpoint_failures_total") > 0
    assert all(world.read(toys.counter, toys.Tally, order_id) for order_id in orders)
    assert process.partition._held.memory.unsaved_bytes == 0
    assert process.steps.count("claim") == 1


async def test_deciding_waits_while_too_much_is_not_in_the_store(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    orders = toys.orders_on(world, 0, 30)
    blocked = True

    async def no_saving(step: str) -> None:
        if step == "save" and blocked:
            raise ConnectionError("the documents cannot be written")

    process.before = no_saving
    for order_id in orders:
        world.send(toys.ask(order_id, "heavy 2"))
    await asyncio.sleep(60)
    assert process.partition._held.memory.unsaved_bytes <= MOST_UNSAVED_BYTES + MOST_ENTRY_BYTES
    assert sum(len(entry.changes) for entry in world.store(toys.counter).journal(0)) < len(orders)
    blocked = False
    await asyncio.sleep(60)
    assert all(world.read(toys.counter, toys.Tally, order_id) for order_id in orders)
    assert process.partition._held.memory.unsaved_bytes == 0
    assert process.steps.count("claim") == 1


async def test_deciding_waits_while_too_much_would_have_to_be_recovered(toys: SimpleNamespace, world: World) -> None:
    """Large dead letters are little to write to the documents, and much to publish again."""
    process = world.start(toys.counter)
    sent, body = 80, b"{" * 1_000_000
    blocked = True

    async def no_saving(step: str) -> None:
        if step == "save" and blocked:
            raise ConnectionError("the documents cannot be written")

    process.before = no_saving
    for _ in range(sent):
        world.topics.write([Outgoing("order.intake", 0, b"k", body, [])])
    await asyncio.sleep(60)
    journaled = [record for entry in world.store(toys.counter).journal(0) for record in entry.outbox]
    assert 0 < len(journaled) * len(body) <= MOST_TO_RECOVER_BYTES + MOST_ENTRY_BYTES
    blocked = False
    await asyncio.sleep(60)
    assert len(world.topics.all(toys.LETTERS)) == sent
    assert process.steps.count("claim") == 1


async def test_a_document_that_was_dropped_is_loaded_with_its_pending_call(toys: SimpleNamespace, world: World) -> None:
    class Bank:
        @staticmethod
        async def perform(_: object) -> object:
            await asyncio.sleep(8)
            return "yes"

    counter = toys.counter_with(gateway=Bank())
    process = world.start(counter, limits=replace(LIMITS, documents_in_memory=0))
    caller, *others = toys.orders_on(world, 0, 5)
    world.send(toys.ask(caller, "call bank"))
    for order_id in others:
        await asyncio.sleep(1.5)
        world.send(toys.ask(order_id, "once"))
    assert f"tally/{caller}" not in process.partition._held.memory
    await asyncio.sleep(5)
    assert world.read(counter, toys.Tally, caller).heard == ("call bank", "answered yes")


async def test_the_feed_is_paused_while_too_much_waits_and_resumed_after_it(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter, limits=replace(LIMITS, inbox_max_messages=100, batch_max_messages=20))
    slow = True
    most_waiting = 0

    async def drag(step: str) -> None:
        nonlocal most_waiting
        most_waiting = max(most_waiting, process.partition.waiting)
        if step == "append" and slow:
            await asyncio.sleep(10)

    process.before = drag
    orders = toys.orders_on(world, 0, 60)
    for round_ in range(20):
        for order_id in orders:
            world.send(toys.ask(order_id, f"round {round_}"))
    await asyncio.sleep(15)
    assert process.feed.paused
    assert process.partition.waiting <= 100 + 100  # what is allowed to wait, and one delivery
    slow = False
    await asyncio.sleep(60)
    assert not process.feed.paused
    assert most_waiting <= 200
    expected = tuple(f"round {round_}" for round_ in range(20))
    assert all(world.read(toys.counter, toys.Tally, order_id).heard == expected for order_id in orders)


async def test_deciding_waits_for_a_log_that_does_not_take_what_was_decided(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    down = True

    async def refuse(step: str) -> None:
        if step == "publish" and down:
            raise ConnectionError("no broker")

    process.before = refuse
    for number in range(30):
        world.send(toys.ask(order_id, f"number {number}"))
        await asyncio.sleep(0.5)
    assert len(world.store(toys.counter).journal(0)) == 1
    assert process.count("throughline_publish_failures_total") > 5
    await asyncio.sleep(60)
    assert process.partition.stalled_s() > 30
    down = False
    await asyncio.sleep(10)
    assert process.partition.stalled_s() == 0
    assert process.steps.count("claim") == 1
    assert [link_of(record)[1] for record in world.topics.all("payment.commands")] == [*range(1, 31)]


async def test_an_idle_partition_is_not_stalled_at_its_first_record(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    await asyncio.sleep(3600)
    stalled: list[float] = []

    async def look(_: str) -> None:
        stalled.append(process.partition.stalled_s())

    process.before = look
    world.send(toys.ask(toys.orders_on(world, 0, 1)[0], "once"))
    stalled.append(process.partition.stalled_s())
    await asyncio.sleep(5)
    assert max(stalled) < 1


async def test_a_partition_that_cannot_journal_is_stalled(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    await asyncio.sleep(100)

    async def hang(step: str) -> None:
        if step == "append":
            await asyncio.sleep(3600)

    process.before = hang
    world.send(toys.ask(toys.orders_on(world, 0, 1)[0], "once"))
    await asyncio.sleep(40)
    assert process.partition.stalled_s() == pytest.approx(40, abs=1)


# The way things end.


async def test_a_stop_finishes_what_is_begun(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter, limits=replace(LIMITS, checkpoint_interval_s=1000))
    orders = toys.orders_on(world, 0, 30)

    async def take_time(step: str) -> None:
        if step in {"append", "publish", "save"}:
            await asyncio.sleep(0.05)

    process.before = take_time
    for order_id in orders:
        world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(0.06)
    async with asyncio.timeout(5):
        await process.stop()
    assert process.partition.state == "stopped"
    store = world.store(toys.counter)
    assert [world.read(toys.counter, toys.Tally, order_id).heard for order_id in orders] == [("once",)] * 30
    assert len(world.topics.all("payment.commands")) == 30
    assert store.checkpoint_of(0).number == store.journal(0)[-1].number
    assert process.feed.committed == {"order.intake": 30, "payment.events": 0, "repair.requests": 0}
    world.start(toys.counter)
    await asyncio.sleep(5)
    assert len(world.topics.all("payment.commands")) == 30


async def test_a_stop_begins_nothing_new_and_leaves_it_to_the_next(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter, limits=replace(LIMITS, batch_max_messages=10, inbox_max_messages=20))
    orders = toys.orders_on(world, 0, 100)

    async def take_time(step: str) -> None:
        if step == "append":
            await asyncio.sleep(1)

    process.before = take_time
    for order_id in orders:
        world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(1.5)
    assert process.feed.paused
    async with asyncio.timeout(5):
        await process.stop()
    assert len(world.saved(toys.counter)) == 20
    world.start(toys.counter)
    await asyncio.sleep(10)
    assert [world.read(toys.counter, toys.Tally, order_id).heard for order_id in orders] == [("once",)] * 100


@pytest.mark.parametrize("hanging", ["claim", "append", "publish", "save", "checkpoint"])
async def test_a_stop_that_hangs_can_be_cut_off_and_nothing_is_lost(
    toys: SimpleNamespace, world: World, hanging: str
) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]

    async def hang(step: str) -> None:
        if step == hanging:
            await asyncio.sleep(10_000)

    process.before = hang
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(3)
    process.partition.stop()
    await asyncio.sleep(3)
    process.crash()
    await asyncio.wait({process.task}, timeout=1)
    assert process.task.done()
    world.start(toys.counter)
    await asyncio.sleep(5)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("once",)
    assert {link_of(record)[1] for record in world.topics.all("payment.commands")} == {1}


async def test_a_stop_gives_the_view_the_chance_to_show_the_last(toys: SimpleNamespace, world: World) -> None:
    shown: list[str] = []

    class Window:
        @staticmethod
        def of(document: Document) -> str:
            return document.id

        @staticmethod
        async def show(ids: Sequence[str]) -> None:
            await asyncio.sleep(0.3)
            shown.extend(ids)

    process = world.start(toys.counter_with(view=Window()))
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(0.01)
    await process.stop()
    assert shown == [order_id]


async def test_a_view_that_fails_is_shown_the_newest_later_and_delays_nobody(
    toys: SimpleNamespace, world: World
) -> None:
    shown: list[tuple[str, ...]] = []

    class Window:
        @staticmethod
        def of(tally: Document) -> object:
            return tally.heard  # type: ignore[attr-defined]

        @staticmethod
        async def show(heard: Sequence[tuple[str, ...]]) -> None:
            if asyncio.get_running_loop().time() < 30:
                raise ConnectionError("no Redis")
            shown.extend(heard)

    counter = toys.counter_with(view=Window())
    process = world.start(counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    for number in range(3):
        world.send(toys.ask(order_id, f"number {number}"))
        await asyncio.sleep(1)
    await asyncio.sleep(1)
    assert world.read(counter, toys.Tally, order_id).heard == ("number 0", "number 1", "number 2")
    await asyncio.sleep(60)
    assert shown == [("number 0", "number 1", "number 2")]
    assert process.steps.count("claim") == 1


async def test_offsets_are_told_to_lag_monitors_also_for_messages_that_changed_nothing(
    toys: SimpleNamespace, world: World
) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    for number in range(5):
        world.send(toys.ask(order_id, f"ignore {number}"))
    await asyncio.sleep(3)
    assert process.feed.committed == {"order.intake": 5, "payment.events": 0, "repair.requests": 0}
    assert [(entry.changes, entry.outbox) for entry in world.store(toys.counter).journal(0)] == [((), ())]
    process.crash()
    again = world.start(toys.counter)
    await asyncio.sleep(3)
    assert again.count("throughline_messages_taken_total") == 0


async def test_gauges_show_what_a_partition_has(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    one, other, sick = toys.orders_on(world, 0, 3)
    for order_id, reason in ((one, "alarm 500"), (other, "once"), (sick, "bug")):
        world.send(toys.ask(order_id, reason))
    await asyncio.sleep(3)
    process.partition.measure()
    gauges = ("parked", "alarms_set", "documents_in_memory", "inbox_messages")
    assert [process.count(f"throughline_{gauge}") for gauge in gauges] == [1, 1, 4, 0]


async def test_a_bug_in_reading_what_a_stranger_wrote_concerns_that_record_only(
    toys: SimpleNamespace, world: World
) -> None:
    def salvage(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    process = world.start(toys.counter_with(salvage=salvage))
    sick, healthy = toys.orders_on(world, 0, 2)
    world.send(toys.ask(sick, "once"), headers={"ce_type": b"Odd"})
    world.send(toys.ask(healthy, "once"))
    await asyncio.sleep(3)
    assert world.read(toys.counter, toys.Tally, healthy).heard == ("once",)
    [letter] = world.topics.all(toys.LETTERS)
    assert b"RuntimeError: a bug" in dict(letter.headers)["dead_letter_reasons"]
    assert process.count("throughline_bugs_total") == 1
    assert process.steps.count("claim") == 1
