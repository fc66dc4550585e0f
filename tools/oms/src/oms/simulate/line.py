"""The line from a process to whatever it asks outside: it takes its time, and it may break."""

import asyncio
import random
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from chassis.testing.life import Life

BROKEN_AFTER_S = 1.0
"""How long it takes to notice that a line is broken."""
SLOW_S = 9.0
"""How long a slow answer takes: longer than a call may."""
LATEST_S = 20.0
"""How late a request may still arrive that was given up."""

Reply = Callable[[Any], None]
"""What is asked answers with this: a value, or an exception that the asker is to have."""
Request = Callable[[Reply], None]
"""What is done where it arrives."""
Broken = Callable[[], Exception]
"""What the asker's library raises when a line breaks."""


class Mishap(StrEnum):
    """What may happen to a request."""

    LOST = "request lost"
    UNANSWERED = "answer lost"
    LATE = "given up, and done later"
    SLOW = "answered slowly"


class Line:
    """The way out of one process."""

    def __init__(self, life: Life, chance: random.Random) -> None:
        self._life = life
        self._chance = chance
        self._asked = 0
        self._mishaps: dict[int, Mishap] = {}
        self._blows: dict[int, list[Callable[[], None]]] = {}

    def call_in(self, requests: int, blow: Callable[[], None]) -> None:
        """Have this done when the n-th request from now is made; at once, if n is 0."""
        if requests:
            self._blows.setdefault(self._asked + requests, []).append(blow)
        else:
            blow()

    def fail_in(self, requests: int, mishap: Mishap) -> None:
        """Let this happen to the n-th request from now; to the first, if n is 0."""
        self._mishaps[self._asked + max(1, requests)] = mishap

    def spare(self) -> None:
        """Let nothing happen to any request any more."""
        self._mishaps.clear()
        self._blows.clear()

    async def ask(self, request: Request, broken: Broken) -> Any:  # noqa: ANN401 - whatever is answered
        """Have it done at the other end, and wait for the answer. Raises what is answered if that is an exception."""
        return answer_of(await self.send(request, broken))

    def send(self, request: Request, broken: Broken) -> "asyncio.Future[Any]":
        """Have it done at the other end; what is answered, be it an exception, is the future's result."""
        if self._life.is_over:
            raise asyncio.CancelledError
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked += 1
        mishap = self._mishaps.pop(self._asked, None)
        for blow in self._blows.pop(self._asked, ()):
            blow()

        def settle(answer: object) -> None:
            if not answered.done():
                answered.set_result(answer)

        if mishap is None or mishap is Mishap.SLOW:
            self._carry(request, settle, mishap)
        else:
            self._break(request, mishap)
            self._after(BROKEN_AFTER_S, settle, broken())
        return answered

    def _carry(self, request: Request, settle: Reply, mishap: Mishap | None) -> None:
        """Bring it there, and the answer back."""

        def arrive(reply: Reply) -> None:
            # What a process had sent before it died may arrive, or go down with it.
            if not self._life.is_over or self._chance.random() < 0.5:
                request(reply)

        def bring_back(answer: object) -> None:
            delay_s = SLOW_S if mishap is Mishap.SLOW else self.latency_s()
            if delay_s:
                self._after(delay_s, settle, answer)
            else:
                settle(answer)  # whoever waits for it has its turn later in any case

        self._after(self.latency_s(), arrive, bring_back)

    def _break(self, request: Request, mishap: Mishap) -> None:
        """Bring it there, or not, or later, and no answer back."""
        if mishap is Mishap.UNANSWERED:
            self._after(self.latency_s(), request, _unheard)
        elif mishap is Mishap.LATE:
            self._after(BROKEN_AFTER_S + self._chance.random() * LATEST_S, request, _unheard)

    def latency_s(self) -> float:
        """How long one way takes: mostly next to nothing, so that who comes first is a matter of chance."""
        dice = self._chance.random()
        return 0.0 if dice < 0.6 else (dice - 0.6) / 40 if dice < 0.97 else (dice - 0.97) * 20

    @staticmethod
    def _after(delay_s: float, do: Callable[[Any], None], what: object) -> None:
        loop = asyncio.get_running_loop()
        if delay_s:
            loop.call_later(delay_s, do, what)
        else:
            loop.call_soon(do, what)


def answer_of(answer: Any) -> Any:  # noqa: ANN401 - whatever is answered
    if isinstance(answer, Exception):
        raise answer
    return answer


def _unheard(_: object) -> None:
    """The answer to a request that nobody waits for any more."""
