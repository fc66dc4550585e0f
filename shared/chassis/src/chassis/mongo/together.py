"""Lookups of single things: those that are asked for while enough are under way are made together by the next."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

LOOKUPS_AT_ONCE = 4
"""How many lookups are made at a time: few enough that many who ask share one, enough that few need not wait."""


class Together(Generic[T]):
    """A few lookups at a time; the next is for all who asked by then. Nobody hears what was found before they asked.

    A round trip costs a process more than the request that it is made for: where many ask at once, few are made.
    """

    def __init__(self, look_up: Callable[[Collection[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._look_up = look_up
        self._asked: list[tuple[str, asyncio.Future[T | None]]] = []
        self._under_way = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> T | None:
        """What there is under the key, or None; raises what the lookup raises."""
        if self._under_way >= LOOKUPS_AT_ONCE:
            answer: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
            self._asked.append((key, answer))
            return await answer
        return (await self._found({key})).get(key)

    async def _found(self, keys: Collection[str]) -> Mapping[str, T]:
        self._under_way += 1
        try:
            return await self._look_up(keys)
        finally:
            self._under_way -= 1
            if self._asked:
                asked, self._asked = self._asked, []
                task = asyncio.create_task(self._answer(asked))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _answer(self, asked: Collection[tuple[str, asyncio.Future[T | None]]]) -> None:
        try:
            found = await self._found({key for key, _ in asked})
        except BaseException as failed:
            for _, answer in asked:
                if isinstance(failed, Exception) and not answer.done():
                    answer.set_exception(failed)
                answer.cancel()  # which does nothing to what is answered
            if not isinstance(failed, Exception):
                raise
        else:
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))
