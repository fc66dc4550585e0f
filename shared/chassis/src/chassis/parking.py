"""What is set aside because deciding it failed: the order waits, the others go on."""

from base64 import b64encode
from datetime import datetime

from contracts.message import Message
from contracts.wire import Received
from pydantic import BaseModel, ConfigDict

from chassis.decision import Document

MOST_RECORDS = 1000
MOST_BYTES = 2_000_000
"""A parked order keeps so many records at the most, and so many bytes; those after it become dead letters."""


class ParkedRecord(BaseModel):
    """A record that waits for its order to be released, as it came."""

    model_config = ConfigDict(frozen=True)

    topic: str
    offset: int
    timestamp: int
    """In milliseconds, as Kafka has it."""
    key: str | None
    """In base64, as are all the bytes."""
    value: str | None
    headers: tuple[tuple[str, str | None], ...]


class Parked(Document):
    """An order, or whatever else the key names, whose message made `decide` raise."""

    kind = "parked"

    since: datetime
    reason: str
    """The exception, in one line."""
    records: tuple[ParkedRecord, ...] = ()
    """What came after it, in order."""


def parking_place(message: Message, key: str) -> str:
    """What is parked together: an order where the message names one, or else all that shares the message's key."""
    return str(getattr(message, "order_id", key))


def with_record(parked: Parked, record: Received) -> Parked | None:
    """The same with one record more, or None if it has no room for it."""
    kept = ParkedRecord(
        topic=record.topic,
        offset=record.offset,
        timestamp=record.timestamp,
        key=_text(record.key),
        value=_text(record.value),
        headers=tuple((name, _text(value)) for name, value in record.headers),
    )
    records = (*parked.records, kept)
    if len(records) > MOST_RECORDS or sum(map(_size, records)) > MOST_BYTES:
        return None
    return parked.but(records=records)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()


def _size(record: ParkedRecord) -> int:
    return len(record.key or "") + len(record.value or "") + sum(len(n) + len(v or "") for n, v in record.headers)
