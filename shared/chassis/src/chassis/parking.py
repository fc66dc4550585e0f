"""What is set aside because deciding it failed: the order waits, the others go on."""

from base64 import b64encode
from datetime import datetime

from contracts.message import Message
from contracts.wire import Received
from pydantic import BaseModel, ConfigDict

from chassis.decision import Document

MOST_RECORDS = 1000
"""A parked order keeps so many records at the most; those after it become dead letters."""


class ParkedRecord(BaseModel):
    """A record that waits for its order to be released, as it came."""

    model_config = ConfigDict(frozen=True)

    topic: str
    offset: int
    key: str
    """In base64."""
    value: str
    """In base64."""
    headers: tuple[tuple[str, str], ...]
    """The values in base64."""


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


def with_record(parked: Parked, record: Received) -> Parked:
    """The same with one record more."""
    kept = ParkedRecord(
        topic=record.topic,
        offset=record.offset,
        key=b64encode(record.key or b"").decode(),
        value=b64encode(record.value or b"").decode(),
        headers=tuple((name, b64encode(value).decode()) for name, value in record.headers),
    )
    return parked.but(records=(*parked.records, kept))
