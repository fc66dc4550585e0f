"""The HTTP APIs by themselves: how many orders one process takes in, and how soon an idle one tells availability.

Orders are posted one after the other on so many connections at once (a closed loop: what is asked is how many). The
other services are stopped meanwhile, so that nobody works the orders off: what comes in does not depend on them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from time import perf_counter, time
from typing import Any

import aiohttp

from oms.bench.api import items_of, posting
from oms.bench.arena import Side
from oms.bench.figures import Figure, Percentiles, Repeated
from oms.bench.orders import Assortment
from oms.fleet import SERVICES
from oms.stack.errors import StackError

AT_ONCE = 64
"""Connections that post."""
POSTS = 5_000
WARM_UP = 500
READS_PER_S = 100


@dataclass
class FrontDoor:
    """What was measured, each time that it was."""

    posts_per_s: list[float] = field(default_factory=list)
    posts: list[Percentiles] = field(default_factory=list)
    availability: list[Percentiles] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {
            "posts_at_once": AT_ONCE,
            "posts_per_s": Figure.of(self.posts_per_s).as_json(),
            "post": Repeated(self.posts).as_json(),
            "availability_rate_per_s": READS_PER_S,
            "availability": Repeated(self.availability).as_json(),
        }


async def knock(
    side: Side, assortment: Assortment, seconds: float, repeats: int, say: Callable[[str], None]
) -> FrontDoor:
    """Measure both, so often. The services other than order are stopped after that. Raises StackError."""
    found = FrontDoor()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as http:
        for number in range(repeats):
            say(f"run {number + 1} of {repeats}: GET /availability, {READS_PER_S} a second for {seconds:.0f} s")
            found.availability.append(await _read(http, side, assortment, seconds))
        await _stop_others(side)
        for number in range(repeats):
            say(f"run {number + 1} of {repeats}: POST /orders, {POSTS:,} of them, {AT_ONCE} at once")
            ready = map(posting, assortment.orders(f"posted-{number}"))
            await _post(http, side, [*islice(ready, WARM_UP)])
            times_ms, took_s = await _post(http, side, [*islice(ready, POSTS)])
            found.posts_per_s.append(POSTS / took_s)
            found.posts.append(Percentiles.of(times_ms))
    return found


async def _read(http: aiohttp.ClientSession, side: Side, assortment: Assortment, seconds: float) -> Percentiles:
    """Due at a fixed rate, and timed from when it was due."""
    url = f"{side.url('inventory')}/availability"
    times_ms: list[float] = []
    answered: Counter[int] = Counter()

    async def ask(params: list[tuple[str, str]], due: float) -> None:
        async with http.get(url, params=params) as answer:
            await answer.read()
        times_ms.append((time() - due) * 1000)
        answered[answer.status] += 1

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
    answered: Counter[int] = Counter()

    async def post_all(left: Iterator[dict[str, Any]]) -> None:
        for ready in left:
            begun = perf_counter()
            async with http.post(url, **ready) as answer:
                await answer.read()
            times_ms.append((perf_counter() - begun) * 1000)
            answered[answer.status] += 1

    left = iter(posts)
    begun = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(post_all(left))
    took_s = perf_counter() - begun
    _check(url, answered)
    return times_ms, took_s


def _check(url: str, answered: Counter[int]) -> None:
    """To be refused is quick: a figure of that would mislead."""
    if refused := {status: count for status, count in answered.items() if status >= HTTPStatus.BAD_REQUEST}:
        raise StackError(f"{url} answered by {refused}")


async def _stop_others(side: Side) -> None:
    async with asyncio.TaskGroup() as group:
        for service in SERVICES:
            if service != "order":
                for child in side.instances[service]:
                    group.create_task(child.stop())
