"""The whole benchmark in one go, on one Kafka and one MongoDB: what is compared takes turns."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.topics import PARTITIONS, SERVICES

from oms.bench import api, cost, front_door, growth, latency
from oms.bench.arena import Arena, Kind
from oms.bench.orders import from_file, hot, spread, stock
from oms.bench.report import ALL_SKUS, HOT, ONE_SKU, ORDINARY, REAL, SCALED, Report
from oms.bench.throughput import WARM, WARM_UP, Contestant, complete, contest, letters
from oms.stack.local import LocalStack, Ports

STORAGE, REAL_ORDERS, HOT_SKU, SCALING, LATENCY, API = PARTS = (
    *("storage", "real-orders", "hot-sku", "scaling"),
    *("latency", "api"),
)
"""What is measured beside the services and the floor with ordinary orders: in turns with them, and after them."""
SHARES = (0.25, 0.5, 0.75)
"""At which parts of the throughput latency is measured; the APIs at the first."""
SCALES = (1, 2, 4)
"""How many instances of each service are compared."""
IDLE_S = 10.0
"""How long nothing is done, in seconds, or as long as latency is measured if that is shorter."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be measured."""

    orders: int
    """In each backlog."""
    lines: int
    repeats: int
    seconds: float
    """How long latency is measured at each rate, each time."""
    orders_file: Path
    """Where the real orders are."""
    rate: float | None = None
    """The one rate at which latency is measured; None measures it at parts of the throughput."""
    parts: Collection[str] = PARTS
    growth: Sequence[int] = ()
    """How many orders there are each time that it is measured how the services grow old."""
    partitions: int = PARTITIONS


async def bench(wanted: Wanted, say: Say) -> Report:
    """Run everything on free ports, and measure. Raises StackError, Unreachable, Stalled, Missold and NoOrders."""
    contestants = contestants_of(wanted)
    async with LocalStack(Ports.free()) as stack:
        arena = Arena(stack, wanted.partitions)
        report = Report(
            await contest(arena, contestants, wanted.orders, wanted.repeats, say), partitions=wanted.partitions
        )
        if {LATENCY, API} & set(wanted.parts):
            await _measure_steadily(arena, wanted, report, say)
        if wanted.growth:
            report.growth = await growth.grow(arena, spread(wanted.lines), wanted.growth, wanted.seconds, say)
    return report


def contestants_of(wanted: Wanted) -> list[Contestant]:
    """All whose throughput is compared: first of all the services and the floor, on the same ordinary orders."""
    ordinary = spread(wanted.lines)
    kinds = [kind for kind in Kind if kind != Kind.FLOOR_WITHOUT_STORAGE or STORAGE in wanted.parts]
    contestants = [Contestant(ORDINARY, kind, kind, ordinary) for kind in kinds]
    if REAL_ORDERS in wanted.parts:
        real = from_file(wanted.orders_file)
        contestants += [Contestant(REAL, kind, kind, real) for kind in kinds]
    if HOT_SKU in wanted.parts:
        several = {"order": 2, "inventory": 2}
        contestants += [
            Contestant(HOT, name, Kind.SERVICES, assortment, several, is_scarce=True)
            for name, assortment in ((ALL_SKUS, ordinary), (ONE_SKU, hot(wanted.lines)))
        ]
    if SCALING in wanted.parts:
        contestants += [
            Contestant(SCALED, str(number), Kind.SERVICES, ordinary, dict.fromkeys(SERVICES, number))
            for number in SCALES
        ]
    return contestants


async def _measure_steadily(arena: Arena, wanted: Wanted, report: Report, say: Say) -> None:
    """What is measured at a steady rate: all of it on the same processes, which by then have been busy for a while."""
    ordinary = spread(wanted.lines)
    throughput = report.services.orders_per_s.median
    rates = [wanted.rate] if wanted.rate is not None else [share * throughput for share in SHARES]
    async with arena.side(Kind.SERVICES, {}) as side:
        await stock(side.addresses.kafka, ordinary.plenty())
        await complete(side.addresses.kafka, letters(ordinary, WARM, WARM_UP))
        if LATENCY in wanted.parts:
            report.latency = await latency.latencies(side, ordinary, rates, wanted.seconds, wanted.repeats, say)
        if API in wanted.parts:
            report.api = await api.ask(side, ordinary, rates[0], wanted.seconds, wanted.repeats, say)
        say("doing nothing")
        before = cost.cpu_s(side)
        idle_s = min(IDLE_S, wanted.seconds)
        await asyncio.sleep(idle_s)
        after = cost.cpu_s(side)
        report.idle_cpu_percent = {
            name: round((after[name] - before[name]) / idle_s * 100, 2) for name in (*SERVICES, "Kafka", "MongoDB")
        }
        if API in wanted.parts:
            report.front_door = await front_door.knock(side, ordinary, wanted.seconds, wanted.repeats, say)
    if LATENCY in wanted.parts:
        async with arena.side(Kind.FLOOR, {}) as floor:
            await complete(floor.addresses.kafka, letters(ordinary, WARM, WARM_UP))
            report.floor_latency = await latency.latencies(
                floor, ordinary, rates, wanted.seconds, wanted.repeats, lambda said: say(f"{said}, the floor")
            )
