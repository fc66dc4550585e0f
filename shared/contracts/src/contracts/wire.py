"""How a message looks on Kafka: CloudEvents 1.0 in binary mode, the body as JSON.

Source: CloudEvents 1.0.2, Kafka Protocol Binding 1.0.2, section 3.2; distributed tracing extension (`traceparent`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from contracts.message import FromOutside, Message, Reason
from contracts.payment import refuse_card_number_in
from contracts.reasons import CARD_NUMBER, MOST_REASONS_TOLD, Unreadable, reasons_of, refuse
from contracts.record import Headers, Received
from contracts.strict_json import refuse_ambiguous, refuse_oversized
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF, Topic

JSON = b"application/json"
REQUIRED_HEADERS = ("ce_specversion", "ce_type", "ce_id", "ce_source")
FORWARDED = "forwarded_from"
"""The header of a record that was sent on to the partition of its key."""
TEXT_HEADERS = ("ce_id", "ce_source", "ce_correlationid", "ce_causationid")
MOST_HEADER_CHARACTERS = 512
PARTITION = re.compile(rb"([a-z]+)/[0-9]+@[0-9a-z]+")
NUMBER = re.compile(rb"[0-9]{1,18}")
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and what is known about its way here."""

    message: Message
    id: str
    """Unique within its source. Our services' ids end in `/<entry>/<place in the entry>`."""
    source: str
    """Who wrote it. A partition of a service signs with `<service>/<partition>@<incarnation of its journal>`, its HTTP
    API with `<service>/api`."""
    time: datetime
    correlation_id: str
    """What it belongs to: the order, where there is one."""
    causation_id: str
    """The id of the message that caused it, or `call:<id>` or `alarm:<document>` where the answer to a call or an alarm
    did; empty where none of these did."""
    sequence: int | None = None
    """Counts along the link from the source to the topic partition; absent where nobody counts."""
    traceparent: str | None = None
    """W3C trace context."""


def encode(envelope: Envelope) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The body and the headers of a message on Kafka."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", type(envelope.message).__name__.encode()),
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", envelope.time.isoformat().encode()),
        ("content-type", JSON),
    ]
    if envelope.correlation_id:
        headers.append(("ce_correlationid", envelope.correlation_id.encode()))
    if envelope.causation_id:
        headers.append(("ce_causationid", envelope.causation_id.encode()))
    if envelope.sequence is not None:
        headers.append(("ce_sequence", b"%d" % envelope.sequence))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    # A reader that is not upgraded yet refuses fields from outside that it does not know: none is written needlessly.
    sparse = isinstance(envelope.message, FromOutside)
    return envelope.message.__pydantic_serializer__.to_json(envelope.message, exclude_unset=sparse), headers


def decode(record: Received) -> Envelope:
    """Read a record, validating its body once.

    Raises Unreadable with every reason found: a missing or malformed header, a type that its topic does not carry, a
    body that is no JSON or does not fit the type.
    """
    topic = BY_NAME[record.topic]
    headers = dict(record.headers)
    try:
        if len(headers) < len(record.headers):
            _refuse_repeated(record.headers)
        message = _message(_model(topic, headers), topic, record.value or b"")
    except Unreadable as unreadable:
        raise _refusal(record, headers, unreadable.reasons) from None
    try:
        sequence = _sequence(topic, headers.get("ce_source"), headers.get("ce_sequence"))
        return _envelope(message, headers, record.timestamp, sequence)
    except Unreadable:
        raise _refusal(record, headers, ()) from None


def salvaged(record: Received, message: Message) -> Envelope:
    """What was understood of a record that `decode` refuses, with all that its headers say except a number.

    Raises Unreadable where a header cannot be read: what follows from it could not name its cause.
    """
    return _envelope(message, dict(record.headers), record.timestamp, None)


def _envelope(
    message: Message, headers: Mapping[str, bytes | None], timestamp_ms: int, sequence: int | None
) -> Envelope:
    return Envelope(
        message=message,
        id=_text(headers, "ce_id"),
        source=_text(headers, "ce_source"),
        time=_time(headers, timestamp_ms),
        correlation_id=_text(headers, "ce_correlationid"),
        causation_id=_text(headers, "ce_causationid"),
        sequence=sequence,
        traceparent=_traceparent(headers.get("traceparent")),
    )


def link_of(record: Received) -> tuple[str, int] | None:
    """The source that numbered the record and its number on the link, or None where nobody counts."""
    source = number = None
    for name, value in record.headers:
        if name == "ce_sequence":
            number = value
        elif name == "ce_source":
            source = value
    sequence = _sequence(BY_NAME[record.topic], source, number)
    return (source.decode(), sequence) if source is not None and sequence is not None else None


def _sequence(topic: Topic, source: bytes | None, number: bytes | None) -> int | None:
    """Only the partitions of a topic's writers number their messages, and on open topics nobody does: a stranger who
    signs as one of ours could claim that messages are missing, or have others dropped as already heard.
    """
    if topic.open or source is None or number is None or NUMBER.fullmatch(number) is None:
        return None
    signed = PARTITION.fullmatch(source)
    return int(number) if signed is not None and signed[1].decode() in topic.writers else None


def _message(model: type[Message], topic: Topic, body: bytes) -> Message:
    if topic.open:
        refuse_oversized(body)
    try:
        message: Message = model.__pydantic_validator__.validate_json(body)
    except ValidationError as error:
        raise Unreadable(reasons_of(error)) from None
    if topic.open:
        refuse_ambiguous(body)
    return message


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    try:
        text = (headers.get(name) or b"").decode()
    except UnicodeDecodeError:
        refuse(name, "malformed_header", "this header is not UTF-8")
    if len(text) > MOST_HEADER_CHARACTERS or not text.isprintable():
        refuse(name, "malformed_header", f"at most {MOST_HEADER_CHARACTERS} printable characters are read here")
    return text


def _time(headers: Mapping[str, bytes | None], timestamp_ms: int) -> datetime:
    """When the writer says it happened, or else when Kafka got it."""
    text = _text(headers, "ce_time")
    try:
        # RFC 3339 takes a small `t` and `z`, too, and Python 3.11 does not.
        moment = datetime.fromisoformat(text.upper()) if text else datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        if moment.tzinfo is None:
            refuse("ce_time", "malformed_header", "this header lacks its offset from UTC")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        refuse("ce_time", "malformed_header", f"this is no RFC 3339 time of our age: {text or timestamp_ms!r}")


def _refusal(record: Received, headers: Mapping[str, bytes | None], found: tuple[Reason, ...]) -> Unreadable:
    """Why the record is refused, with what was found so far. Card data is looked for in any case: if the body was not
    read, or was refused for something else, nobody would notice it later, and everybody would copy it.
    """
    reasons = (*_malformed(headers, record.timestamp), *found)
    if not any(reason.code == CARD_NUMBER for reason in reasons):
        try:
            refuse_card_number_in(record.value or b"")
        except PydanticCustomError as card:
            reasons = (*reasons, Reason(path="payment_token", code=CARD_NUMBER, message=card.message()))
    return Unreadable(reasons)


def _malformed(headers: Mapping[str, bytes | None], timestamp_ms: int) -> Iterator[Reason]:
    """Why headers cannot be read."""
    for name in TEXT_HEADERS:
        try:
            _text(headers, name)
        except Unreadable as unreadable:
            yield from unreadable.reasons
    try:
        _time(headers, timestamp_ms)
    except Unreadable as unreadable:
        yield from unreadable.reasons


def _traceparent(value: bytes | None) -> str | None:
    """As W3C Trace Context asks, one that cannot be read is treated as absent."""
    return value.decode() if value is not None and TRACEPARENT.fullmatch(value) is not None else None


def _refuse_repeated(headers: Headers) -> None:
    """Of two headers with one name, another reader may take the other one. Those that we do not read may repeat."""
    counted = Counter(name for name, _ in headers if name.startswith("ce_"))
    repeated = tuple(
        Reason(path=name[:300], code="duplicate_header", message="this header stands there more than once")
        for name, count in counted.items()
        if count > 1
    )
    if repeated:
        raise Unreadable(repeated[:MOST_REASONS_TOLD])


def _model(topic: Topic, headers: Mapping[str, bytes | None]) -> type[Message]:
    missing = tuple(
        Reason(path=name, code="missing", message="this header is required (CloudEvents 1.0, binary mode)")
        for name in REQUIRED_HEADERS
        if not headers.get(name)
    )
    if missing:
        raise Unreadable(missing)
    if headers["ce_specversion"] != b"1.0":
        refuse("ce_specversion", "unknown_version", "only CloudEvents 1.0 is read here")
    written = (headers["ce_type"] or b"")[:64].decode(errors="replace")
    model = MESSAGES.get(written)
    if model is None or TOPIC_OF[model] is not topic:
        known = ", ".join(model.__name__ for model in topic.messages)
        refuse("ce_type", "unknown_type", f"{written!r} is not carried by {topic.name}, which carries {known}")
    return model
