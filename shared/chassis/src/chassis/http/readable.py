"""Waiting over HTTP until something is readable: what was just asked for is written about a second later."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Query

LOOK_EVERY_S = 0.2
WaitS = Annotated[float, Query(ge=0, le=30, description="how long to wait for what is not known yet")]
T = TypeVar("T")


async def once_readable(look: Callable[[], Awaitable[T | None]], wait_s: float) -> T | None:
    """What `look` finds, as soon as it finds something; None if it finds nothing in that time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while (found := await look()) is None and loop.time() < until:  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(LOOK_EVERY_S)
    return found
