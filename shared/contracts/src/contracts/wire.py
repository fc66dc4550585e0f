"""How a message looks on Kafka: CloudEvents 1.0 in binary mode, the body as JSON.

Source: CloudEvents 1.0.2, Kafka Protocol Binding 1.0.2, section 3.2; distributed tracing extension (`traceparent`).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from contracts.message import FromOutside, Message, Reason
from contracts.payment import refuse_card_number_in
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF, Topic

Headers = Sequence[tuple[str, bytes]]

JSON = b"application/json"
REQUIRED_HEADERS = ("ce_specversion", "ce_type", "ce_id", "ce_source")
TEXT_HEADERS = ("ce_id", "ce_source", "ce_correlationid", "ce_causationid")
MOST_HEADER_CHARACTERS = 512
MOST_OPEN_BODY_BYTES = 1_048_576
"""The longest body that is read from channels and people: a thousand times an ordinary order."""
MOST_OPEN_VALUES = 20_000
"""The most values that such a body may have, counted by its commas: twice as many as the longest order has. Saying what
is wrong with each of hundreds of thousands would take seconds in which nobody else is served."""
TOO_LARGE = "too_large"
"""The code of the reason that a body was not looked at."""
CARD_NUMBER = "card_number"
"""The code of the reason that somebody sent card data; it is never left out, for others must know not to copy it."""
MOST_REASONS_TOLD = 100
PARTITION = re.compile(rb"([a-z]+)/[0-9]+@[0-9a-z]+")
NUMBER = re.compile(rb"[0-9]{1,18}")
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Received(Protocol):
    """A record as a Kafka client hands it over."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(slots=True)  # not frozen: there are millions, and one that is frozen takes five times as long to make
class Record:
    """A record as it is on its topic, which nobody changes."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970, UTC."""
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def place(self) -> str:
        return place_on_log(self.topic, self.partition, self.offset)


def place_on_log(topic: str, partition: int, offset: int) -> str:
    """Where a record is, in a word: `topic/partition/offset`. A dead letter is named by it."""
    return f"{topic}/{partition}/{offset}"


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
        _unreadable(name, "malformed_header", "this header is not UTF-8")
    if len(text) > MOST_HEADER_CHARACTERS or not text.isprintable():
        _unreadable(name, "malformed_header", f"at most {MOST_HEADER_CHARACTERS} printable characters are read here")
    return text


def _time(headers: Mapping[str, bytes | None], timestamp_ms: int) -> datetime:
    """When the writer says it happened, or else when Kafka got it."""
    text = _text(headers, "ce_time")
    try:
        # RFC 3339 takes a small `t` and `z`, too, and Python 3.11 does not.
        moment = datetime.fromisoformat(text.upper()) if text else datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        if moment.tzinfo is None:
            _unreadable("ce_time", "malformed_header", "this header lacks its offset from UTC")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        _unreadable("ce_time", "malformed_header", f"this is no RFC 3339 time of our age: {text or timestamp_ms!r}")


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
        _unreadable("ce_specversion", "unknown_version", "only CloudEvents 1.0 is read here")
    written = (headers["ce_type"] or b"")[:64].decode(errors="replace")
    model = MESSAGES.get(written)
    if model is None or TOPIC_OF[model] is not topic:
        known = ", ".join(model.__name__ for model in topic.messages)
        _unreadable("ce_type", "unknown_type", f"{written!r} is not carried by {topic.name}, which carries {known}")
    return model


def _unreadable(path: str, code: str, message: str) -> NoReturn:
    raise Unreadable((Reason(path=path, code=code, message=message[:1000]),)) from None


def refuse_oversized(body: bytes | bytearray) -> None:
    """Refuse a body from outside that is larger than any good one, without looking into it. Raises Unreadable."""
    if len(body) > MOST_OPEN_BODY_BYTES:
        _unreadable("", TOO_LARGE, f"the body has {len(body)} bytes; at most {MOST_OPEN_BODY_BYTES} are read here")
    if (values := body.count(b",")) > MOST_OPEN_VALUES:
        _unreadable("", TOO_LARGE, f"the body has {values} values; at most {MOST_OPEN_VALUES} are read here")


def refuse_ambiguous(body: bytes | bytearray) -> None:
    """Refuse JSON that two readers could understand differently (RFC 8259): duplicate names, NaN, other than UTF-8.

    Raises Unreadable, also where the body is no JSON at all.
    """
    try:
        text = body.decode()
        try:
            STRICT.decode(text)
        except _StandsTwice:
            _unreadable(_what_stands_twice(text), "duplicate_key", "this field stands twice in the same object")
    except ValueError as error:
        _unreadable("", "malformed_json", f"the body is no JSON: {error}")
    except RecursionError:
        _unreadable("", "malformed_json", "the body is nested too deeply")


class _StandsTwice(Exception):  # noqa: N818 - named for what is there
    """A name stands twice in one object."""


class _Object(list[tuple[str, Any]]):
    """A JSON object as it is written, with names that stand there twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _StandsTwice
    return read


def _what_stands_twice(text: str) -> str:
    """The path of the field. Places are not kept while JSON is read, so it is read again for this one."""
    whole = json.loads(text, object_pairs_hook=_Object, parse_constant=_no_constant, parse_int=str, parse_float=str)
    return path_of(_twice_in(whole)).encode(errors="replace").decode()


def _twice_in(value: Any) -> tuple[str | int, ...]:  # noqa: ANN401 - JSON
    """Where the first field is that stands twice in its object; nothing where there is none."""
    if not isinstance(value, list):
        return ()
    parts: Sequence[tuple[str | int, Any]] = value if isinstance(value, _Object) else [*enumerate(value)]
    counted = Counter(name for name, _ in parts)
    for name, inner in parts:
        if counted[name] > 1:
            return (name,)
        if found := _twice_in(inner):
            return (name, *found)
    return ()


def _no_constant(name: str) -> NoReturn:
    _unreadable("", "malformed_json", f"{name} is no JSON number")


# Numbers are left as they are written: how large one may be is for its field to say.
STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=str, parse_float=str)
"""Made once: making it takes as long as reading a small body with it."""


def path_of(location: Iterable[str | int]) -> str:
    """A field's path as people write it: `lines[2].quantity`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:300]


def reasons_of(error: ValidationError) -> tuple[Reason, ...]:
    """Why a body did not fit its type, each reason with the path of the field."""
    return reasons_from(error.errors(include_url=False, include_input=False, include_context=False))


def reasons_from(problems: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """Pydantic's problems in our words; of very many, the first hundred."""
    problems = [problem for problem in problems if not _is_echo(problem, problems)]
    reasons = [
        Reason(path=path_of(problem["loc"]), code=_code(problem["type"]), message=problem["msg"][:1000])
        for problem in sorted(problems, key=lambda problem: problem["type"] != CARD_NUMBER)[:MOST_REASONS_TOLD]
    ]
    if len(problems) > MOST_REASONS_TOLD:
        left_out = f"and {len(problems) - MOST_REASONS_TOLD} more fields are wrong"
        reasons.append(Reason(path="", code="more", message=left_out))
    return tuple(reasons)


def _code(type_: str) -> str:
    return re.sub("[^a-z0-9_]", "_", type_.lower()[:64])


def _is_echo(problem: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list counts as too short only because its elements are wrong, which is said already."""
    if problem["type"] != "too_short":
        return False
    place = problem["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in problems)
