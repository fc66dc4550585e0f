"""Work on many things, a bounded number of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(things: Iterable[T], at_once: int, do: Callable[[T], Awaitable[R]]) -> list[R]:
    """What came of each, in the order in which they were done. The first that fails ends it all."""
    waiting, done = iter(things), list[R]()

    async def one_after_the_other() -> None:
        for thing in waiting:
            done.append(await do(thing))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other())
    return done
