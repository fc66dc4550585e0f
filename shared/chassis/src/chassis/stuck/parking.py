"""What is set aside because deciding it failed: the order waits, the others go on."""

from base64 import b64decode, b64encode

from contracts.message import Message
from contracts.record import Received, Record
from pydantic import BaseModel, ConfigDict

from chassis.decision import correlation_of
from chassis.limits import HEADER_BYTES
from chassis.stuck.document import Stuck

MOST_PARKED_RECORDS = 1000
MOST_PARKED_BYTES = 2_000_000
"""The most records that a parked order keeps, and the most bytes; what comes after becomes dead letters."""


def empty(record: Received) -> Record:
    """The record without what nobody can read of it."""
    return Record(record.topic, record.partition, record.offset, record.timestamp, None, None, ())


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

    def again(self, partition: int) -> Record:
        """The record as it came."""
        # A header may have no value, whatever the client's types say.
        headers = tuple((name, _bytes(value)) for name, value in self.headers)
        return Record(
            self.topic,
            partition,
            self.offset,
            self.timestamp,
            _bytes(self.key),
            _bytes(self.value),
            headers,  # type: ignore[arg-type] # see above
        )


class Parked(Stuck):
    """An order, or whatever else the key names, whose message made `decide` raise."""

    kind = "parked"

    place: str
    """What is parked. The id names the partition, too: an order of several locations may be parked in several books."""
    reason: str
    """The exception, in one line."""
    times: int = 1
    """How often it was parked in a row: once more for each release after which it failed again."""
    records: tuple[ParkedRecord, ...] = ()
    """The record that failed, unless it was an alarm or an answer, and what came after it, in order."""


def parking_place(message: Message, key: str) -> str:
    """What is parked together: an order where the message names one, or else all that shares the message's key."""
    return correlation_of(message, key)


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
    if len(records) > MOST_PARKED_RECORDS or sum(map(_size, records)) > MOST_PARKED_BYTES:
        return None
    return parked.but(records=records)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def _size(record: ParkedRecord) -> int:
    headers = sum(len(name) + len(value or "") + HEADER_BYTES for name, value in record.headers)
    return len(record.key or "") + len(record.value or "") + headers
