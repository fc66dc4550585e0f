"""Growing old: what becomes of throughput, latency, memory and recovery as orders pile up, which are never removed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import time

from oms.bench import cost
from oms.bench.arena import Arena, Kind, Side, start_all
from oms.bench.figures import Percentiles, significant
from oms.bench.latency import latency_at
from oms.bench.orders import Assortment, stock
from oms.bench.throughput import WARM, WARM_UP, complete, letters
from oms.bench.watch import watching
from oms.placing.sending import Sender, letter

ORDERS_AT_ONCE = 10_000
"""How many orders are placed as one backlog; the throughput is that of the last one."""
LOAD = 0.5
"""At which part of the throughput latency is measured, and the services are killed."""
UNDER_WAY_S = 5.0
"""How much work the services have before them when they are killed, in seconds at that load."""


@dataclass(frozen=True)
class Age:
    """What the services are like when there are this many orders."""

    orders: int
    orders_per_s: float
    cpu_us: Mapping[str, float]
    """What each of the last orders took, by process."""
    rate_per_s: float
    latency: Percentiles
    rss_mb: Mapping[str, float]
    recovery_s: float
    """From the SIGKILL of all services, which are started again at once, until an order is completed again."""

    @property
    def cpu_us_per_order(self) -> float:
        """Of everything on the machine that is ours, without the bench itself."""
        return cost.without_bench(self.cpu_us)

    def as_json(self) -> dict[str, object]:
        return {
            "orders": self.orders,
            "orders_per_s": significant(self.orders_per_s),
            "cpu_us_per_order_in_all": significant(self.cpu_us_per_order),
            "cpu_us_per_order": {name: significant(us) for name, us in self.cpu_us.items()},
            "latency_rate_per_s": significant(self.rate_per_s),
            "p50_ms": significant(self.latency.p50_ms),
            "p99_ms": significant(self.latency.p99_ms),
            "rss_mb": self.rss_mb,
            "recovery_s": significant(self.recovery_s),
        }


async def grow(
    arena: Arena, assortment: Assortment, sizes: Sequence[int], seconds: float, say: Callable[[str], None]
) -> list[Age]:
    """Place orders until there are as many as each size says, and measure there. Raises what a run raises."""
    ages: list[Age] = []
    orders = assortment.orders("grown")
    there = 0
    async with arena.side(Kind.SERVICES, {}) as side:
        brokers = side.addresses.kafka
        await stock(brokers, assortment.plenty())
        await complete(brokers, letters(assortment, WARM, WARM_UP))
        for size in sorted(set(sizes)):
            orders_per_s, cpu_us = 0.0, {}
            while there < size:
                say(f"growing: {there:,} of {size:,} orders")
                backlog = [letter(order) for order in islice(orders, min(ORDERS_AT_ONCE, size - there))]
                before = cost.cpu_s(side)
                orders_per_s = await complete(brokers, backlog)
                cpu_us = cost.cpu_us(before, cost.cpu_s(side), len(backlog))
                there += len(backlog)
            rate = LOAD * orders_per_s
            say(f"{size:,} orders: latency at {rate:.0f} orders/s")
            memory = cost.rss_mb(side)
            latency = await latency_at(brokers, assortment, f"steady-{size}", rate, seconds)
            say(f"{size:,} orders: killing all services")
            recovery_s = await _recovery_s(side, assortment, f"killed-{size}", rate)
            ages.append(Age(size, orders_per_s, cpu_us, rate, latency, memory, recovery_s))
    return ages


async def _recovery_s(side: Side, assortment: Assortment, channel: str, rate: float) -> float:
    children = [child for some in side.instances.values() for child in some]
    *orders, last = letters(assortment, channel, 1 + int(rate * UNDER_WAY_S))
    async with watching(side.addresses.kafka) as watch, Sender(side.addresses.kafka) as sender:
        for order in orders:
            await sender.send(order)
        await sender.flush()
        killed_s = time()
        for child in children:
            child.kill()
        await sender.send(last)  # so that there is one, whatever had become of the others by then
        await start_all(children)
        await watch.until(len(orders) + 1)
        after_s = [ms / 1000 - killed_s for ms in watch.completed_ms.values()]
        return min(seconds for seconds in after_s if seconds > 0)
