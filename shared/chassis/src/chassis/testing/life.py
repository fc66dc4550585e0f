"""A process in memory that can be struck at any moment: whatever it waits for, before it does, and after.

The moments are found by construction. Every task that a process starts is stepped by the event loop, from one await
that suspends it to the next; each beginning and each end of such a step is a moment. Between two of them a process does
nothing that another could see, for its ports wait on both sides of what they do outside.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from itertools import count
from types import CoroutineType
from typing import Any, TypeVar

T = TypeVar("T")
LIFE: ContextVar["Life | None"] = ContextVar("life", default=None)


class Life:
    """What becomes of the tasks of one process: they go on, they are frozen, or it is over."""

    def __init__(self) -> None:
        self.moments = 0
        """How many moments have passed."""
        self.place = ""
        """Where in the code the process was struck, as `module.function:line`."""
        self.is_frozen = False
        self.is_over = False
        self._main: asyncio.Task[None] | None = None
        self._strikes: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._next = -1
        self._waiting: list[asyncio.Future[None]] = []

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Start the process; whatever tasks this one starts are the process's own."""
        token = LIFE.set(self)
        try:
            self._main = asyncio.get_running_loop().create_task(work, name=name)
        finally:
            LIFE.reset(token)
        return self._main

    def strike_in(self, moments: int, blow: Callable[[], None]) -> None:
        """Have this done this many moments from now, at least one, in the middle of whatever the process does then."""
        heapq.heappush(self._strikes, (self.moments + max(1, moments), next(self._order), blow))
        self._next = self._strikes[0][0]

    def spare(self) -> None:
        """Let nothing happen that has not happened yet."""
        self._strikes.clear()
        self._next = -1

    def end(self) -> None:
        """Die here and now. The tasks are cancelled, so that Python can tidy up; ports must refuse what is over."""
        if not self.is_over:
            self.is_over = True
            self.thaw()
            if self._main is not None:
                self._main.cancel()

    def freeze(self) -> None:
        """Take no further step until thawed, as under SIGSTOP: what was sent is on its way, answers wait unread."""
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        waiting, self._waiting = self._waiting, []
        for thawed in waiting:
            if not thawed.done():
                thawed.set_result(None)

    def pass_moment(self, inner: Coroutine[Any, Any, Any]) -> None:
        """One more moment has come, in this coroutine."""
        self.moments += 1
        if self.moments == self._next:
            self.place = place_of(inner)
            while self._strikes and self._strikes[0][0] == self.moments:
                heapq.heappop(self._strikes)[2]()
            self._next = self._strikes[0][0] if self._strikes else -1

    def until_thawed(self) -> "asyncio.Future[None]":
        """What a task waits for meanwhile, as the event loop wants to have it."""
        thawed = asyncio.get_running_loop().create_future()
        thawed._asyncio_future_blocking = True  # noqa: SLF001 - the protocol between a task and what it awaits
        self._waiting.append(thawed)
        return thawed


class _Steps(Coroutine[Any, Any, T]):
    """A coroutine whose every step is a matter of its process's life."""

    def __init__(self, inner: Coroutine[Any, Any, T], life: Life) -> None:
        self._inner = inner
        self._life = life
        self._late: BaseException | None = None
        """What was to be raised in it while it was frozen."""
        self._knows = False
        """Whether it has heard that it is over."""

    def __await__(self) -> Generator[Any, Any, T]:
        return self._inner.__await__()

    def close(self) -> None:
        self._inner.close()

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the event loop's protocol
        life = self._life
        if life.is_frozen:
            return life.until_thawed()
        late, self._late = self._late, None
        if late is not None:
            return self._go(self._inner.throw, late)
        return self._go(self._inner.send, value)

    def throw(self, error: Any, *_: object) -> Any:  # noqa: ANN401 - the event loop's protocol
        if self._life.is_frozen:
            self._late = error
            return self._life.until_thawed()
        return self._go(self._inner.throw, error)

    def _go(self, step: Callable[[Any], Any], what: Any) -> Any:  # noqa: ANN401 - the event loop's protocol
        life = self._life
        if not life.is_over:
            life.pass_moment(self._inner)
        if life.is_frozen:
            self._late = what if isinstance(what, BaseException) else None
            return life.until_thawed()
        if life.is_over and not self._knows:
            self._knows = True
            return self._inner.throw(asyncio.CancelledError())
        waits_for = step(what)
        if not life.is_over:
            life.pass_moment(self._inner)
        return waits_for


class NumberedTask(asyncio.Task[T]):
    """A task that is told from others by its number: a set of them has the same order in every run."""

    def __init__(self, number: int, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever asyncio passes
        self._number = number
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class TaskFactory:
    """Makes the tasks of one event loop; what a process starts shares its life."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":  # noqa: ANN401 - asyncio's protocol
        context: Context | None = options.get("context")
        life = context.get(LIFE) if context is not None else LIFE.get()
        steps = _Steps(work, life) if life is not None else work
        return NumberedTask(next(self._numbers), steps, loop=loop, **options)


def place_of(work: Any) -> str:  # noqa: ANN401 - any awaitable may be what a coroutine waits for
    """Where a coroutine stands: the innermost await of the engine."""
    place = ""
    while isinstance(work, CoroutineType):
        frame = work.cr_frame
        module = frame.f_globals.get("__name__", "") if frame is not None else ""
        if frame is not None and module.startswith("chassis."):
            place = f"{module}.{work.cr_code.co_name}:{frame.f_lineno}"
        work = work.cr_await
    return place
