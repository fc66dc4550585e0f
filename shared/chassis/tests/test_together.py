import asyncio
from collections.abc import Collection, Mapping

import pytest
from chassis.together import AT_ONCE, Together

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


async def test_the_first_who_ask_wait_for_nobody_and_the_others_are_answered_by_the_next_lookup() -> None:
    shelf = Shelf()
    together = Together(shelf.look_up)
    first = []
    for number in range(AT_ONCE):
        first.append(asyncio.create_task(together.get(f"first {number}")))
        await shelf.begun.acquire()
    more = [asyncio.create_task(together.get(key)) for key in ("b", "unknown", "a", "b")]
    await asyncio.sleep(0)

    shelf.go.set()

    assert [await one for one in first] == [f"FIRST {number}" for number in range(AT_ONCE)]
    assert [await one for one in more] == ["B", None, "A", "B"]
    assert shelf.asked == [*([f"first {number}"] for number in range(AT_ONCE)), ["a", "b", "unknown"]]


async def test_everybody_who_asked_hears_that_a_lookup_failed_and_the_next_is_made() -> None:
    shelf = Shelf()
    shelf.fails_with = ConnectionError("away")
    together = Together(shelf.look_up)
    some = [asyncio.create_task(together.get(key)) for key in ("a", "b")]
    await shelf.begun.acquire()

    shelf.go.set()
    heard = await asyncio.gather(*some, return_exceptions=True)
    shelf.fails_with = None

    assert [str(one) for one in heard] == ["away", "away"]
    assert await together.get("c") == "C"


async def test_who_asks_no_more_keeps_nobody_else_from_being_answered() -> None:
    shelf = Shelf()
    together = Together(shelf.look_up)
    gone, there = (asyncio.create_task(together.get("a")) for _ in range(2))
    await shelf.begun.acquire()

    gone.cancel()
    shelf.go.set()

    assert await there == "A"
    with pytest.raises(asyncio.CancelledError):
        await gone
