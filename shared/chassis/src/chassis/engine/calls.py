"""Calls to the outside world: made after they are journaled, bounded in time and number, answered as an input."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from chassis.decision import Call, CallAnswered, Unknown
from chassis.engine.pending import ALWAYS, Pending
from chassis.entry import Calling, Stored
from chassis.limits import MOST_SLEEP_S
from chassis.ports import Clock
from chassis.service import Outside
from chassis.telemetry import Meters, logger
from chassis.trace import trace_id_of


class Calls:
    """The pending calls of one partition."""

    def __init__(
        self,
        outside: Outside,
        clock: Clock,
        answer: Callable[[CallAnswered], None],
        meters: Meters,
    ) -> None:
        self._outside = outside
        self._clock = clock
        self._answer = answer
        self._meters = meters
        self.pending = Pending(clock)
        self.short = asyncio.Event()
        """Set while the store is to be asked for more of them."""
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def want(self, key: str, stored: Stored, due: datetime | None) -> None:
        """The document now has its calls pending, the first of them due then; those it no longer has are forgotten."""
        self.pending.put(key, stored, due)
        if due is not None:
            self._changed.set()
        self._see_whether_short()

    def learn(self, found: Sequence[Calling], until: datetime) -> None:
        """The store was asked for more, and has these of what is due until then."""
        self.pending.learn(found, until)
        self._changed.set()
        self._see_whether_short()

    def _see_whether_short(self) -> None:
        (self.short.set if self.pending.runs_short else self.short.clear)()

    def next(self) -> datetime | None:
        """When the first call is due that is not answered yet, or was; None if there is none."""
        if self.pending.runs_short or self.pending.is_reading or any(not task.done() for task in self._under_way):
            return ALWAYS
        return self.pending.first()

    def wake(self) -> None:
        """The time was set: see what is due by it."""
        self._changed.set()

    async def run(self) -> None:
        """Make the calls as they come due, until cancelled."""
        try:
            while True:
                await self._next_due()
                await self._outside.slots.acquire()
                if (taken := self.pending.take()) is None:  # it is gone meanwhile
                    self._outside.slots.release()
                    continue
                self._see_whether_short()
                task = asyncio.create_task(self._perform(*taken))
                self._under_way.add(task)
                task.add_done_callback(self._done)
        finally:
            for task in self._under_way:
                task.cancel()

    async def _next_due(self) -> None:
        """Wait until the first call of the queue is due."""
        while True:
            self._changed.clear()
            wait_s = None
            if (first := self.pending.first()) is not None:
                wait_s = min(MOST_SLEEP_S, (first - self._clock.now()).total_seconds())
                if wait_s <= 0:
                    return
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _perform(self, key: str, call: Call) -> None:
        outside = self._outside
        try:
            async with asyncio.timeout(outside.timeout_s):
                answer = await outside.gateway.perform(call)
            self._meters.calls.labels("answered").inc()
        except (Exception, asyncio.CancelledError) as failure:  # whatever went wrong, the outcome is unknown
            ours = asyncio.current_task()
            if isinstance(failure, asyncio.CancelledError) and ours is not None and ours.cancelling():
                raise  # it is the call that was cancelled, and not something within the gateway
            reason = f"no answer within {outside.timeout_s} s" if isinstance(failure, TimeoutError) else repr(failure)
            self._about(key).warning("outcome unknown", document=key, call=call.id, tries=call.tries, reason=reason)
            self._meters.calls.labels("unknown").inc()
            answer = Unknown(reason)
        self._answer(CallAnswered(key, call, answer))

    def _about(self, key: str) -> Any:  # noqa: ANN401 - see chassis.telemetry.logger
        waiting = self.pending.get(key)
        if waiting is None:
            return logger()
        return logger(order_id=waiting.correlation, trace_id=trace_id_of(waiting.trace, waiting.correlation))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._outside.slots.release()
        if not task.cancelled() and (bug := task.exception()) is not None:
            logger().error("a call could not be made", exc_info=bug)
