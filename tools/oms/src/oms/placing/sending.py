"""Sends messages to Kafka from outside any service, as a channel does."""

from collections import deque
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from chassis.brokers import client_options, public_address
from contracts.message import Message
from contracts.topics import TOPIC_OF

from oms.connection import Unreachable
from oms.log import NoLog

SOURCE = "oms"
MOST_IN_FLIGHT = 1000
MOST_BYTES = 1_000_000
"""A body and a key this large still fit, with their headers, into what Kafka takes unless its operator says otherwise:
1 MiB."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it goes to Kafka."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    id: str


class TooLarge(Exception):  # noqa: N818 - named for what the message is
    """The message is larger than Kafka takes."""


def letter(message: Message) -> Letter:
    """The message, on its way to its topic by its key."""
    model = type(message)
    return letter_of(model, message.__pydantic_serializer__.to_json(message), TOPIC_OF[model].key_of(message))


def letter_of(model: type[Message], body: bytes, key: str | None) -> Letter:
    """A body that calls itself such a message. Nobody checked it: what is wrong with it is for its reader to say.

    Raises TooLarge if Kafka would not take it.
    """
    key_bytes = key.encode() if key is not None else None
    size = len(body) + len(key_bytes or b"")
    if size > MOST_BYTES:
        raise TooLarge(f"{size} bytes are more than Kafka takes ({MOST_BYTES})")
    message_id = uuid4().hex
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", model.__name__.encode()),
        ("ce_id", message_id.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_time", datetime.now(UTC).isoformat().encode()),
        ("content-type", b"application/json"),
    ]
    return Letter(TOPIC_OF[model].name, key_bytes, body, headers, message_id)


class Sender:
    """Sends letters in order, each to the partition of its key (murmur2), and waits for all of them at the end."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer: Any = None
        self._topics: Collection[str] = ()
        self._in_flight: deque[Awaitable[object]] = deque()

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **client_options(self._brokers),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=256 * 1024,
        )
        try:
            await self._producer.start()
            self._topics = (await self._producer.client.fetch_all_metadata()).topics()
        except KafkaError as error:
            await self._producer.stop()
            raise Unreachable.kafka(self._brokers, error) from error
        return self

    async def send(self, message: Letter) -> None:
        """Hand it over; waits only when a thousand others are on their way.

        Raises Unreachable, and NoLog if there is no such topic: Kafka might make it, with partitions as it likes.
        """
        if message.topic not in self._topics:
            raise NoLog(f"Kafka at {public_address(self._brokers)} has no topic {message.topic}: run `oms setup`")
        try:
            sent = await self._producer.send(
                message.topic, key=message.key, value=message.value, headers=message.headers
            )
            self._in_flight.append(sent)
            if len(self._in_flight) > MOST_IN_FLIGHT:
                await self._in_flight.popleft()
        except KafkaError as error:
            raise Unreachable.kafka(self._brokers, error) from error

    async def flush(self) -> None:
        """Wait until Kafka has everything. Raises Unreachable."""
        try:
            while self._in_flight:
                await self._in_flight.popleft()
        except KafkaError as error:
            raise Unreachable.kafka(self._brokers, error) from error

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._producer.stop()
