"""Every link runs 1, 2, 3, ...: no message was lost between two services, and none was put in.

A link leads from a partition of a service to a topic partition. After a crash a service publishes again what it may
have published before: the same numbers come again, with the same messages.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.topics import BY_NAME
from contracts.wire import link_of

from oms.audit.finding import Finding
from oms.log import Record

COMPACTED = 0
"""Stands for a message that compaction removed: a later one of the same key took its place."""


@dataclass(slots=True)
class Link:
    """One link: of each number, what came under it, as a hash."""

    contents: "array[int]" = field(default_factory=lambda: array("q"))
    repeated: int = 0
    broken: bool = False
    """Whether something was found: what follows on the link follows from it."""


class Links:
    """Takes every record, each topic partition's in order."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str, int], Link] = {}
        self._findings: list[Finding] = []

    def take(self, record: Record) -> bool:
        """Take a record in; true if it is the first of its link."""
        counted = link_of(record)
        if counted is None:
            return False
        source, sequence = counted
        link = self._links.setdefault((source, record.topic, record.partition), Link())
        if not link.broken:
            self._hear(link, record, source, sequence)
        return len(link.contents) <= 1

    def _hear(self, link: Link, record: Record, source: str, sequence: int) -> None:
        expected = len(link.contents) + 1
        content = _content(record)
        if sequence < 1:
            self._find(link, record, source, f"carries the number {sequence}; numbers begin with 1")
        elif sequence < expected:
            before = link.contents[sequence - 1]
            link.repeated += 1
            if before not in {content, COMPACTED}:
                self._find(link, record, source, f"repeats number {sequence} with another message")
        elif sequence > expected and not BY_NAME[record.topic].compacted:
            missing = f"number {expected}" if sequence == expected + 1 else f"numbers {expected} to {sequence - 1}"
            self._find(link, record, source, f"carries number {sequence}, but {missing} never came")
        else:
            link.contents.extend([COMPACTED] * (sequence - expected))
            link.contents.append(content)

    def _find(self, link: Link, record: Record, source: str, what: str) -> None:
        link.broken = True
        about = f"{source} -> {record.topic}/{record.partition}"
        self._findings.append(Finding("links", record.place, about, f"the message here {what}"))

    def findings(self) -> Iterator[Finding]:
        yield from self._findings

    @property
    def count(self) -> int:
        return len(self._links)

    @property
    def messages(self) -> int:
        """Messages that are numbered, each counted once."""
        return sum(len(link.contents) for link in self._links.values())

    @property
    def repeated(self) -> int:
        """Messages that came again after a crash."""
        return sum(link.repeated for link in self._links.values())


def _content(record: Record) -> int:
    """What may not differ when a message comes again: all of it, since it is published from the journal."""
    return hash((record.key, record.value, tuple(record.headers))) or 1
