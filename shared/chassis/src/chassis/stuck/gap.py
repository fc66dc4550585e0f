"""Where a partition stands still, because something that it should have taken is not there."""

from datetime import datetime
from typing import Self

from chassis.entry import Progress
from chassis.ports import PositionLost
from chassis.stuck.document import Stuck


class Gap(Stuck):
    """What is missing. There is one document a partition, which remembers the last gap; it is open while that lasts."""

    kind = "gap"

    topic: str
    source: str
    """The source on whose link numbers are missing; empty if it is the topic that lacks records."""
    first: int
    """The first number that is missing, or the offset at which the partition would have gone on."""
    last: int
    """The last number that is missing, or the offset before the first record that the topic has."""
    offset: int
    """Where the partition stands: the record at this offset does not follow on what was heard."""

    @classmethod
    def on_link(
        cls, partition: int, topic: str, offset: int, source: str, first: int, last: int, since: datetime
    ) -> Self:
        """Numbers are missing: a message was lost, or the topic no longer has it."""
        return cls(
            id=str(partition),
            partition=partition,
            since=since,
            why="numbers missing",
            topic=topic,
            source=source,
            first=first,
            last=last,
            offset=offset,
        )

    @classmethod
    def of_topic(cls, partition: int, lost: PositionLost, since: datetime) -> Self:
        """The topic does not hold the record that is to be taken next."""
        return cls(
            id=str(partition),
            partition=partition,
            since=since,
            why="records missing",
            topic=lost.topic,
            source="",
            first=lost.position,
            last=lost.earliest - 1,
            offset=lost.earliest,
        )

    @property
    def loss(self) -> tuple[str, str, int, int]:
        """What exactly is missing: the topic, the source, the first and the last."""
        return self.topic, self.source, self.first, self.last

    @property
    def text(self) -> str:
        """The same for people."""
        if self.source:
            return f"{self.topic}@{self.offset}: {self.source} sent {self.last + 1} after {self.first - 1}"
        return f"{self.topic}/{self.partition} begins at {self.last + 1}, but the journal goes on at {self.first}"

    def is_passed(self, progress: Progress, *, stands_still: bool) -> bool:
        """Whether the partition has come past it, with what was missing or without."""
        if self.source:
            return progress.heard.get((self.topic, self.source), 0) >= self.last
        # A partition that does not stand still was let in at that offset: the topic has it again.
        return not stands_still or progress.positions.get(self.topic) != self.first

    def pass_by(self, progress: Progress) -> None:
        """Go on without what is missing."""
        if self.source:
            progress.heard[self.topic, self.source] = self.last
        else:
            progress.positions[self.topic] = self.last + 1
