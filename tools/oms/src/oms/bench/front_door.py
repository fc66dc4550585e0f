"""The HTTP APIs by themselves: how many orders one process takes in, and how soon an idle one tells availability.

Orders are posted one after the other on many connections at once (a closed loop: the question is how many). The other
services are stopped meanwhile, and before it is measured the order service has begun as many as it may. So it
does nothing but take orders in, which does not depend on who works them off.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter, time
from typing import Any

import aiohttp
from chassis.settings import ChassisSettings
from contracts.topics import SERVICES
from prometheus_client.parser import text_string_to_metric_families

from oms.bench.api import items_of, posting
from oms.bench.arena import Side
from oms.bench.figures import Figure, Percentiles, Repeated
from oms.bench.orders import Assortment
from oms.stack.errors import StackError
from oms.stack.process import until

POSTS_AT_ONCE = 64
"""Connections that post."""
POSTS = 5_000
FULL_WITHIN_S = 60.0
READS_PER_S = 100


@dataclass
class FrontDoor:
    """What was measured, each time that it was."""

    posts_per_s: list[float] = field(default_factory=list)
    posts: list[Percentiles] = field(default_factory=list)
    availability: list[Percentiles] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {
            "posts_at_once": POSTS_AT_ONCE,
            "posts_per_s": Figure.of(self.posts_per_s).as_json(),
            "post": Repeated(self.posts).as_json(),
            "availability_rate_per_s": READS_PER_S,
            "availability": Repeated(self.availability).as_json(),
        }


async def knock(
    side: Side, assortment: Assortment, seconds: float, repeats: int, say: Callable[[str], None]
) -> FrontDoor:
    """Measure both, this often. The services other than order are stopped for that. Raises StackError."""
    found = FrontDoor()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=POSTS_AT_ONCE)) as http:
        for number in range(repeats):
            say(f"run {number + 1} of {repeats}: GET /availability, {READS_PER_S} a second for {seconds:.0f} s")
            found.availability.append(await _read(http, side, assortment, seconds))
        await _stop_others(side)
        await _fill(http, side, map(posting, assortment.orders("filling")))
        for number in range(repeats):
            say(f"run {number + 1} of {repeats}: POST /orders, {POSTS:,} of them, {POSTS_AT_ONCE} at once")
            ready = map(posting, assortment.orders(f"posted-{number}"))
            times_ms, took_s = await _post(http, side, [*islice(ready, POSTS)])
            found.posts_per_s.append(POSTS / took_s)
            found.posts.append(Percentiles.of(times_ms))
    return found


async def _read(http: aiohttp.ClientSession, side: Side, assortment: Assortment, seconds: float) -> Percentiles:
    """Ask at a fixed rate, and time each request from when it was due."""
    url = f"{side.url('inventory')}/availability"
    times_ms: list[float] = []
    answered: Counter[str] = Counter()

    async def ask(params: list[tuple[str, str]], due: float) -> None:
        answered[await _status(http.get(url, params=params))] += 1
        times_ms.append((time() - due) * 1000)

    begun = time()
    async with asyncio.TaskGroup() as group:
        for number, order in enumerate(islice(assortment.orders("read"), int(seconds * READS_PER_S))):
            due = begun + number / READS_PER_S
            await asyncio.sleep(due - time())
            group.create_task(ask(items_of(order), due))
    _check(url, answered)
    return Percentiles.of(times_ms)


async def _post(http: aiohttp.ClientSession, side: Side, posts: list[dict[str, Any]]) -> tuple[list[float], float]:
    """How long each took, in ms, and all of them together, in seconds."""
    url = f"{side.url('order')}/orders"
    times_ms: list[float] = []
    answered: Counter[str] = Counter()

    async def post_all(left: Iterator[dict[str, Any]]) -> None:
        for ready in left:
            begun = perf_counter()
            answered[await _status(http.post(url, **ready))] += 1
            times_ms.append((perf_counter() - begun) * 1000)

    left = iter(posts)
    begun = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(POSTS_AT_ONCE):
            group.create_task(post_all(left))
    took_s = perf_counter() - begun
    _check(url, answered)
    return times_ms, took_s


async def _status(asked: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> str:
    """By which status it was answered, or why it was not."""
    try:
        async with asked as answer:
            await answer.read()
            return str(answer.status)
    except (aiohttp.ClientError, TimeoutError) as failed:
        return type(failed).__name__


def _check(url: str, answered: Counter[str]) -> None:
    """To be refused is quick: a figure of that would mislead."""
    if refused := {status: count for status, count in answered.items() if not status.startswith("2")}:
        raise StackError(f"{url} answered by {refused}")


async def _fill(http: aiohttp.ClientSession, side: Side, ready: Iterator[dict[str, Any]]) -> None:
    """Post until the order service has begun as many as it may, and takes no more from its topic."""
    await _post(http, side, [*islice(ready, side.partitions * 2 * ChassisSettings().under_way_max_documents)])
    taken = -1.0

    async def is_full() -> bool:
        nonlocal taken
        async with http.get(f"{side.url('order')}/metrics") as answer:
            now = _taken(await answer.text())
        before, taken = taken, now
        await asyncio.sleep(1)
        return before == now

    if not await until(is_full, FULL_WITHIN_S):
        raise StackError("the order service goes on taking orders although nobody works them off")


def _taken(metrics: str) -> float:
    """How many messages a service has decided on."""
    families = text_string_to_metric_families(metrics)
    return sum(s.value for family in families for s in family.samples if s.name == "throughline_messages_taken_total")


async def _stop_others(side: Side) -> None:
    async with asyncio.TaskGroup() as group:
        for service in SERVICES:
            if service != "order":
                for child in side.instances[service]:
                    group.create_task(child.stop())
