"""How a message looks on Kafka: CloudEvents 1.0 in binary mode, the body as JSON.

Source: CloudEvents 1.0.2, Kafka Protocol Binding 1.0.2, section 3.2; distributed tracing extension (`traceparent`).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError

from contracts.message import Message, Reason
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF, Topic

Headers = Sequence[tuple[str, bytes]]

JSON = b"application/json"


class Received(Protocol):
    """A record as a Kafka client hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and what is known about its way here."""

    message: Message
    id: str
    """Unique within its source. Our services' ids end in `/<entry>/<place in the entry>`."""
    source: str
    """Who wrote it. A partition of a service signs with `<service>/<partition>@<incarnation of its journal>`."""
    time: datetime
    correlation_id: str
    """What it belongs to: the order, where there is one."""
    causation_id: str
    """The id of the message that caused it; empty where nothing on the log did."""
    sequence: int | None = None
    """Counts along the link from the source to the topic partition; absent where nobody counts."""
    traceparent: str | None = None
    """W3C trace context."""


class Unreadable(Exception):  # noqa: N818 - named for what the record is
    """A record that is no message of its topic; `reasons` names every field that is wrong."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__(
            "; ".join(f"{reason.path}: {reason.message}" if reason.path else reason.message for reason in reasons)
        )
        self.reasons = reasons


def encode(envelope: Envelope) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The body and the headers of a message on Kafka."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", type(envelope.message).__name__.encode()),
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", envelope.time.isoformat().encode()),
        ("ce_correlationid", envelope.correlation_id.encode()),
        ("ce_causationid", envelope.causation_id.encode()),
        ("content-type", JSON),
    ]
    if envelope.sequence is not None:
        headers.append(("ce_sequence", b"%d" % envelope.sequence))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    return envelope.message.__pydantic_serializer__.to_json(envelope.message), headers


def decode(record: Received) -> Envelope:
    """Read a record, validating its body once.

    Raises Unreadable with every reason found: a missing or malformed header, a type that its topic does not carry, a
    body that is no JSON or does not fit the type.
    """
    topic = BY_NAME[record.topic]
    headers = {name: value for name, value in record.headers}  # noqa: C416 - faster than dict() on aiokafka's tuples
    model = _model(topic, headers)
    body = record.value or b""
    if topic.open:
        _refuse_ambiguous(body)
    try:
        message = model.__pydantic_validator__.validate_json(body)
    except ValidationError as error:
        raise Unreadable(reasons_of(error)) from None
    try:
        when = headers.get("ce_time")
        sequence = headers.get("ce_sequence")
        traceparent = headers.get("traceparent")
        return Envelope(
            message=message,
            id=headers["ce_id"].decode(),
            source=headers["ce_source"].decode(),
            time=_time(when.decode()) if when else datetime.fromtimestamp(record.timestamp / 1000, UTC),
            correlation_id=headers.get("ce_correlationid", b"").decode(),
            causation_id=headers.get("ce_causationid", b"").decode(),
            sequence=int(sequence) if sequence is not None else None,
            traceparent=traceparent.decode() if traceparent is not None else None,
        )
    except ValueError as error:
        _unreadable("headers", "malformed_header", f"a header is malformed: {error}")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"ce_time has no UTC offset: {text!r}"
        raise ValueError(msg)
    return moment.astimezone(UTC)


def _model(topic: Topic, headers: dict[str, bytes]) -> type[Message]:
    missing = [name for name in ("ce_specversion", "ce_type", "ce_id", "ce_source") if not headers.get(name)]
    if missing:
        raise Unreadable(
            tuple(
                Reason(path=name, code="missing", message="this header is required (CloudEvents 1.0, binary mode)")
                for name in missing
            )
        )
    if headers["ce_specversion"] != b"1.0":
        _unreadable("ce_specversion", "unknown_version", "only CloudEvents 1.0 is read here")
    written = headers["ce_type"][:64].decode(errors="replace")
    model = MESSAGES.get(written)
    if model is None or TOPIC_OF[model] is not topic:
        known = ", ".join(model.__name__ for model in topic.messages)
        _unreadable("ce_type", "unknown_type", f"{written!r} is not carried by {topic.name}, which carries {known}")
    return model


def _unreadable(path: str, code: str, message: str) -> NoReturn:
    raise Unreadable((Reason(path=path, code=code, message=message[:1000]),)) from None


def _refuse_ambiguous(body: bytes) -> None:
    """Refuse JSON that two readers could understand differently (RFC 8259, section 4): duplicate names, NaN."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            _unreadable(twice[:100], "duplicate_key", "this field stands twice in the same object")
        return read

    def no_constant(name: str) -> NoReturn:
        _unreadable("", "malformed_json", f"{name} is no JSON number")

    try:
        json.loads(body, object_pairs_hook=unique, parse_constant=no_constant)
    except ValueError as error:
        _unreadable("", "malformed_json", f"the body is no JSON: {error}")
    except RecursionError:
        _unreadable("", "malformed_json", "the body is nested too deeply")


def path_of(location: Iterable[str | int]) -> str:
    """A field's path as people write it: `lines[2].quantity`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:300]


def reasons_of(error: ValidationError) -> tuple[Reason, ...]:
    """Every reason why a body did not fit its type, each with the path of the field."""
    return tuple(
        Reason(path=path_of(problem["loc"]), code=problem["type"].lower()[:64], message=problem["msg"][:1000])
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )
