"""What was begun goes first, and a burst from outside waits on its topic."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from chassis.decision import Document
from chassis.engine.under_way import PATIENCE, UnderWay
from chassis.testing.world import LIMITS, World
from contracts.order import CompensateOrder
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Errand(Document):
    kind = "errands"
    queued: bool = False

    @property
    def is_queued(self) -> bool:
        return self.queued


def errand(name: str, *, waits: bool = True, queued: bool = False) -> Errand:
    return Errand(id=name, alarm=NOON + timedelta(hours=1) if waits else None, queued=queued)


def test_what_waits_takes_room_until_it_waits_no_more() -> None:
    under_way = UnderWay(2, set())
    under_way.see(errand("a"), NOON)
    under_way.see(errand("b"), NOON)
    assert under_way.room(NOON) == 0
    under_way.see(errand("a", waits=False), NOON)
    assert under_way.room(NOON) == 1


def test_what_does_not_move_gives_its_room_back_after_a_while() -> None:
    under_way = UnderWay(1, set())
    under_way.see(errand("a"), NOON)
    assert under_way.next_room() == NOON + PATIENCE
    assert under_way.room(NOON + PATIENCE - timedelta(milliseconds=1)) == 0
    assert under_way.room(NOON + PATIENCE) == 1
    assert under_way.next_room() is None


def test_what_is_queued_keeps_its_room_however_long_it_waits() -> None:
    under_way = UnderWay(2, set())
    under_way.see(errand("a", queued=True), NOON)
    under_way.see(errand("b"), NOON)
    assert under_way.room(NOON) == 0
    assert under_way.next_room() == NOON + PATIENCE
    later = NOON + 100 * PATIENCE
    assert under_way.room(later) == 1
    under_way.see(errand("b", queued=True), later)
    assert (under_way.room(later), under_way.next_room()) == (0, None)
    under_way.see(errand("a"), later)
    under_way.see(errand("b", waits=False), later)
    assert under_way.room(later) == 1


def test_what_is_queued_and_parked_takes_no_room_until_it_is_released() -> None:
    parked: set[str] = set()
    under_way = UnderWay(2, parked)
    under_way.see(errand("a", queued=True), NOON)
    under_way.see(errand("b"), NOON)
    assert under_way.room(NOON) == 0
    parked.add("a")
    assert (under_way.room(NOON), under_way.next_room()) == (1, None)
    parked.remove("a")
    assert (under_way.room(NOON), under_way.next_room()) == (0, NOON + PATIENCE)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 8)), max_size=60))
def test_room_is_what_the_documents_that_moved_lately_leave(moves: list[tuple[int, bool, int]]) -> None:
    under_way, now, moved = UnderWay(5, set()), NOON, dict[int, datetime]()
    for document, waits, seconds in moves:
        now += timedelta(seconds=seconds)
        under_way.see(errand(str(document), waits=waits), now)
        moved.pop(document, None)
        if waits:
            moved[document] = now
        lately = [when for when in moved.values() if now - when < PATIENCE]
        assert under_way.room(now) == 5 - len(lately)


async def test_a_burst_waits_on_its_topic_while_what_was_begun_goes_on(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    orders = toys.orders_on(world, 0, LIMITS.inbox_max_messages * 3)
    for order_id in orders:
        world.send(toys.ask(order_id, "alarm 3600"))
    await asyncio.sleep(2)
    checkpoint = world.store(toys.counter).checkpoint_of
    assert LIMITS.under_way_max_documents <= checkpoint(0).progress.positions["order.intake"] < len(orders)
    assert process.partition.waiting < len(orders)
    assert process.partition.stalled_s() == 0.0
    await asyncio.sleep(10 * PATIENCE.total_seconds())
    assert checkpoint(0).progress.positions["order.intake"] == len(orders)


async def test_what_is_queued_keeps_its_room_when_its_partition_gets_another_owner(
    toys: SimpleNamespace, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys.Tally, "is_queued", property(lambda tally: tally.alarm is not None))
    for order_id in toys.orders_on(world, 0, LIMITS.under_way_max_documents * 3):
        world.send(toys.ask(order_id, "alarm 3600"))
    first = world.start(toys.counter)
    await asyncio.sleep(60)
    begun = first.partition.positions["order.intake"]
    assert begun < LIMITS.under_way_max_documents * 2
    await first.stop()
    second = world.start(toys.counter)
    await asyncio.sleep(60)
    assert second.partition.positions["order.intake"] == begun
    await asyncio.sleep(3600)
    assert second.partition.positions["order.intake"] > begun


async def test_what_is_parked_while_it_is_queued_keeps_nobody_from_being_begun(
    toys: SimpleNamespace, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys.Tally, "is_queued", property(lambda tally: tally.alarm is not None))
    counter = toys.counter_with(topics=(*toys.counter.topics, "order.repairs"))
    most = LIMITS.under_way_max_documents
    orders = toys.orders_on(world, 0, most * 4)
    for order_id in orders:
        world.send(toys.ask(order_id, "alarm 3600"))
    first = world.start(counter)
    await asyncio.sleep(60)
    begun = first.partition.positions["order.intake"]
    assert begun < most * 2
    for number, order_id in enumerate(orders[:begun]):
        world.send(CompensateOrder(repair_id=f"r-{number}", order_id=order_id, reason="bug", requested_by="Ben"))
    await asyncio.sleep(60)
    then = first.partition.positions["order.intake"]
    assert begun + most <= then < len(orders)
    await first.stop()
    second = world.start(counter)
    await asyncio.sleep(60)
    assert second.partition.positions["order.intake"] == then


async def test_a_repair_is_taken_while_a_burst_waits_for_room(toys: SimpleNamespace, world: World) -> None:
    counter = toys.counter_with(topics=(*toys.counter.topics, "order.repairs"))
    process = world.start(counter)
    orders = toys.orders_on(world, 0, LIMITS.inbox_max_messages * 3)
    for order_id in orders:
        world.send(toys.ask(order_id, "alarm 3600"))
    await asyncio.sleep(2)
    begun = process.partition.positions["order.intake"]
    world.send(CompensateOrder(repair_id="r-1", order_id=orders[0], reason="alarm never", requested_by="Ben"))
    await asyncio.sleep(2)
    assert world.read(counter, toys.Tally, orders[0]).heard == ("alarm 3600", "alarm never")
    # It has made room for one more.
    assert begun < process.partition.positions["order.intake"] < len(orders)
