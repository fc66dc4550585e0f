"""What the HTTP API shows of what is stuck, and of what people asked to be done about it."""

from base64 import b64encode
from datetime import datetime
from typing import Self

from contracts.message import Reason
from contracts.wire import Received
from pydantic import BaseModel

from chassis.dead_letter import DeadLetter
from chassis.gap import Gap
from chassis.paging import Page
from chassis.parking import Parked
from chassis.repair import Repair


class Asked(BaseModel):
    """The request is on its way to its partition; what comes of it is seen at `status_url`."""

    repair_id: str
    status_url: str


class StuckCount(BaseModel):
    """How much is stuck for one reason."""

    what: str
    """`parked`, `dead_letter`, `gap`, or what else the service counts as stuck, such as a `saga`."""
    why: str
    count: int
    since: datetime
    """Since when the oldest is."""


class StuckCounts(BaseModel):
    stuck: list[StuckCount]


class WaitingRecord(BaseModel):
    """A record that waits for its order to be released; it is on its topic."""

    topic: str
    offset: int
    timestamp_ms: int


class ParkedShown(BaseModel):
    """What waits because deciding on a message of it failed."""

    place: str
    """The order, or the key that its messages share."""
    partition: int
    since: datetime
    why: str
    reason: str
    times: int
    """How often it failed in a row."""
    waiting: list[WaitingRecord]
    """The record that failed, and what came after it, in order."""

    @classmethod
    def of(cls, parked: Parked) -> Self:
        return cls(
            place=parked.place,
            partition=parked.partition,
            since=parked.since,
            why=parked.why,
            reason=parked.reason,
            times=parked.times,
            waiting=[
                WaitingRecord(topic=one.topic, offset=one.offset, timestamp_ms=one.timestamp) for one in parked.records
            ],
        )


class ParkedPage(Page):
    parked: list[ParkedShown]


class DeadLetterShown(BaseModel):
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

    @classmethod
    def of(cls, letter: DeadLetter, **more: object) -> Self:
        """With `more` for the fields that a shape has beside these."""
        return cls.model_validate({name: getattr(letter, name) for name in DeadLetterShown.model_fields} | more)


class Content(BaseModel):
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


class GapShown(BaseModel):
    """Where a partition stands still, and what exactly is missing there."""

    partition: int
    since: datetime
    topic: str
    source: str
    """The source on whose link numbers are missing; empty if it is the topic that lacks records."""
    first: int
    last: int
    text: str

    @classmethod
    def of(cls, gap: Gap) -> Self:
        return cls(**{name: getattr(gap, name) for name in cls.model_fields})


class Gaps(BaseModel):
    gaps: list[GapShown]


class RepairShown(BaseModel):
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

    @classmethod
    def of(cls, repair: Repair) -> Self:
        return cls(**{name: getattr(repair, name) for name in cls.model_fields})


class RepairPage(Page):
    repairs: list[RepairShown]
