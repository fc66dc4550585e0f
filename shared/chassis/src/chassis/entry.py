"""What is written and read: journal entries, checkpoints, documents as they are stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from chassis.decision import Document

LinkIn = tuple[str, str]
"""An incoming link, as the topic and the source."""
LinkOut = tuple[str, int]
"""An outgoing link, as the topic and its partition."""


DESCENT = "z"
"""Stands in the name of an incarnation between its parts, which are made of hexadecimal digits."""

JOURNAL_PLACES = 512
"""The journal of a partition is a ring of this many places: entry n takes the place of entry n - JOURNAL_PLACES and of
no other. So a writer that slept through any number of entries finds its place taken, which a journal that is pruned
could not promise: there, the number that it would take may be free again. It must never change."""


ONE_MS = timedelta(milliseconds=1)
"""Moments are stored to the millisecond."""


def place_in_ring(number: int) -> int:
    """The place that an entry takes in the journal of its partition."""
    return number % JOURNAL_PLACES


def replaced_by(number: int) -> int:
    """The number of the one entry that an entry may replace."""
    return number - JOURNAL_PLACES


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record that is to be published, as it will be on Kafka."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def by_partition(records: Iterable[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
    """The records of each topic partition, in their order."""
    grouped: dict[tuple[str, int], list[Outgoing]] = {}
    for record in records:
        grouped.setdefault((record.topic, record.partition), []).append(record)
    return grouped


@dataclass(frozen=True, slots=True)
class Change:
    """A document as an entry left it."""

    key: str
    body: bytes
    """The document as JSON."""
    alarm: datetime | None
    due: datetime | None
    """When the first of its calls may be made, or was asked for; None if none is pending."""
    trace: str | None
    """The traceparent of the input that changed it, for what an alarm or an answer will lead to."""
    entry: int
    """The number of the entry."""
    is_first: bool = False
    """Whether the store is believed to have nothing of the document yet: a hint, not journaled, for what is new takes a
    tenth of the time to be written."""
    queued: bool = False
    """Whether the document is queued; not journaled, for the document says so."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document in memory."""

    document: Document
    trace: str | None


class Calling(NamedTuple):
    """A document whose calls are pending, as the store has it."""

    key: str
    due: datetime
    """See `Change.due`."""
    stored: Stored


@dataclass(slots=True)
class Progress:
    """How far a partition has come."""

    positions: dict[str, int] = field(default_factory=dict)
    """By topic, the offset of the next record to take."""
    heard: dict[LinkIn, int] = field(default_factory=dict)
    """By incoming link, the last sequence number taken."""
    sent: dict[LinkOut, int] = field(default_factory=dict)
    """By outgoing link, the last sequence number used."""

    def copy(self) -> "Progress":
        return Progress(dict(self.positions), dict(self.heard), dict(self.sent))

    def since(self, before: "Progress") -> "Progress":
        """Only what has changed."""
        return Progress(
            {topic: offset for topic, offset in self.positions.items() if before.positions.get(topic) != offset},
            {link: number for link, number in self.heard.items() if before.heard.get(link) != number},
            {link: number for link, number in self.sent.items() if before.sent.get(link) != number},
        )

    def update(self, later: "Progress") -> None:
        self.positions.update(later.positions)
        self.heard.update(later.heard)
        self.sent.update(later.sent)


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch of a partition: inserting it is the commit."""

    partition: int
    number: int
    writer: str
    """Who wrote it: the instance and the epoch in which it owned the partition."""
    progress: Progress
    """What changed of the partition's progress."""
    changes: tuple[Change, ...]
    outbox: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What a restored partition lives a second time: all that was written between its backup and its restoring."""

    since: datetime
    """When the backup was made."""
    ends: Mapping[str, int]
    """By topic, the offset after the last record that was there when it was restored."""

    def is_through(self, progress: Progress) -> bool:
        """Whether a partition that has come so far has all of it behind it."""
        return all(progress.positions.get(topic, 0) >= end for topic, end in self.ends.items())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to where the journal is reflected in the documents and published."""

    partition: int
    number: int
    """The last entry that is."""
    incarnation: str
    """Names this journal; a wiped database gets another one, and so starts new links."""
    epoch: int
    """Counts the owners."""
    progress: Progress
    past: Past | None = None
    """If it was restored, and has not come so far yet: up to where it repeats what it did before."""


def incarnation_after(incarnation: str, number: int, name: str) -> str:
    """The incarnation `name` of a journal that goes on where entry `number` of another incarnation left it.

    Whoever reads the topics can tell from it what counts of the other one: everything up to that entry.
    """
    return f"{name}{DESCENT}{number}{DESCENT}{incarnation.partition(DESCENT)[0]}"


def descent_of(incarnation: str) -> tuple[str, int, str] | None:
    """The name of the incarnation, the last entry that counts of the one before it, and the name of that one.

    None if it has a beginning of its own.
    """
    name, _, rest = incarnation.partition(DESCENT)
    number, _, before = rest.partition(DESCENT)
    return (name, int(number), before) if rest else None


def begun_anew(
    checkpoint: Checkpoint, entries: Sequence[Entry], name: str, past: Past
) -> tuple[Checkpoint, tuple[Entry, ...]]:
    """A partition's checkpoint and the entries after it, for the incarnation `name` to go on from.

    What they say is said under the numbers that it has; whatever follows begins to count anew.
    """
    last = entries[-1].number if entries else checkpoint.number
    begun = replace(
        checkpoint,
        incarnation=incarnation_after(checkpoint.incarnation, last, name),
        progress=replace(checkpoint.progress, sent={}),
        past=past,
    )
    return begun, tuple(replace(entry, progress=replace(entry.progress, sent={})) for entry in entries)


@dataclass(frozen=True, slots=True)
class Recovered:
    """All that a new owner must know to go on."""

    checkpoint: Checkpoint
    entries: tuple[Entry, ...]
    """The entries after the checkpoint, without a gap."""
    parked: tuple[str, ...]
    """The places that are parked, as far as that is stored."""
    queued: tuple[str, ...] = ()
    """Keys of stored documents that are queued."""


class Fenced(Exception):  # noqa: N818 - named for what happened to the writer
    """Somebody else owns the partition now, or wrote the entry first."""
