"""Time that passes only when there is nothing left to do, so that an hour's deadline is over in a moment."""

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

from chassis.testing.life import TaskFactory

EPOCH = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""When every virtual world begins."""

Events = list[tuple[selectors.SelectorKey, int]]


class _Skipping(selectors.SelectSelector):
    """Waits for nobody: where the loop would sleep, the time is moved on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> Events:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        if timeout > 0:
            self.passed_s += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers are due as soon as nothing else is left to do; for code that waits on asyncio only.

    What happens in it depends on nothing but what is done in it: the same code takes the same way in every run.
    """

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)
        self.set_task_factory(TaskFactory())

    def time(self) -> float:
        """Seconds since the loop was made, of virtual time."""
        return self._skipping.passed_s

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing is done that runs in it, as where a process is frozen."""
        self._skipping.passed_s += seconds


class VirtualClock:
    """Tells the time of the loop it is asked in; `skew` sets it wrong, as clocks are."""

    def __init__(self) -> None:
        self.skew = timedelta()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time()) + self.skew
