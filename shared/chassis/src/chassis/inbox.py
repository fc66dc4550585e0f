"""What waits to be decided on: records from the feed, and answers of calls."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from contracts.wire import Received

from chassis.decision import AlarmRang, CallAnswered
from chassis.ports import Clock, Feed

Taken = Received | AlarmRang | CallAnswered


class Inbox:
    """Holds inputs in the order they came; pauses the feed when too many wait."""

    def __init__(self, feed: Feed, clock: Clock, most: int) -> None:
        self._feed = feed
        self._clock = clock
        self._most = most
        self._inputs: deque[Taken] = deque()
        self._woken = asyncio.Event()
        self._is_open = False
        self._paused = False
        self._begun = False
        """Whether inputs were taken that are not decided on yet."""
        self._since = clock.now()
        """When inputs began to wait, or some were last decided on."""

    def __len__(self) -> int:
        return len(self._inputs)

    def close(self) -> None:
        """Forget everything, and take nothing in: what comes now would not follow on what a recovery will find."""
        self._is_open = self._begun = False
        self._inputs.clear()
        self._feed.pause()

    def open(self) -> None:
        """Take in what comes; the feed was just started."""
        self._is_open = True
        self._paused = False

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records, in the order of their offsets."""
        if not self._is_open:
            return  # they come again, when the feed is started
        self._arrive()
        self._inputs.extend(records)
        if not self._paused and len(self._inputs) > self._most:
            self._paused = True
            self._feed.pause()

    def answer(self, answer: CallAnswered) -> None:
        self._arrive()
        self._inputs.append(answer)

    def _arrive(self) -> None:
        if not self._inputs and not self._begun:
            self._since = self._clock.now()
        self._woken.set()

    def take(self, rung: Sequence[AlarmRang], most: int) -> list[Taken]:
        """The alarms that rang, and the next inputs: so many at the most, and none when there is nothing."""
        self._woken.clear()
        taken: list[Taken] = [*rung]
        while self._inputs and len(taken) < most:
            taken.append(self._inputs.popleft())
        self._begun = bool(taken)
        if self._paused and len(self._inputs) * 2 <= self._most:
            self._paused = False
            self._feed.resume()
        return taken

    def put_back(self, taken: Sequence[Taken]) -> None:
        """These were taken, and are to be taken again, in smaller portions."""
        self._inputs.extendleft(reversed(taken))

    def decided(self) -> None:
        """What was taken is dealt with."""
        self._begun = False
        self._since = self._clock.now()

    def wake(self) -> None:
        """End a `wait`."""
        self._woken.set()

    async def wait(self, at_most_s: float | None) -> None:
        """Wait until something came since `take` found nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._woken.wait()

    def stalled_s(self) -> float:
        """For how many seconds inputs have waited without any being decided on; 0 when none waits."""
        if not self._inputs and not self._begun:
            return 0.0
        return max(0.0, (self._clock.now() - self._since).total_seconds())
