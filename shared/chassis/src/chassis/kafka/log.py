"""Kafka as a partition writes it, and as the HTTP APIs do."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from contracts.message import Message
from contracts.record import Received
from contracts.topics import TOPIC_OF, TOPICS
from contracts.wire import Envelope, encode

from chassis.brokers import client_options, public_address
from chassis.decision import correlation_of
from chassis.entry import Outgoing, by_partition
from chassis.kafka.lookup import look_up
from chassis.kafka.partitioner import home_of
from chassis.limits import LARGEST_RECORD_BYTES
from chassis.ports import Clock, RecordPlace, Unavailable
from chassis.telemetry import logger
from chassis.trace import child_of

BATCH_BYTES = 262_144
SEND_TIMEOUT_S = 10.0
UNCONFIRMED = (
    "Kafka did not confirm it in time, and may have taken it. Send the same again, with the same id: that is safe."
)
WRITTEN_TO = [topic.name for topic in TOPICS] + [topic.dead_letter for topic in TOPICS if topic.readers]
"""A record for a topic that is not there would hold up for ever all that its partition says after it."""


class KafkaLog:
    """Publishes with an idempotent producer; everything is acknowledged by all replicas in sync."""

    def __init__(self, brokers: str, client_id: str) -> None:
        self._brokers = brokers
        self._client_id = client_id
        self._partitions = 0
        self._producer: AIOKafkaProducer | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the producer was replaced and is stopped: what it has not answered by then it never will."""
        self._renewing = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def count_partitions(self) -> int:
        """How many partitions each topic has. Raises Unavailable when Kafka or a topic is not there, or they differ."""
        client = AIOKafkaClient(**client_options(self._brokers), client_id=self._client_id)
        try:
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
        except KafkaError as failure:
            raise Unavailable(f"Kafka at {public_address(self._brokers)}: {failure}") from failure
        finally:
            await client.close()
        counts = {name: len(cluster.partitions_for_topic(name) or ()) for name in WRITTEN_TO}
        if missing := [name for name, count in counts.items() if not count]:
            lacking = f"has no topic {', '.join(missing)}: run `oms setup`"
            raise Unavailable(f"Kafka at {public_address(self._brokers)} {lacking}")
        if len(set(counts.values())) != 1:
            raise Unavailable(f"every topic must have as many partitions as the others; found {counts}")
        return counts[TOPICS[0].name]

    async def start(self, partitions: int) -> None:
        """Connect, unless that was done, to topics that have this many partitions. Raises Unavailable when Kafka is not
        there.
        """
        try:
            self._producer = self._producer or await self._connect()
        except KafkaError as failure:
            raise Unavailable(f"Kafka at {public_address(self._brokers)}: {failure}") from failure
        self._partitions = partitions

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._brokers),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGEST_RECORD_BYTES,
            compression_type="zstd",
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _running(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("Kafka is not connected yet")
        return self._producer

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
        for task in self._stopping:
            task.cancel()

    def partition_of(self, key: str) -> int:
        if not self._partitions:
            raise Unavailable("Kafka is not connected yet")
        return home_of(key, self._partitions)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish in batches; see `chassis.ports.Log`.

        A topic partition gets its next batch when it has acknowledged the one before: were that one refused, a later
        one that is taken all the same would leave a gap on the link.
        """
        producer, gone = self._running(), self._gone
        batches = [(where, self._batches(producer, batch)) for where, batch in by_partition(records).items()]
        try:
            while batches:
                now = [(where, builder, rest) for where, rest in batches if (builder := next(rest, None)) is not None]
                sent = [await producer.send_batch(builder, topic, partition=p) for (topic, p), builder, _ in now]
                await _answered(sent, gone)
                batches = [(where, rest) for where, _, rest in now]
        except KafkaTimeoutError:
            raise  # it is still at what it was given before, and goes on with it
        except KafkaError:
            # An idempotent producer retries by itself; what reaches us ends its sequence, and a new one takes over.
            await self._renew(producer)
            raise

    @staticmethod
    def _batches(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> Iterator[BatchBuilder]:
        """The records in as few batches as hold them; a record that is larger than a batch has one of its own."""
        builder = producer.create_batch()
        for record in records:
            if not _append(builder, record):
                yield builder
                builder = producer.create_batch()
                if not _append(builder, record):
                    raise ValueError(f"a record for {record.topic} does not fit into any batch")
        yield builder

    async def _renew(self, broken: AIOKafkaProducer) -> None:
        async with self._renewing:
            if self._producer is broken:
                logger().warning("the producer failed and is replaced")
                self._producer = await self._connect()
                gone, self._gone = self._gone, asyncio.get_running_loop().create_future()
                # It waits for whatever it can still deliver, which nobody else should wait for.
                stopping = asyncio.create_task(_stop(broken, gone))
                self._stopping.add(stopping)
                stopping.add_done_callback(self._stopping.discard)

    async def read(self, places: Collection[RecordPlace]) -> Mapping[RecordPlace, Received | None]:
        """Single records; see `chassis.ports.Log`."""
        return await look_up(self._brokers, places)

    async def send(self, record: Outgoing, timeout_s: float) -> None:
        """Send one record. Raises Unavailable when Kafka did not confirm it in time; it may have taken it."""
        producer = self._running()
        try:
            async with asyncio.timeout(timeout_s):
                await producer.send_and_wait(
                    record.topic, record.value, record.key, record.partition, headers=list(record.headers)
                )
        except (KafkaError, TimeoutError) as failure:
            # A time-out is ours, or says that it is still at it; whatever else reaches us ends the producer's sequence.
            if isinstance(failure, KafkaError) and not isinstance(failure, KafkaTimeoutError):
                with suppress(KafkaError, TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._renew(producer)
            raise Unavailable(UNCONFIRMED) from failure


class KafkaPublisher:
    """The HTTP APIs' way in; see `chassis.ports.Publisher`."""

    def __init__(self, log: KafkaLog, service: str, clock: Clock) -> None:
        self._log = log
        self._source = f"{service}/api"
        self._clock = clock

    async def publish(self, message: Message) -> str:
        """Send it and return its id; nobody numbers what comes from here, its business id tells a repeat."""
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        message_id = str(uuid4())
        correlation = correlation_of(message, key)
        value, headers = encode(
            Envelope(
                message=message,
                id=message_id,
                source=self._source,
                time=self._clock.now(),
                correlation_id=correlation,
                causation_id="",
                traceparent=child_of(None, message_id, correlation),
            )
        )
        home = topic.partition_of(message, self._log.partition_of)
        record = Outgoing(topic.name, home, key.encode(), value, headers)
        await self._log.send(record, SEND_TIMEOUT_S)
        return message_id


async def _stop(producer: AIOKafkaProducer, gone: "asyncio.Future[None]") -> None:
    try:
        await producer.stop()
    finally:
        gone.set_result(None)


async def _answered(sent: Sequence["asyncio.Future[object]"], gone: "asyncio.Future[None]") -> None:
    """Wait until the producer has answered all of it. Raises KafkaError if it is gone before, and what it raises.

    aiokafka forgets a batch that it means to send again when another one has broken the producer meanwhile.
    """
    answers = asyncio.gather(*sent)
    try:
        either: set[asyncio.Future[Any]] = {answers, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise KafkaError("the producer was replaced before it said what became of this")
        answers.result()
    finally:
        answers.cancel()


def _append(builder: BatchBuilder, record: Outgoing) -> bool:
    appended = builder.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return appended is not None
