"""Where a process in memory can be interrupted.

Every step that another process could be seen in between, or that a crash could fall on, is announced to an `Interrupt`.
It may wait, raise, or never return: then the process that asked is as good as dead, and what it did so far stands.
"""

import asyncio
from collections.abc import Awaitable, Callable

Interrupt = Callable[[str], Awaitable[None]]
"""Told before each step, by name."""


async def go_on(_: str) -> None:
    """Let the others run, and carry on: every wait of the real thing gives them the chance."""
    await asyncio.sleep(0)
