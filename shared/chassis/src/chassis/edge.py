"""The way in: FastStream delivers records, Kafka's group says which partitions are ours.

What FastStream must not do here: acknowledge (the journal knows the positions), parse (one bad record would lose its
batch), declare topics (they come from the table).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, Topic
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from chassis.header_names import forgive
from chassis.partition import Partition
from chassis.ports import Feed
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters, logger

POLL_MS = 20
"""How long an empty poll waits; FastStream waits as long again before the next."""
FETCH_WAIT_MS = 250
STALLED_S = 30.0
"""A partition that has inputs and took none for so long is not progressing."""

OpenPartition = Callable[[int, Feed], Partition]
Batch = tuple[ConsumerRecord, ...]


class KafkaFeed:
    """The records of one partition number over all topics of a service; see `chassis.ports.Feed`."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._commit: asyncio.Task[None] | None = None

    async def start_at(self, positions: Mapping[str, int]) -> None:
        for partition in self._partitions:
            if (position := positions.get(partition.topic)) is None:
                await self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, position)
        self._consumer.resume(*self._partitions)

    def pause(self) -> None:
        self._consumer.pause(*self._partitions)

    def resume(self) -> None:
        self._consumer.resume(*self._partitions)

    def commit(self, positions: Mapping[str, int]) -> None:
        if self._commit is None or self._commit.done():
            offsets = {p: positions[p.topic] for p in self._partitions if p.topic in positions}
            self._commit = asyncio.create_task(self._commit_hint(offsets))

    async def _commit_hint(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as failure:
            logger().debug("offsets were not committed; only lag monitors read them", reason=repr(failure))


class Edge(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Keeps a Partition running for every partition that the group gives to this instance."""

    def __init__(
        self, name: str, topics: Iterable[str], settings: ChassisSettings, open_partition: OpenPartition, meters: Meters
    ) -> None:
        forgive()
        self._open = open_partition
        self._meters = meters
        self._stop_deadline_s = settings.stop_deadline_s
        self._running: dict[int, tuple[Partition, asyncio.Task[None]]] = {}
        self._assigned: frozenset[TopicPartition] | None = None
        """None until the group has given us our share, which may be nothing."""
        self._broker = KafkaBroker(
            settings.kafka_brokers, client_id=name, consumer_only=True, apply_types=False, logger=None
        )
        self._subscriber = self._broker.subscriber(
            *(Topic(topic, declare=False) for topic in topics),
            batch=True,
            group_id=name,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 1000 / 3),
            batch_timeout_ms=POLL_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_records=settings.inbox_max_messages,
            listener=self,
            parser=_unparsed,
            decoder=_undecoded,
            no_reply=True,
        )
        self._subscriber(self._deliver)

    async def start(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        """Finish what is begun, then leave the group."""
        await self._close(set(self._running))
        await self._broker.stop()

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise IllegalStateError("the consumer is not running")
        return consumer

    # Records.

    async def _deliver(self, batch: Batch) -> None:
        by_partition: dict[TopicPartition, list[ConsumerRecord]] = {}
        for record in batch:
            by_partition.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        for where, records in by_partition.items():
            if where.partition in self._running and await self._is_current(where, records[-1].offset):
                self._running[where.partition][0].offer(records)

    async def _is_current(self, where: TopicPartition, last_offset: int) -> bool:
        """Whether the feed was not set back since these records were fetched; if it was, they come again, in order."""
        try:
            position: int = await self._consumer.position(where)
        except IllegalStateError:
            return False
        return position > last_offset

    # Assignment.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The group is about to give partitions to somebody else: finish what is begun."""
        await self._close({where.partition for where in revoked})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """These are ours now: nothing is delivered before their journals have been read."""
        consumer = self._consumer
        self._assigned = frozenset(assigned)
        if self._assigned:
            consumer.pause(*self._assigned)
        for number in sorted({where.partition for where in self._assigned}):
            feed = KafkaFeed(consumer, [where for where in self._assigned if where.partition == number])
            partition = self._open(number, feed)
            self._running[number] = (partition, asyncio.create_task(partition.run(), name=f"partition {number}"))
        logger().info("assigned", partitions=sorted(self._running))

    async def _close(self, numbers: set[int]) -> None:
        closing = [self._running[number] for number in numbers if number in self._running]
        for partition, _ in closing:
            partition.stop()
        if closing:
            _, late = await asyncio.wait([task for _, task in closing], timeout=self._stop_deadline_s * 0.8)
            for task in late:
                logger().warning("did not stop in time; its journal goes on where it stood", partition=task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for number in numbers:
            self._running.pop(number, None)
            self._meters.forget(number)

    # Health: progress, not a ping.

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether every partition that is ours progresses, and the state of each."""
        states: dict[str, Any] = {}
        ready = self._assigned is not None
        for number, (partition, task) in sorted(self._running.items()):
            stalled_s = partition.stalled_s()
            fine = partition.state == "running" and not task.done() and stalled_s < STALLED_S
            ready = ready and fine
            self._meters.running.labels(str(number)).set(int(fine))
            states[str(number)] = {"state": partition.state, "waiting": partition.waiting, "stalled_s": stalled_s}
        return ready, {"joined": self._assigned is not None, "partitions": states}

    async def measure_lag(self) -> None:
        """Set the lag of every topic partition that is ours."""
        for where in self._assigned or ():
            if (running := self._running.get(where.partition)) is None:
                continue
            try:
                highwater = self._consumer.highwater(where)
                position = await self._consumer.position(where)
            except (IllegalStateError, KafkaError):
                continue
            if highwater is not None:
                lag = max(0, highwater - position) + running[0].waiting
                self._meters.lag.labels(where.topic, str(where.partition)).set(lag)


async def _unparsed(batch: Batch) -> KafkaMessage:
    """The records as they came: each is decoded by the partition, where one that cannot be is one dead letter."""
    return KafkaMessage(raw_message=batch, body=b"", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> Batch:
    records: Batch = message.raw_message
    return records
