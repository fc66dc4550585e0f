"""Alarms further ahead than are held in memory: they are left to the store, and ring all the same."""

import asyncio
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from chassis.engine.alarms import AHEAD, Alarms
from chassis.testing.virtual_time import EPOCH
from chassis.testing.world import Process, World
from hypothesis import given
from hypothesis import strategies as st

FAR_S = 3600
EARLY_S = FAR_S - AHEAD.total_seconds()
"""When it must be held at the latest."""
MOVES_S = AHEAD.total_seconds() / 2
"""When the horizon moves for the first time."""
FURTHER_S = AHEAD.total_seconds() * 5 / 6
"""An alarm in so many seconds from then is beyond the horizon as it was, and within it as it is."""


@pytest.fixture
def order_id(toys: SimpleNamespace, world: World) -> str:
    return str(toys.orders_on(world, 0, 1)[0])


def held(process: Process) -> float:
    process.partition.measure()
    return process.count("throughline_alarms_set")


def heard(toys: SimpleNamespace, world: World, order_id: str) -> tuple[str, ...]:
    tally = world.read(toys.counter, toys.Tally, order_id)
    assert tally is not None
    return tuple(tally.heard)


async def until(world: World, second: float) -> None:
    await asyncio.sleep((EPOCH + timedelta(seconds=second) - world.clock.now()).total_seconds())


async def test_an_alarm_far_ahead_is_held_when_its_time_comes_near_and_rings(
    toys: SimpleNamespace, world: World, order_id: str
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {FAR_S}"))

    await until(world, EARLY_S - 60)
    assert held(process) == 0
    await until(world, FAR_S - 1)
    assert held(process) == 1
    assert heard(toys, world, order_id) == (f"alarm {FAR_S}",)

    await until(world, FAR_S + 2)
    assert heard(toys, world, order_id) == (f"alarm {FAR_S}", "rang")


@pytest.mark.parametrize("moment_s", [0.1, 30, EARLY_S - 1, EARLY_S + 1, FAR_S - 1])
async def test_a_crash_at_any_time_before_it_changes_nothing(
    toys: SimpleNamespace, world: World, order_id: str, moment_s: float
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {FAR_S}"))
    await until(world, moment_s)
    process.crash()
    world.start(toys.counter)

    await until(world, FAR_S + 5)

    assert heard(toys, world, order_id) == (f"alarm {FAR_S}", "rang")


@pytest.mark.parametrize("moved_at_s", [60, EARLY_S + 60])
@pytest.mark.parametrize("moved_to", ["never", "60", f"{FAR_S}.0"])
async def test_it_rings_once_and_when_it_was_moved_to(
    toys: SimpleNamespace, world: World, order_id: str, moved_at_s: float, moved_to: str
) -> None:
    world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {FAR_S}"))
    await until(world, moved_at_s)
    world.send(toys.ask(order_id, f"alarm {moved_to}"))
    so_far = (f"alarm {FAR_S}", f"alarm {moved_to}")

    if moved_to != "never":
        await until(world, moved_at_s + float(moved_to) - 1)
        assert heard(toys, world, order_id) == so_far
    await until(world, 3 * FAR_S)

    assert heard(toys, world, order_id) == (*so_far, *([] if moved_to == "never" else ["rang"]))


@pytest.mark.parametrize("step", ["alarms", "read the alarms"])
@pytest.mark.parametrize("moved_to", ["never", "300", f"{FAR_S}.0"])
async def test_what_changes_while_the_store_is_asked_is_not_lost(
    toys: SimpleNamespace, world: World, order_id: str, step: str, moved_to: str
) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {FAR_S}"))
    await until(world, 60)
    asked_at_s: list[float] = []

    async def slowly(name: str) -> None:
        if name == step and FAR_S - AHEAD.total_seconds() < (world.clock.now() - EPOCH).total_seconds():
            process.before = None
            asked_at_s.append((world.clock.now() - EPOCH).total_seconds())
            world.send(toys.ask(order_id, f"alarm {moved_to}"))
            await asyncio.sleep(20)  # so that it is decided on, journaled and saved meanwhile

    process.before = slowly
    await until(world, 3 * FAR_S)

    rang = () if moved_to == "never" else ("rang",)
    assert len(asked_at_s) == 1
    assert heard(toys, world, order_id) == (f"alarm {FAR_S}", f"alarm {moved_to}", *rang)


@pytest.mark.parametrize("before_s", [1.0, 0.5, 0.05, 0.001, 0.0, -0.001, -0.5])
async def test_what_is_not_saved_yet_when_the_horizon_moves_over_it_rings(
    toys: SimpleNamespace, world: World, order_id: str, before_s: float
) -> None:
    world.start(toys.counter)
    await until(world, MOVES_S - before_s)
    world.send(toys.ask(order_id, f"alarm {FURTHER_S}"))

    await until(world, MOVES_S + FURTHER_S + 5)

    assert heard(toys, world, order_id) == (f"alarm {FURTHER_S}", "rang")


@pytest.mark.parametrize("step", ["alarms", "read the alarms"])
async def test_what_is_set_while_the_store_is_asked_rings(
    toys: SimpleNamespace, world: World, order_id: str, step: str
) -> None:
    process = world.start(toys.counter)
    await until(world, MOVES_S / 2)

    async def slowly(name: str) -> None:
        if name == step:
            process.before = None
            world.send(toys.ask(order_id, f"alarm {FURTHER_S}"))
            await asyncio.sleep(20)  # so that it is decided on, journaled and saved meanwhile

    process.before = slowly
    await until(world, MOVES_S + FURTHER_S + 5)

    assert heard(toys, world, order_id) == (f"alarm {FURTHER_S}", "rang")


async def test_a_store_that_does_not_answer_is_asked_again(toys: SimpleNamespace, world: World, order_id: str) -> None:
    process = world.start(toys.counter)
    world.send(toys.ask(order_id, f"alarm {FAR_S}"))
    await until(world, 60)
    refused = []

    async def away(name: str) -> None:
        if name == "alarms" and len(refused) < 3:
            refused.append(name)
            raise ConnectionError("the store is away")

    process.before = away
    await until(world, FAR_S + 5)

    assert len(refused) == 3
    assert process.count("throughline_read_failures_total") == 3
    assert heard(toys, world, order_id) == (f"alarm {FAR_S}", "rang")


def test_what_the_store_said_rings_though_another_alarm_was_moved_very_often_since() -> None:
    alarms = Alarms()
    alarms.set("a", EPOCH + timedelta(seconds=10))
    alarms.learn("a", EPOCH + timedelta(seconds=5))
    for second in range(2000):
        alarms.set("b", EPOCH + timedelta(seconds=60 + second))
    assert len(alarms._heap) < 2000
    assert alarms.due(EPOCH + timedelta(seconds=5), 10) == ["a"]


MOMENTS = st.integers(0, 20).map(lambda second: EPOCH + timedelta(seconds=second))
KEYS = st.sampled_from("abc")
CHANGES = st.tuples(st.just("set"), KEYS, MOMENTS | st.none()) | st.tuples(st.just("learn"), KEYS, MOMENTS)


@given(st.lists(CHANGES, max_size=40), MOMENTS, MOMENTS)
def test_whatever_is_set_or_learned_rings_unless_it_was_set_otherwise_after_that(
    changes: list[tuple[str, str, datetime | None]], until: datetime, now: datetime
) -> None:
    alarms = Alarms()
    alarms.until = until
    due: dict[str, set[datetime]] = {}
    for what, key, when in changes:
        if what == "set":
            alarms.set(key, when)
            due[key] = set()
        elif when is not None:
            alarms.learn(key, when)
        if when is not None and when < until:
            due.setdefault(key, set()).add(when)
    wanted = sorted(min(whens) for whens in due.values() if whens)

    if wanted:
        assert (first := alarms.next()) is not None
        assert first <= wanted[0]
    rung = alarms.due(now, 1000)

    assert {key for key, whens in due.items() if any(when <= now for when in whens)} <= set(rung)
    assert len(rung) <= sum(when is not None for _, _, when in changes)
    assert alarms.due(now, 1000) == []
