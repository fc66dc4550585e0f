import asyncio
from collections.abc import Collection, Mapping

import pytest
from chassis.mongo.together import LOOKUPS_AT_ONCE, Together

pytestmark = pytest.mark.asyncio


class Shelf:
    """What is looked up, one lookup after the other, each when it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails_with: Exception | None = None
        self.begun = asyncio.Semaphore(0)
        self.go = asyncio.Event()

    async def look_up(self, keys: Collection[str]) -> Mapping[str, str]:
        self.asked.append(sorted(keys))
        self.begun.release()
        await self.go.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return {key: key.upper() for key in keys if key != "unknown"}


async def busy(shelf: Shelf, together: Together[str]) -> list[asyncio.Task[str | None]]:
    """As many lookups under way as there may be."""
    first = []
    for number in range(LOOKUPS_AT_ONCE):
        first.append(asyncio.create_task(together.get(f"first {number}")))
        await shelf.begun.acquire()
    return first


async def asking(together: Together[str], *keys: str) -> list[asyncio.Task[str | None]]:
    """They ask, and wait for a lookup to end."""
    some = [asyncio.create_task(together.get(key)) for key in keys]
    await asyncio.sleep(0)
    return some


async def test_the_first_who_ask_wait_for_nobody_and_the_others_are_answered_by_the_next_lookup() -> None:
    shelf = Shelf()
    together = Together(shelf.look_up)
    first = await busy(shelf, together)
    more = await asking(together, "b", "unknown", "a", "b")

    shelf.go.set()

    assert [await one for one in first] == [f"FIRST {number}" for number in range(LOOKUPS_AT_ONCE)]
    assert [await one for one in more] == ["B", None, "A", "B"]
    assert shelf.asked == [*([f"first {number}"] for number in range(LOOKUPS_AT_ONCE)), ["a", "b", "unknown"]]


async def test_everybody_who_asked_hears_that_a_lookup_failed_and_the_next_is_made() -> None:
    shelf = Shelf()
    shelf.fails_with = ConnectionError("away")
    together = Together(shelf.look_up)
    first = await busy(shelf, together)
    more = await asking(together, "a", "b")

    shelf.go.set()
    heard = await asyncio.gather(*first, *more, return_exceptions=True)
    shelf.fails_with = None

    assert [str(one) for one in heard] == ["away"] * (LOOKUPS_AT_ONCE + 2)
    assert await together.get("c") == "C"


async def test_who_asks_no_more_keeps_nobody_else_from_being_answered() -> None:
    shelf = Shelf()
    together = Together(shelf.look_up)
    first = await busy(shelf, together)
    gone, there = await asking(together, "a", "a")

    for one in (first[0], gone):
        one.cancel()
    shelf.go.set()

    async with asyncio.timeout(5):
        assert await there == "A"
    for one in (first[0], gone):
        with pytest.raises(asyncio.CancelledError):
            await one


async def test_nobody_waits_for_ever_for_a_lookup_that_was_cancelled() -> None:
    shelf = Shelf()
    together = Together(shelf.look_up)
    first = await busy(shelf, together)
    (waiting,) = await asking(together, "a")
    first[0].cancel()
    await shelf.begun.acquire()

    (answering,) = together._answering
    answering.cancel()

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await waiting
    shelf.go.set()
    await asyncio.gather(*first[1:])
