"""Every link runs 1, 2, 3, ...: no message was lost between two services, and none was put in.

A link leads from a partition of a service to a topic partition. After a crash a service publishes again what it may
have published before: the same numbers come again, with the same messages.
"""

from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from contracts.record import Record
from contracts.topics import BY_NAME
from contracts.wire import link_of

from oms.audit.finding import Finding
from oms.history.repairs import Repairs
from oms.log import Part

ABSENT = 0
"""Stands for a message that is missing, or that compaction removed: a later one of the same key took its place."""
MOST_MISSING = 1_000_000
"""Where more is missing, it is not asked what came after."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers that never came on a link, though a later one did."""

    first: int
    last: int
    place: str
    """The record before which they are missing."""

    @property
    def what(self) -> str:
        numbers = f"number {self.first}" if self.first == self.last else f"numbers {self.first} to {self.last}"
        return f"carries number {self.last + 1}, but {numbers} never came"


@dataclass(slots=True)
class Link:
    """One link: of each number after those that were cut off, what came under it, as a hash."""

    before: int = 0
    """How many numbers nothing is known of: they were cut off from the beginning of the topic partition, or compaction
    removed too many to be counted."""
    contents: "array[int]" = field(default_factory=lambda: array("q"))
    repeated: int = 0
    missing: list[Missing] = field(default_factory=list)
    broken: tuple[str, str] | None = None
    """What was found first, but for what is missing, and where: what follows on the link follows from it."""


class Links:
    """Takes every record, each topic partition's in order; of those that begin late, links begin with any number."""

    def __init__(self, late: Collection[Part] = ()) -> None:
        self._late = late
        self._links: dict[tuple[str, str, int], Link] = {}

    def take(self, record: Record) -> bool:
        """Take a record in; true if it is the first of its link."""
        counted = link_of(record)
        if counted is None:
            return False
        source, sequence = counted
        is_late = (record.topic, record.partition) in self._late
        begun = Link(before=max(0, sequence - 1) if is_late else 0)
        link = self._links.setdefault((source, record.topic, record.partition), begun)
        if link.broken is None:
            self._hear(link, record, sequence)
        return len(link.contents) <= 1

    @staticmethod
    def _hear(link: Link, record: Record, sequence: int) -> None:
        expected = link.before + len(link.contents) + 1
        content = _content(record)
        if sequence < 1:
            link.broken = record.place, f"carries the number {sequence}; numbers begin with 1"
        elif sequence <= link.before:
            link.repeated += 1
        elif sequence < expected:
            before = link.contents[sequence - link.before - 1]
            link.repeated += 1
            if before not in {content, ABSENT}:
                link.broken = record.place, f"repeats number {sequence} with another message"
        elif BY_NAME[record.topic].compacted and sequence > expected + MOST_MISSING:
            link.before, link.contents = sequence - 1, array("q", [content])
        elif sequence > expected + MOST_MISSING:
            link.broken = record.place, Missing(expected, sequence - 1, record.place).what
        else:
            if sequence > expected and not BY_NAME[record.topic].compacted:
                link.missing.append(Missing(expected, sequence - 1, record.place))
            link.contents.extend([ABSENT] * (sequence - expected))
            link.contents.append(content)

    def findings(self, repairs: Repairs) -> Iterator[Finding]:
        """The first that is wrong on each link; what is missing is not, where somebody accepted that."""
        for (source, topic, partition), link in self._links.items():
            lost = (
                (one.place, one.what)
                for one in link.missing
                if not repairs.accepted(topic, partition, source, one.first, one.last)
            )
            found = next(lost, link.broken)
            if found is not None:
                place, what = found
                yield Finding("links", place, f"{source} -> {topic}/{partition}", f"the message here {what}")

    @property
    def count(self) -> int:
        return len(self._links)

    @property
    def messages(self) -> int:
        """Messages that are numbered, each counted once."""
        lost = sum(one.last - one.first + 1 for link in self._links.values() for one in link.missing)
        return sum(len(link.contents) for link in self._links.values()) - lost

    @property
    def repeated(self) -> int:
        """Messages that came again: after a crash, or where Kafka answered too late."""
        return sum(link.repeated for link in self._links.values())


def _content(record: Record) -> int:
    """What may not differ when a message comes again: all of it, since it is published from the journal."""
    return hash((record.key, record.value, tuple(record.headers))) or 1
