"""What the HTTP API shows of what is stuck, and of what people asked to be done about it."""

from base64 import b64encode
from datetime import datetime
from typing import Self

from contracts.message import Reason
from contracts.record import Received
from pydantic import Field

from chassis.http.paging import Page
from chassis.http.shown import Accepted, Shown


class Asked(Accepted):
    """A request for a repair that is on its way to its partition."""

    repair_id: str


class StuckCount(Shown):
    """How much is stuck for one reason."""

    what: str
    """`parked`, `dead_letter`, `gap`, or what else the service counts as stuck, such as a `saga`."""
    why: str
    count: int
    since: datetime
    """Since when the oldest is."""


class StuckCounts(Shown):
    stuck: list[StuckCount]


class WaitingRecord(Shown):
    """A record that waits for its order to be released; it is on its topic."""

    topic: str
    offset: int
    timestamp_ms: int = Field(validation_alias="timestamp")


class ParkedShown(Shown):
    """What waits because deciding on a message of it failed."""

    place: str
    """The order, or the key that its messages share."""
    partition: int
    since: datetime
    why: str
    reason: str
    times: int
    """How often it failed in a row."""
    waiting: list[WaitingRecord] = Field(validation_alias="records")
    """The record that failed, and what came after it, in order."""


class ParkedPage(Page):
    parked: list[ParkedShown]


class DeadLetterShown(Shown):
    """A record that could not be handled, and waits for somebody to retry or drop it."""

    id: str
    topic: str
    partition: int
    offset: int
    since: datetime
    about: str
    """What it belongs to, as far as that can be told: mostly an order."""
    reasons: tuple[Reason, ...]
    times: int
    """How often it could not be handled."""


class Content(Shown):
    """A record as it is on its topic. Bytes that are no text are in base64, and `encoding` says so."""

    encoding: str
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]

    @classmethod
    def of(cls, record: Received) -> Self:
        raw = [record.key, record.value, *(value for _, value in record.headers)]
        try:
            texts = [None if part is None else part.decode() for part in raw]
            encoding = "utf-8"
        except UnicodeDecodeError:
            texts = [None if part is None else b64encode(part).decode() for part in raw]
            encoding = "base64"
        names = [name for name, _ in record.headers]
        return cls(encoding=encoding, key=texts[0], value=texts[1], headers=[*zip(names, texts[2:], strict=True)])


class DeadLetterWhole(DeadLetterShown):
    """The same, with what it says."""

    content: Content | None
    """Absent if it holds card data, if nobody can read it, or if its topic does not have it any more."""


class DeadLetterPage(Page):
    dead_letters: list[DeadLetterShown]


class GapShown(Shown):
    """Where a partition stands still, and what exactly is missing there."""

    partition: int
    since: datetime
    topic: str
    source: str
    """The source on whose link numbers are missing; empty if it is the topic that lacks records."""
    first: int
    last: int
    text: str


class Gaps(Shown):
    gaps: list[GapShown]


class RepairShown(Shown):
    """A request for a repair that was dealt with."""

    repair_id: str
    at: datetime
    request: str
    about: str
    by: str
    reason: str
    outcome: str
    """`done` or `refused`."""
    detail: str
    partition: int


class RepairPage(Page):
    repairs: list[RepairShown]
