"""Kafka and MongoDB in memory, for tests and simulations of the real engine: several services, or several instances of
one, share a log and a store, and run in one process.

Every step that another process could be seen in between, or that a crash could fall on, is announced to an `Interrupt`.
It may wait, raise, or never return: then the process that asked is as good as dead, and what it did so far stands.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter

from contracts.wire import Record

from chassis.alarms import FOR_EVER
from chassis.decision import Document
from chassis.entry import (
    ONE_MS,
    Calling,
    Change,
    Checkpoint,
    Entry,
    Fenced,
    Outgoing,
    Past,
    Progress,
    Recovered,
    Stored,
    begun_anew,
    by_partition,
    place_in_ring,
    replaced_by,
)
from chassis.kafka import home_of
from chassis.kinds import kinds_of, read_document
from chassis.parking import Parked
from chassis.ports import Clock, PositionLost, RecordPlace

Interrupt = Callable[[str], Awaitable[None]]
"""Told before each step, by name."""


async def go_on(_: str) -> None:
    """Let the others run, and carry on: every wait of the real thing gives them the chance."""
    await asyncio.sleep(0)


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

    async def ask(self, topics: Collection[str]) -> None:
        """It is always there."""

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


def as_stored(moment: datetime) -> datetime:
    """MongoDB's dates have milliseconds only; what is beyond is cut off."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _nobody(records: Sequence[Record]) -> None:
    raise RuntimeError(f"{len(records)} records for a partition that is not there yet")


@dataclass(slots=True)
class _Saved:
    """A document as the store has it."""

    partition: int
    change: Change


@dataclass(slots=True)
class _Data:
    journal: dict[tuple[int, int], Entry] = field(default_factory=dict)
    """By partition and place."""
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    documents: dict[str, _Saved] = field(default_factory=dict)


class MemoryStore:
    """The store of one service; see `chassis.ports.Store`."""

    def __init__(self, documents: Iterable[type[Document]], interrupt: Interrupt = go_on) -> None:
        self._models = kinds_of(documents)
        self._data = _Data()
        self._interrupt = interrupt

    def through(self, interrupt: Interrupt) -> "MemoryStore":
        """The same data as another process sees it."""
        other = MemoryStore(self._models.values(), interrupt)
        other._data = self._data
        return other

    async def recover(self, partition: int, _writer: str) -> Recovered:
        await self._interrupt("claim")
        data = self._data
        before = data.checkpoints.get(partition) or Checkpoint(partition, 0, f"{partition:08x}", 0, Progress())
        data.checkpoints[partition] = checkpoint = replace(before, epoch=before.epoch + 1)
        await self._interrupt("claimed")
        entries = sorted(
            (e for (owner, _), e in data.journal.items() if owner == partition and e.number > checkpoint.number),
            key=lambda entry: entry.number,
        )
        if [entry.number for entry in entries] != [*range(checkpoint.number + 1, checkpoint.number + 1 + len(entries))]:
            raise RuntimeError(f"the journal of partition {partition} has a hole")
        await self._interrupt("read the journal")
        saved = [saved.change for saved in data.documents.values() if saved.partition == partition]
        documents = [self._read(change).document for change in saved if change.key.startswith(Parked.key_of(""))]
        return Recovered(
            checkpoint,
            tuple(entries),
            parked=tuple(document.place for document in documents if isinstance(document, Parked) and document.open),
            queued=tuple(change.key for change in saved if change.queued),
        )

    async def alarms(self, partition: int, since: datetime | None, until: datetime) -> Sequence[tuple[str, datetime]]:
        await self._interrupt("alarms")
        saved = [saved.change for saved in self._data.documents.values() if saved.partition == partition]
        waiting = [(change.key, as_stored(change.alarm)) for change in saved if change.alarm is not None]
        found = [(key, when) for key, when in waiting if (since is None or since <= when) and when < until]
        await self._interrupt("read the alarms")
        return found

    async def calling(self, partition: int, since: datetime, some: int) -> tuple[Sequence[Calling], datetime]:
        await self._interrupt("calling")
        saved = [saved.change for saved in self._data.documents.values() if saved.partition == partition]
        waiting = [(change.due, change) for change in saved if change.due is not None and since <= change.due]
        moments = sorted(due for due, _ in waiting)
        until = moments[some - 1] + ONE_MS if len(moments) >= some else FOR_EVER
        found = [Calling(change.key, due, self._read(change)) for due, change in waiting if due < until]
        await self._interrupt("read the calls")
        return found, until

    async def append(self, entry: Entry) -> None:
        await self._interrupt("append")
        place = (entry.partition, place_in_ring(entry.number))
        held = self._data.journal.get(place)
        if held is None or held.number == replaced_by(entry.number):
            self._data.journal[place] = entry
        elif (held.number, held.writer) != (entry.number, entry.writer):
            raise Fenced(f"entry {entry.number} of partition {entry.partition} is somebody else's")
        await self._interrupt("appended")

    async def load(self, keys: Collection[str]) -> Mapping[str, Stored]:
        await self._interrupt("load")
        documents = self._data.documents
        found = {key: self._read(documents[key].change) for key in keys if key in documents}
        await self._interrupt("loaded")
        return found

    def _read(self, change: Change) -> Stored:
        return Stored(read_document(self._models, change.key, change.body), change.trace)

    async def checkpoint(self, checkpoint: Checkpoint, changes: Sequence[Change]) -> None:
        data = self._data
        for change in changes:
            await self._interrupt("save")
            before = data.documents.get(change.key)
            if before is None or before.change.entry < change.entry:
                data.documents[change.key] = _Saved(checkpoint.partition, change)
        await self._interrupt("checkpoint")
        held = data.checkpoints[checkpoint.partition]
        if held.epoch != checkpoint.epoch or held.number > checkpoint.number:
            raise Fenced(f"partition {checkpoint.partition} has a new owner, or a later checkpoint")
        data.checkpoints[checkpoint.partition] = checkpoint
        await self._interrupt("checkpointed")

    def backup(self) -> "MemoryStore":
        """A copy of all that is there now."""
        data = self._data
        copy = MemoryStore(self._models.values())
        copy._data = _Data({**data.journal}, {**data.checkpoints}, {**data.documents})
        return copy

    def restore(self, backup: "MemoryStore", since: datetime, ends: Mapping[int, Mapping[str, int]]) -> None:
        """Be again what was copied then, each partition under a new incarnation; `ends` is where its topics end now."""
        data, known = self._data, backup._data  # noqa: SLF001 - it is one of us
        data.journal.clear()
        data.documents = {**known.documents}
        for partition, checkpoint in known.checkpoints.items():
            epoch = data.checkpoints[partition].epoch
            entries = [entry for entry in backup.journal(partition) if entry.number > checkpoint.number]
            begun, entries_then = begun_anew(checkpoint, entries, f"{epoch:x}", Past(since, ends[partition]))
            data.checkpoints[partition] = replace(begun, epoch=epoch)
            data.journal.update({(partition, place_in_ring(entry.number)): entry for entry in entries_then})

    # What a test looks at.

    def stored(self) -> dict[str, Document]:
        """Every document as of the last checkpoint."""
        return {key: self._read(saved.change).document for key, saved in self._data.documents.items()}

    def journal(self, partition: int) -> list[Entry]:
        """What the journal of a partition holds, in order."""
        entries = (entry for (owner, _), entry in self._data.journal.items() if owner == partition)
        return sorted(entries, key=lambda entry: entry.number)

    def checkpoint_of(self, partition: int) -> Checkpoint:
        return self._data.checkpoints[partition]
