"""What waits to be decided on: records from the feed, and answers of calls."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from contracts.record import Received
from contracts.topics import BY_NAME

from chassis.decision import AlarmRang, CallAnswered
from chassis.limits import HEADER_BYTES, MOST_TAKEN_BYTES
from chassis.ports import Clock, Feed

Taken = Received | AlarmRang | CallAnswered

MOST_WAITING_BYTES = 8_000_000
"""About how much a lane holds before its topics are paused: a thousand records may be anything from 1 MB to 1 GB."""


def _is_new(taken: Taken) -> bool:
    """Whether it may begin something, and waits until there is room."""
    return not isinstance(taken, AlarmRang | CallAnswered) and BY_NAME[taken.topic].begins


def bytes_of(taken: Taken) -> int:
    """What others sent; what is our own is small."""
    if isinstance(taken, AlarmRang | CallAnswered):
        return 0
    headers = sum([len(name) + len(value or b"") + HEADER_BYTES for name, value in taken.headers])
    return len(taken.value or b"") + len(taken.key or b"") + headers


class Lane:
    """Inputs in the order they came; the feed of their topics is paused when too many wait."""

    def __init__(self, feed: Feed, topics: Sequence[str], most: int) -> None:
        self._feed = feed
        self._topics = topics
        self._most = most
        self._inputs: deque[tuple[Taken, int]] = deque()
        """Each with its bytes."""
        self._bytes = 0
        self._paused = False

    def __len__(self) -> int:
        return len(self._inputs)

    def _fullness(self) -> float:
        """Above 1 where too many wait."""
        return max(len(self._inputs) / self._most, self._bytes / MOST_WAITING_BYTES)

    def add(self, inputs: Sequence[Taken]) -> None:
        weighed = [(one, bytes_of(one)) for one in inputs]
        self._inputs.extend(weighed)
        self._bytes += sum([weight for _, weight in weighed])
        if not self._paused and self._fullness() > 1:
            self._paused = True
            self._feed.pause(self._topics)

    def take(self, most: int, most_bytes: int = MOST_TAKEN_BYTES) -> tuple[list[Taken], int]:
        """The next inputs, at most `most` with `most_bytes` in all, and how many bytes are left to be taken.

        An input that has more than may ever be taken is taken alone.
        """
        taken: list[Taken] = []
        left = most_bytes
        while self._inputs and len(taken) < most:
            weight = self._inputs[0][1]
            if weight > left and left < MOST_TAKEN_BYTES:
                break
            taken.append(self._inputs.popleft()[0])
            self._bytes -= weight
            left -= weight
        if self._paused and self._fullness() <= 1 / 2:
            self._paused = False
            self._feed.resume(self._topics)
        return taken, left

    def put_back(self, taken: Sequence[Taken]) -> None:
        weighed = [(one, bytes_of(one)) for one in taken]
        self._inputs.extendleft(reversed(weighed))
        self._bytes += sum([weight for _, weight in weighed])


class Inbox:
    """Holds inputs in two lanes: what was begun goes first, and what is new is taken as far as there is room.

    So a burst of orders waits on its topic, not in memory, and an order that is taken is soon done.
    """

    def __init__(self, feed: Feed, clock: Clock, topics: Sequence[str], most: int) -> None:
        self._feed = feed
        self._clock = clock
        self._topics = topics
        self._most = most
        self._lay_lanes(topics)
        self._has_room = True
        self._woken = asyncio.Event()
        self._is_open = False
        self._begun = False
        """Whether inputs were taken that are not decided on yet."""
        self._since = clock.now()
        """When inputs began to wait, or some were last decided on."""

    def __len__(self) -> int:
        return len(self._ongoing) + len(self._new)

    @property
    def has_ongoing(self) -> bool:
        """Whether something waits that concerns what was begun, such as an answer that makes an alarm needless."""
        return bool(len(self._ongoing))

    def close(self) -> None:
        """Forget everything, and take nothing in: what comes now would not follow on what a recovery will find."""
        self._is_open = self._begun = False
        self._lay_lanes(self._topics)
        self._feed.pause(self._topics)

    def open(self, topics: Sequence[str]) -> None:
        """Take in what comes on these topics; the feed of them was just started."""
        self._lay_lanes(topics)
        self._is_open = True

    def _lay_lanes(self, topics: Sequence[str]) -> None:
        self._ongoing = Lane(self._feed, [name for name in topics if not BY_NAME[name].begins], self._most)
        self._new = Lane(self._feed, [name for name in topics if BY_NAME[name].begins], self._most)

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records of one topic, in the order of their offsets."""
        if self._is_open and records:  # if it is closed, they come again when the feed is started
            self._arrive()
            lane = self._new if _is_new(records[0]) else self._ongoing
            lane.add(records)

    def answer(self, answer: CallAnswered) -> None:
        self._arrive()
        self._ongoing.add([answer])

    def _arrive(self) -> None:
        if not self._waits():
            self._since = self._clock.now()
        self._woken.set()

    def _waits(self) -> bool:
        """Whether there is anything to decide on; what there is no room for does not count."""
        return self._begun or bool(len(self._ongoing)) or (self._has_room and bool(len(self._new)))

    def take(self, rung: Sequence[AlarmRang], most: int, room: int) -> list[Taken]:
        """The alarms that rang, and the next inputs: `most` in all, no more than `room` of them new."""
        self._woken.clear()
        ongoing, left = self._ongoing.take(most - len(rung))
        self._has_room = room > 0
        new, _ = self._new.take(min(most - len(rung) - len(ongoing), room), left)
        taken: list[Taken] = [*rung, *ongoing, *new]
        self._begun = bool(taken)
        return taken

    def put_back(self, taken: Sequence[Taken]) -> None:
        """These were taken, and are to be taken again, in smaller portions."""
        self._ongoing.put_back([one for one in taken if not _is_new(one)])
        self._new.put_back([one for one in taken if _is_new(one)])

    def decided(self) -> None:
        """What was taken is dealt with: decided on, journaled and published."""
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
        """For how many seconds inputs have waited without any being dealt with; 0 when none waits."""
        return max(0.0, (self._clock.now() - self._since).total_seconds()) if self._waits() else 0.0
