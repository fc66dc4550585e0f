"""A record on Kafka, whichever client handed it over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[str, bytes]]


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
