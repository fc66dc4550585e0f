"""The past that a restored partition lives a second time.

A database that is restored lacks what was decided since its backup; the topics have all that led to it. It is taken
once more, and as it came: the records of all topics in the order in which they were written, each at the time when it
was, so that what is decided is what was decided then.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from contracts.record import Received

from chassis.engine.inbox import MOST_WAITING_BYTES, bytes_of
from chassis.entry import Past
from chassis.limits import MOST_TAKEN_BYTES
from chassis.ports import Feed, Hole

WITHIN_A_BATCH = timedelta(milliseconds=10)
"""Records that were written within so short a time are taken as one batch, as they were then. No alarm is shorter in
earnest: one that is set within a batch rings after all of it."""


class Chronicle:
    """What is still to be lived again, of each topic as much as was fetched; it begins with the feed just started.

    Of a topic that is through nothing more is fetched: when all are, the partition recovers, and goes on from there.
    There must be something left of the past.
    """

    def __init__(self, feed: Feed, topics: Sequence[str], past: Past, positions: Mapping[str, int], most: int) -> None:
        self._feed = feed
        self._most = most
        self._ends = past.ends
        self._queues: dict[str, deque[Received]] = {
            topic: deque() for topic in topics if positions.get(topic, 0) < past.ends.get(topic, 0)
        }
        self._bytes: Counter[str] = Counter()
        """Of each queue."""
        self._paused = set(topics) - self._queues.keys()
        self._feed.pause(self._paused)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    @property
    def is_over(self) -> bool:
        return not self._queues

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records of one topic, in the order of their offsets."""
        topic, end = records[0].topic, self._ends.get(records[0].topic, 0)
        queue = self._queues.get(topic)
        if queue is not None:
            ours = [record for record in records if record.offset < end]
            queue.extend(ours)
            self._bytes[topic] += sum(map(bytes_of, ours))
            if records[-1].offset >= end and (not queue or queue[-1].offset < end - 1):
                queue.append(Hole(topic, records[-1].partition, end - 1))
        if queue is None or self._fullness(topic) > 1 or records[-1].offset >= end - 1:
            self._paused.add(topic)
            self._feed.pause([topic])

    def _fullness(self, topic: str) -> float:
        """Above 1 where too much of it waits."""
        return max(len(self._queues[topic]) / self._most, self._bytes[topic] / MOST_WAITING_BYTES)

    def moment(self) -> datetime | None:
        """When the next record was written; None until it is known which one that is."""
        if not self._queues or not all(self._queues.values()):
            return None
        return _moment_of(self._next())

    def _next(self) -> Received:
        return min((queue[0] for queue in self._queues.values()), key=_when)

    def take(self, until: datetime, most: int) -> list[Received]:
        """The next records, as far as it is known which ones they are, that were written until then; at least one, and
        of no more bytes than are decided on at once unless it is one.
        """
        taken: list[Received] = []
        left = MOST_TAKEN_BYTES
        while len(taken) < most and (moment := self.moment()) is not None and (not taken or moment <= until):
            record = self._next()
            weight = bytes_of(record)
            if taken and weight > left:
                break
            taken.append(self._queues[record.topic].popleft())
            self._bytes[record.topic] -= weight
            left -= weight
            self._go_on(record)
        return taken

    def _go_on(self, taken: Received) -> None:
        topic, end = taken.topic, self._ends[taken.topic]
        if taken.offset >= end - 1:
            del self._queues[topic]
        elif topic in self._paused and self._fullness(topic) <= 1 / 2:
            queue = self._queues[topic]
            if not queue or queue[-1].offset < end - 1:
                self._paused.discard(topic)
                self._feed.resume([topic])

    def put_back(self, records: Sequence[Received]) -> None:
        """These were taken, and are to be taken again."""
        for record in reversed(records):
            self._queues.setdefault(record.topic, deque()).appendleft(record)
            self._bytes[record.topic] += bytes_of(record)


def _moment_of(record: Received) -> datetime:
    """When it was written, as its writer says; what says no time of our age is taken at once."""
    try:
        return datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.min.replace(tzinfo=UTC)


def _when(record: Received) -> tuple[datetime, bytes]:
    """When it was written; of what was published in the same millisecond, what was decided first comes first."""
    return _moment_of(record), dict(record.headers).get("ce_time") or b""
