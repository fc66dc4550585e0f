"""Kafka in memory: several services, or several instances of one, share its topics and run in one process."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter

from contracts.record import Record

from chassis.entry import Outgoing, by_partition
from chassis.kafka.partitioner import home_of
from chassis.ports import Clock, PositionLost, RecordPlace
from chassis.testing.interrupt import Interrupt, go_on


class MemoryTopics:
    """Every topic partition's records, and who is fed from them."""

    def __init__(self, partitions: int, clock: Clock) -> None:
        self.partitions = partitions
        self.written = 0
        """How many records there are in all."""
        self._clock = clock
        self._records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._feeds: dict[tuple[str, int], list[MemoryFeed]] = defaultdict(list)

    def read(self, topic: str, partition: int, offset: int = 0, most: int | None = None) -> Sequence[Record]:
        """The records of a topic partition from an offset on, all of them or at most `most`."""
        return self._records[topic, partition][offset : None if most is None else offset + most]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will have."""
        return len(self._records[topic, partition])

    def all(self, topic: str) -> list[Record]:
        """The records of a topic, one partition after the other."""
        return [record for number in range(self.partitions) for record in self._records[topic, number]]

    def everything(self) -> list[Record]:
        """All records of all topics, in the order in which they were written as far as their timestamps tell."""
        return sorted((it for part in self._records.values() for it in part), key=attrgetter("timestamp"))

    def write(self, records: Iterable[Outgoing]) -> None:
        """Append records, as any client may, and feed whoever listens."""
        timestamp = int(self._clock.now().timestamp() * 1000)
        parts: dict[tuple[str, int], None] = {}
        for out in records:
            part = (out.topic, out.partition)
            parts[part] = None
            there = self._records[part]
            there.append(
                Record(out.topic, out.partition, len(there), timestamp, out.key, out.value, tuple(out.headers))
            )
            self.written += 1
        for part in parts:
            for feed in self._feeds[part]:
                feed.wake()

    def join(self, feed: "MemoryFeed", topic: str, partition: int) -> None:
        self._feeds[topic, partition].append(feed)

    def leave(self, feed: "MemoryFeed", topic: str, partition: int) -> None:
        listening = self._feeds[topic, partition]
        if feed in listening:
            listening.remove(feed)


class MemoryLog:
    """The topics as a partition writes them; see `chassis.ports.Log`."""

    def __init__(self, topics: MemoryTopics, interrupt: Interrupt = go_on) -> None:
        self._topics = topics
        self._interrupt = interrupt

    def partition_of(self, key: str) -> int:
        return home_of(key, self._topics.partitions)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish one topic partition after the other: a crash may leave any number of them without theirs."""
        for batch in by_partition(records).values():
            await self._interrupt("publish")
            self._topics.write(batch)
        await self._interrupt("published")

    async def read(self, places: Collection[RecordPlace]) -> Mapping[RecordPlace, Record | None]:
        await self._interrupt("read")
        return {place: next(iter(self._topics.read(*place, 1)), None) for place in places}


class MemoryFeed:
    """The records of one partition number over all topics of a service; see `chassis.ports.Feed`.

    `deliver` is the partition's `offer`, set once the partition is made; `delay_s` says how long a fetch takes.
    """

    def __init__(
        self,
        topics: MemoryTopics,
        names: Sequence[str],
        number: int,
        most: int = 100,
        delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.deliver: Callable[[Sequence[Record]], None] = _nobody
        self.committed: dict[str, int] = {}
        self.paused = set(names)
        self._topics = topics
        self._names = names
        self._number = number
        self._most = most
        self._delay_s = delay_s
        self._offsets: dict[str, int] = {}
        self._pumping = False
        for name in names:
            topics.join(self, name, number)

    async def ends(self, topics: Collection[str]) -> Mapping[str, int]:
        return {name: self._topics.end(name, self._number) for name in topics}

    async def start_at(self, positions: Mapping[str, int], topics: Collection[str]) -> Mapping[str, tuple[int, int]]:
        for name in topics:
            if positions.get(name, 0) > self._topics.end(name, self._number):
                raise PositionLost(name, positions[name], 0)
        self._offsets.update({name: positions.get(name, 0) for name in topics})
        self.resume(topics)
        return {name: (self._offsets[name], self._topics.end(name, self._number)) for name in topics}

    def pause(self, topics: Collection[str]) -> None:
        self.paused.update(topics)

    def resume(self, topics: Collection[str]) -> None:
        self.paused.difference_update(topics)
        self.wake()

    def commit(self, positions: Mapping[str, int]) -> None:
        self.committed = dict(positions)

    def close(self) -> None:
        """Deliver nothing ever after."""
        self.pause(self._names)
        for name in self._names:
            self._topics.leave(self, name, self._number)

    def wake(self) -> None:
        """Deliver what is there, as soon as it is fetched."""
        if not self._pumping and not self.paused.issuperset(self._names):
            self._pumping = True
            loop, delay_s = asyncio.get_running_loop(), self._delay_s()
            if delay_s:
                loop.call_later(delay_s, self._pump)
            else:
                loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        delivered = False
        for name in self._names:
            if name in self.paused:
                continue
            batch = self._topics.read(name, self._number, self._offsets[name], self._most)
            if batch:
                self._offsets[name] += len(batch)
                self.deliver(batch)
                delivered = True
        if delivered:
            self.wake()


def _nobody(records: Sequence[Record]) -> None:
    raise RuntimeError(f"{len(records)} records for a partition that is not there yet")
