"""Reads topics from their beginning to their end, without joining any group: nobody notices, nothing is committed."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, NoError, for_code
from chassis.brokers import client_options, public_address
from chassis.kafka.batches import forgive
from chassis.ports import Damaged
from contracts.record import Record

from oms.connection import Unreachable
from oms.setup import OURS

Part = tuple[str, int]
"""A topic and one of its partitions."""
Spans = Mapping[Part, tuple[int, int]]
"""By topic partition, the first offset and the one after the last."""

MOST_AT_ONCE = 2000
POLL_TIMEOUT_MS = 500
SILENCE_S = 30
GROUP_ID_NOT_FOUND = 69
"""What newer brokers say of a group that never had a member (KIP-1043)."""


class NoLog(Exception):  # noqa: N818 - named for what is missing
    """A topic does not exist that is to be written to, or none of those that are to be read."""


class LogReader:
    """Reads what is committed on the topics of one Kafka: `async with LogReader(brokers) as log`.

    Every method raises Unreachable.
    """

    def __init__(self, brokers: str) -> None:
        forgive()
        self.brokers = brokers
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **client_options(self.brokers),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            fetch_max_bytes=32 * 1024 * 1024,
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise Unreachable.kafka(self.brokers, error) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._consumer.stop()

    async def spans(self, topics: Iterable[str] | None = None) -> Spans:
        """From where to where each partition goes now; of the topics of the table and their dead letters by default.

        Topics that do not exist are left out. Raises NoLog if none does.
        """
        wanted = set(topics) if topics is not None else OURS
        admin = AIOKafkaAdminClient(**client_options(self.brokers))
        try:
            await admin.start()
            existing = sorted(wanted & set(await admin.list_topics()))
            described = await admin.describe_topics(existing) if existing else []
            parts = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in described
                for partition in topic["partitions"]
            ]
            if not parts:
                lacking = "has none of Throughline's topics: nothing was ever placed there"
                raise NoLog(f"Kafka at {public_address(self.brokers)} {lacking}")
            starts = await self._consumer.beginning_offsets(parts)
            ends = await self._consumer.end_offsets(parts)
        except KafkaError as error:
            raise Unreachable.kafka(self.brokers, error) from error
        finally:
            await admin.close()
        return {(part.topic, part.partition): (starts[part], ends[part]) for part in parts}

    async def members(self, group: str) -> int:
        """How many consumers a group has: the instances of a service that run, as far as Kafka knows."""
        admin = AIOKafkaAdminClient(**client_options(self.brokers))
        try:
            await admin.start()
            described = await admin.describe_consumer_groups([group])
        except KafkaError as error:
            raise Unreachable.kafka(self.brokers, error) from error
        finally:
            await admin.close()
        groups = [group for answer in described for group in answer.groups]
        for error_code, *_ in groups:
            # A coordinator that is still loading, after Kafka's restart, says so, and beside it that nobody is there.
            if error_code not in {NoError.errno, GROUP_ID_NOT_FOUND}:
                raise Unreachable.kafka(self.brokers, for_code(error_code)())
        return sum(len(group[5]) for group in groups)

    async def read(
        self, spans: Spans, on_read: Callable[[int], None] = lambda _: None
    ) -> AsyncGenerator[Sequence[Record]]:
        """Every record of the spans in handfuls, each partition in its order, all partitions side by side.

        `on_read` hears how many offsets were passed. Raises Unreachable when nothing comes for thirty seconds,
        or what comes is damaged.
        """
        ends = {TopicPartition(*part): end for part, (start, end) in spans.items() if end > start}
        at = {part: spans[part.topic, part.partition][0] for part in ends}
        self._consumer.assign(list(ends))
        for part, start in at.items():
            self._consumer.seek(part, start)
        last_news = monotonic()
        try:
            while at:
                fetched = await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=MOST_AT_ONCE)
                for part, records in fetched.items():
                    _refuse_damaged(part, records)
                    yield [_kept(record) for record in records if record.offset < ends[part]]
                # Positions tell, not records: compaction and transactions leave offsets without one, also at the end.
                for part, before in list(at.items()):
                    at[part] = min(await self._consumer.position(part), ends[part])
                    if at[part] > before:
                        last_news = monotonic()
                        on_read(at[part] - before)
                    if at[part] == ends[part]:
                        del at[part]
                        self._consumer.pause(part)
                if monotonic() - last_news > SILENCE_S:
                    raise Unreachable.kafka(self.brokers, TimeoutError(f"nothing came for {SILENCE_S} s"))
        except KafkaError as error:
            raise Unreachable.kafka(self.brokers, error) from error

    async def news(self, topics: Sequence[str]) -> AsyncGenerator[Sequence[Record]]:
        """What is written to these topics from now on, without end: a handful at least twice a second, often empty."""
        spans = await self.spans(topics)
        self._consumer.assign([TopicPartition(*part) for part in spans])
        for part, (_, end) in spans.items():
            self._consumer.seek(TopicPartition(*part), end)
        yield []
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=MOST_AT_ONCE)
                yield [_kept(record) for records in fetched.values() for record in records]
        except KafkaError as error:
            raise Unreachable.kafka(self.brokers, error) from error


def _refuse_damaged(part: TopicPartition, records: Iterable[Any]) -> None:
    for record in records:
        if isinstance(record.value, Damaged):
            raise Unreachable(f"what Kafka keeps of {part.topic}/{part.partition} is damaged: {record.value.decode()}")


def _kept(record: Any) -> Record:  # noqa: ANN401 - aiokafka ships no types
    """The record without what nobody asks for; names of headers, always the same few, are kept once."""
    headers = tuple([(sys.intern(name), value) for name, value in record.headers])
    return Record(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers)
