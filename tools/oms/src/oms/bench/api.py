"""The HTTP APIs while orders flow: each request is due when it is due, as for the latency of orders.

Orders come in by `POST /orders` at a steady rate, and for each of them an earlier one and the availability of its items
are asked for.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import islice
from time import time
from typing import Any

import aiohttp
from contracts.order import OrderPlaced

from oms.bench.arena import Side
from oms.bench.figures import Percentiles, Repeated
from oms.bench.orders import LOCATIONS, Assortment
from oms.bench.watch import watching

READABLE_AFTER_S = 3.0
"""How old an order is when it is asked for, in seconds: it is readable about a second after it was taken."""
CONNECTIONS = 100
TIMEOUT_S = 30.0
POST, GET, AVAILABILITY = "POST /orders", "GET /orders/{id}", "GET /availability"


@dataclass(frozen=True)
class Answered:
    """How the requests of each kind were answered."""

    rate_per_s: float
    times: Mapping[str, Repeated]
    refused: Counter[str]
    """How many of each kind were not answered by what was asked for, and are not among the times."""

    def as_json(self) -> dict[str, object]:
        return {
            "rate_per_s": round(self.rate_per_s, 1),
            **{name: {**times.as_json(), "refused": self.refused[name]} for name, times in self.times.items()},
        }


@dataclass
class _Asking:
    """One go at it."""

    side: Side
    http: aiohttp.ClientSession
    times_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)

    async def post(self, order: OrderPlaced, due: float) -> None:
        await self._ask(POST, due, self.http.post(f"{self.side.url('order')}/orders", **posting(order)))

    async def get(self, order: OrderPlaced, due: float) -> None:
        await self._ask(GET, due, self.http.get(f"{self.side.url('order')}/orders/{order.order_id}"))

    async def available(self, order: OrderPlaced, due: float) -> None:
        url = f"{self.side.url('inventory')}/availability"
        await self._ask(AVAILABILITY, due, self.http.get(url, params=items_of(order)))

    async def _ask(self, name: str, due: float, asked: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> None:
        try:
            async with asked as answer:
                await answer.read()
                is_answered = answer.ok
        except (aiohttp.ClientError, TimeoutError):
            is_answered = False
        if is_answered:
            self.times_ms[name].append((time() - due) * 1000)
        else:  # which may be quick, or slow for no reason of its own
            self.refused[name] += 1


def posting(order: OrderPlaced) -> dict[str, Any]:
    """How an order is posted."""
    return {"data": order.model_dump_json().encode(), "headers": {"content-type": "application/json"}}


def items_of(order: OrderPlaced) -> list[tuple[str, str]]:
    """The query for the items of an order, in one location."""
    return [("location", LOCATIONS[0]), *(("sku", line.sku) for line in order.lines)]


async def ask(
    side: Side, assortment: Assortment, rate: float, seconds: float, repeats: int, say: Callable[[str], None]
) -> Answered:
    """Ask each thing at this rate for this many seconds, all of it `repeats` times. Raises Unreachable and Stalled."""
    times: defaultdict[str, list[Percentiles]] = defaultdict(list)
    refused: Counter[str] = Counter()
    for number in range(repeats):
        say(f"run {number + 1} of {repeats}: {rate:.0f} requests/s of each kind for {seconds:.0f} s")
        orders = [*islice(assortment.orders(f"http-{number}"), max(1, int(rate * seconds)))]
        async with (
            watching(side.addresses.kafka) as watch,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=aiohttp.ClientTimeout(TIMEOUT_S)
            ) as http,
        ):
            asking = _Asking(side, http)
            await _ask_all(asking, orders, rate)
            await watch.until(len(orders) - asking.refused[POST])
        for name, measured in asking.times_ms.items():
            times[name].append(Percentiles.of(measured))
        refused += asking.refused
    return Answered(rate, {name: Repeated(measured) for name, measured in times.items()}, refused)


async def _ask_all(asking: _Asking, orders: list[OrderPlaced], rate: float) -> None:
    begun = time()
    earlier = int(rate * READABLE_AFTER_S)
    async with asyncio.TaskGroup() as group:
        for number in range(len(orders) + earlier):
            due = begun + number / rate
            await asyncio.sleep(due - time())
            if number < len(orders):
                group.create_task(asking.post(orders[number], due))
                group.create_task(asking.available(orders[number], due))
            if number >= earlier:
                group.create_task(asking.get(orders[number - earlier], due))
