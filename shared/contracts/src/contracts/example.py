"""Golden examples: whole records, as a person reads them and as Kafka carries them."""

import json
from dataclasses import dataclass
from typing import Any, Self

from contracts.reasons import Unreadable
from contracts.record import Headers
from contracts.topics import BY_NAME, TOPIC_OF
from contracts.wire import Envelope, decode, encode


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """A record whose topic, key, headers and body are kept as a JSON file."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    partition: int = 0
    offset: int = 0
    timestamp: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError or KeyError if the file is not made as an example is."""
        example = json.loads(text)
        return cls(
            topic=example["topic"],
            key=example["key"].encode(),
            value=json.dumps(example["body"]).encode(),
            headers=tuple((name, value.encode()) for name, value in example["headers"].items()),
        )


def as_example(envelope: Envelope) -> dict[str, Any]:
    """An envelope as the file shows it."""
    body, headers = encode(envelope)
    topic = TOPIC_OF[type(envelope.message)]
    return {
        "topic": topic.name,
        "key": topic.key_of(envelope.message),
        "headers": {name: value.decode() for name, value in headers},
        "body": json.loads(body),
    }


def fault_of(name: str, text: str, *, current: bool) -> str | None:
    """What is wrong with an example of the message of this name, if anything.

    Every example must be read; the current one must also be written again exactly as it is.
    """
    record = ExampleRecord.read(text)
    if record.topic not in BY_NAME:
        return f"there is no topic {record.topic} any more"
    try:
        envelope = decode(record)
    except Unreadable as unreadable:
        return f"it can no longer be read: {unreadable}"
    if type(envelope.message).__name__ != name:
        return f"it is a {type(envelope.message).__name__}"
    if current and as_example(envelope) != json.loads(text):
        return "it would be written differently now"
    return None
