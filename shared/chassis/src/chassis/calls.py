"""Calls to the outside world: made after they are journaled, bounded in time and number, answered as an input."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from chassis.decision import Call, CallAnswered, Unknown, correlation_of
from chassis.entry import Stored
from chassis.limits import MOST_SLEEP_S
from chassis.ports import Clock
from chassis.service import Outside
from chassis.telemetry import Meters, logger
from chassis.trace import trace_id_of

ALWAYS = datetime.min.replace(tzinfo=UTC)


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
        self._pending: dict[str, Stored] = {}
        self._queue: list[tuple[float, int, str, Call]] = []
        self._order = count()
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def want(self, key: str, stored: Stored) -> None:
        """The document now has its calls pending; those it no longer has are forgotten."""
        calls = stored.document.calls
        before = self._pending.pop(key, None)
        if not calls:
            return
        self._pending[key] = stored
        for call in calls:
            if before is None or call not in before.document.calls:
                # By the time at which they are due: else those that are tried again would wait for new ones to end.
                when = (call.not_before or self._clock.now()).timestamp()
                heapq.heappush(self._queue, (when, next(self._order), key, call))
                self._changed.set()

    def next(self) -> datetime | None:
        """When the first call is due that is not answered yet, or was; None if there is none."""
        if any(not task.done() for task in self._under_way):
            return ALWAYS
        due = [when for when, _, key, call in self._queue if self._is_pending(key, call)]
        return datetime.fromtimestamp(min(due), UTC) if due else None

    def wake(self) -> None:
        """The time was set: see what is due by it."""
        self._changed.set()

    def _is_pending(self, key: str, call: Call) -> bool:
        stored = self._pending.get(key)
        return stored is not None and call in stored.document.calls

    async def run(self) -> None:
        """Make the calls as they come due, until cancelled."""
        try:
            while True:
                await self._next_due()
                await self._outside.slots.acquire()
                _, _, key, call = heapq.heappop(self._queue)
                if not self._is_pending(key, call):
                    self._outside.slots.release()
                    continue
                task = asyncio.create_task(self._perform(key, call))
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
            if self._queue:
                wait_s = min(MOST_SLEEP_S, self._queue[0][0] - self._clock.now().timestamp())
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
        stored = self._pending.get(key)
        if stored is None:
            return logger()
        order_id = correlation_of(stored.document, stored.document.id)
        return logger(order_id=order_id, trace_id=trace_id_of(stored.trace, order_id))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._outside.slots.release()
        if not task.cancelled() and (bug := task.exception()) is not None:
            logger().error("a call could not be made", exc_info=bug)
