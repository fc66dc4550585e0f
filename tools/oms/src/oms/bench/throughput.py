"""Throughput: a backlog of orders, and how long it takes until the last of them is completed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from contracts.message import Sku

from oms.bench import cost, sold
from oms.bench.arena import Arena, Kind
from oms.bench.cost import Cost, Reading
from oms.bench.figures import Figure, median_of
from oms.bench.orders import LOCATIONS, Assortment, stock
from oms.bench.watch import watching
from oms.placing.sending import Letter, Sender, letter

WARM_UP = 500
"""Orders that go first and are not counted: interpreters, connections and caches are cold."""
WARM, BACKLOG = "warm", "backlog"
"""Channels of the bench."""


@dataclass(frozen=True, slots=True)
class Run:
    """One backlog, worked off by one side."""

    orders_per_s: float
    cost: Cost
    rss_mb: dict[str, float]


@dataclass(frozen=True)
class Contestant:
    """A side, and the orders that it gets."""

    group: str
    """What it is compared with has the same."""
    name: str
    kind: Kind
    assortment: Assortment
    scale: Mapping[str, int] = field(default_factory=dict)
    """Instances by service, where it is not one."""
    is_scarce: bool = False
    """Whether there are exactly as many goods as are ordered, all of them in one location, and not more than enough."""

    def ordered(self, orders: int) -> dict[Sku, int]:
        """Units of each item in the warm-up and the backlog."""
        return self.assortment.wanted(WARM, WARM_UP) + self.assortment.wanted(BACKLOG, orders)

    async def run(self, arena: Arena, orders: int) -> Run:
        """Raises StackError, Unreachable, Stalled and Missold."""
        async with arena.side(self.kind, self.scale) as side:
            brokers = side.addresses.kafka
            if self.kind == Kind.SERVICES:
                await self._stock(brokers, orders)
            await complete(brokers, letters(self.assortment, WARM, WARM_UP))
            backlog = letters(self.assortment, BACKLOG, orders)
            before = await Reading.of(side)
            orders_per_s = await complete(brokers, backlog)
            after = await Reading.of(side)
            if self.kind == Kind.SERVICES:
                await sold.check(side.addresses.mongo, self.ordered(orders))
            return Run(orders_per_s, after.cost(before, orders), cost.rss_mb(side))

    async def _stock(self, brokers: str, orders: int) -> None:
        if self.is_scarce:
            await stock(brokers, self.ordered(orders), LOCATIONS[:1])
        else:
            await stock(brokers, self.assortment.plenty())


@dataclass(frozen=True)
class Runs:
    """All runs of one contestant."""

    contestant: Contestant
    orders: int
    runs: list[Run]

    @property
    def orders_per_s(self) -> Figure:
        return Figure.of(run.orders_per_s for run in self.runs)

    @property
    def cpu_us_per_order(self) -> Figure:
        """Of everything on the machine that is ours, without the bench itself."""
        return Figure.of(cost.without_bench(run.cost.cpu_us) for run in self.runs)

    @property
    def rss_mb(self) -> dict[str, float]:
        return median_of([run.rss_mb for run in self.runs])

    @property
    def cost(self) -> Cost:
        """The median of each figure."""
        costs = [run.cost for run in self.runs]
        return Cost(
            median_of([one.cpu_us for one in costs]),
            median_of([one.topic_bytes for one in costs]),
            median_of([one.journal_bytes for one in costs]),
        )

    def as_json(self) -> dict[str, object]:
        return {
            "side": self.contestant.kind,
            "orders": self.orders,
            "lines_per_order": self.contestant.assortment.lines_per_order,
            "orders_per_s": self.orders_per_s.as_json(),
            "cpu_us_per_order_in_all": self.cpu_us_per_order.as_json(),
            "rss_mb": self.rss_mb,
            **self.cost.as_json(),
        }


async def contest(
    arena: Arena, contestants: Sequence[Contestant], orders: int, repeats: int, say: Callable[[str], None]
) -> list[Runs]:
    """Let all run, one after the other, `repeats` times over. Raises what a run raises.

    Every other round goes the other way: the engines grow warm, and nobody should be first each time.
    """
    results = [Runs(one, orders, []) for one in contestants]
    for number in range(repeats):
        for its in results if number % 2 == 0 else reversed(results):
            one = its.contestant
            say(f"run {number + 1} of {repeats}: {orders} orders, {one.group}: {one.name}")
            its.runs.append(await one.run(arena, orders))
    return results


def letters(assortment: Assortment, channel: str, orders: int) -> list[Letter]:
    """The first orders of a channel, ready to be sent."""
    return [letter(order) for order in islice(assortment.orders(channel), orders)]


async def complete(brokers: str, orders: Sequence[Letter]) -> float:
    """Send them as fast as Kafka takes them, and wait until all are completed; orders a second. Raises Stalled."""
    async with watching(brokers) as watch, Sender(brokers) as sender:
        for order in orders:
            await sender.send(order)
        await sender.flush()
        await watch.until(len(orders))
        return watch.orders_per_s
