"""Latency at a steady rate: an open loop, in which an order is due when it is due, whatever became of those before it.

An order's time runs from the moment when it was due, not from the one at which it could be sent: what holds up the one
who places orders is a wait like any other. It ends when its OrderCompleted has come back from Kafka.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from oms.bench.arena import Side
from oms.bench.figures import Percentiles, Repeated
from oms.bench.orders import Assortment
from oms.bench.throughput import letters
from oms.bench.watch import watching
from oms.placing.sending import Sender


@dataclass(frozen=True)
class Steady:
    """Latency at one rate."""

    rate_per_s: float
    times: Repeated

    def as_json(self) -> dict[str, object]:
        return {"rate_per_s": round(self.rate_per_s, 1), **self.times.as_json()}


async def latencies(
    side: Side,
    assortment: Assortment,
    rates: list[float],
    seconds: float,
    repeats: int,
    say: Callable[[str], None],
) -> list[Steady]:
    """The latency at each rate for this many seconds, all of it `repeats` times. Raises Stalled and Unreachable."""
    measured: dict[float, list[Percentiles]] = {rate: [] for rate in rates}
    for number in range(repeats):
        for rate in rates:
            say(f"run {number + 1} of {repeats}: latency at {rate:.0f} orders/s for {seconds:.0f} s")
            channel = f"steady-{number}-{rates.index(rate)}"
            measured[rate].append(await latency_at(side.addresses.kafka, assortment, channel, rate, seconds))
    return [Steady(rate, Repeated(times)) for rate, times in measured.items()]


async def latency_at(brokers: str, assortment: Assortment, channel: str, rate: float, seconds: float) -> Percentiles:
    """The latency of orders of this channel, due at this rate for this many seconds. Raises Stalled and Unreachable."""
    orders = letters(assortment, channel, max(1, int(rate * seconds)))
    due_s: dict[bytes | None, float] = {}
    async with watching(brokers) as watch, Sender(brokers) as sender:
        begun = time()
        for number, order in enumerate(orders):
            due = begun + number / rate
            await asyncio.sleep(due - time())
            due_s[order.key] = due
            await sender.send(order)
        await sender.flush()
        await watch.until(len(orders))
    return Percentiles.of([(watch.seen_s[key] - due) * 1000 for key, due in due_s.items()])
