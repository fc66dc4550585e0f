"""MongoDB in memory: the store of a service, which its instances share."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from chassis.decision import Document
from chassis.entry import (
    ONE_MS,
    Calling,
    Change,
    Checkpoint,
    Entry,
    Fenced,
    Past,
    Progress,
    Recovered,
    Stored,
    begun_anew,
    place_in_ring,
    replaced_by,
)
from chassis.kinds import kinds_of, read_document
from chassis.ports import FOR_EVER
from chassis.stuck.parking import Parked
from chassis.testing.interrupt import Interrupt, go_on


def as_stored(moment: datetime) -> datetime:
    """MongoDB's dates have milliseconds only; what is beyond is cut off."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


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
