"""The way in: FastStream delivers records, Kafka's group says which partitions are ours.

What FastStream must not do here: acknowledge (the journal knows the positions), parse (one bad record would lose its
batch), declare topics (they come from the table).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from contracts.record import Received
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, Topic
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from chassis.brokers import client_options
from chassis.engine.partition import Partition
from chassis.kafka.batches import forgive
from chassis.kafka.feed import KafkaFeed, PatientConsumer
from chassis.ports import Feed, Hole, Unavailable
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters, logger

POLL_MS = 250
"""The longest that one poll waits for records."""
FETCH_WAIT_MS = 250
MOST_HEARTBEAT_S = 1.0
"""The longest time between heartbeats: they cost next to nothing, and by them an instance hears of a rebalance."""
STALLED_S = 30.0
"""How long a partition may have inputs and take none, in seconds, before it counts as not progressing."""
ASK_WITHIN_S = 1.0
"""How long a scrape waits for Kafka, in seconds."""

OpenPartition = Callable[[int, Feed], Partition]
Batch = tuple[ConsumerRecord, ...]


class Running(NamedTuple):
    """A partition that is ours."""

    partition: Partition
    feed: KafkaFeed
    task: asyncio.Task[None]


class Edge(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Keeps a Partition running for every partition that the group gives to this instance."""

    def __init__(
        self, name: str, topics: Sequence[str], settings: ChassisSettings, open_partition: OpenPartition, meters: Meters
    ) -> None:
        forgive()
        self._first_topic = topics[0]
        """An instance serves number n if the group gave it partition n of this topic. All topics are handed out alike,
        except during a rolling upgrade that adds one: then two instances could each hold a partition of the same number
        and would fence each other."""
        self._open = open_partition
        self._meters = meters
        self._stop_deadline_s = settings.stop_deadline_s
        self._running: dict[int, Running] = {}
        self._assigned: frozenset[TopicPartition] | None = None
        """None until the group has given us our share, which may be nothing."""
        self._is_stopping = False
        self._client_options = client_options(settings.kafka_brokers)
        self._broker = KafkaBroker(
            self._client_options["bootstrap_servers"],
            client_id=name,
            consumer_only=True,
            apply_types=False,
            logger=None,
        )
        self._subscriber = self._broker.subscriber(
            *(Topic(topic, declare=False) for topic in topics),
            batch=True,
            group_id=name,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(min(MOST_HEARTBEAT_S, settings.session_timeout_s / 3) * 1000),
            rebalance_timeout_ms=int((settings.session_timeout_s + settings.stop_deadline_s) * 1000),
            batch_timeout_ms=POLL_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_records=settings.inbox_max_messages,
            listener=self,
            parser=_unparsed,
            decoder=_undecoded,
            isolation_level="read_committed",
            no_reply=True,
        )
        self._subscriber(self._deliver)

    async def start(self) -> None:
        """Join the group, and wait for our share. Raises Unavailable when Kafka is not there, or refuses."""
        await self._broker.connect()  # which says how consumers are made
        kafka = self._broker.config.broker_config
        options = cast("partial[AIOKafkaConsumer]", kafka.builder).keywords | self._client_options
        kafka.builder = partial(PatientConsumer, before_poll=self._pass_holes, **options)
        try:
            await self._broker.start()
        except KafkaError as failure:
            await self._broker.stop()
            raise Unavailable(f"Kafka: {failure}") from failure

    async def stop(self) -> None:
        """Finish what is begun, then leave the group."""
        self._is_stopping = True
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
            position = await self._position(where)
            serving = self._running.get(where.partition)
            if serving is None or position is None or where not in serving.feed.reached:
                continue
            # A feed that was set back since these were fetched stands before them: they come again, in order.
            if position <= records[-1].offset:
                continue
            await self._hand_over(serving, where, records, first=records[0].offset)

    async def _pass_holes(self) -> None:
        """Say so where the consumer went on although there was no record: otherwise whoever waits for the end of a
        topic would wait for the next record. All that was fetched is delivered by now.
        """
        for serving in list(self._running.values()):
            for where, reached in list(serving.feed.reached.items()):
                position = await self._position(where)
                if position is not None and position > reached:
                    hole = Hole(where.topic, where.partition, position - 1)
                    await self._hand_over(serving, where, [hole], first=position)

    @staticmethod
    async def _hand_over(serving: Running, where: TopicPartition, records: Sequence[Received], first: int) -> None:
        try:
            if await serving.feed.reach(where, first, records[-1].offset + 1):
                serving.partition.offer(records)
                return
        except Exception as bug:  # noqa: BLE001 - FastStream would drop it without a word, and the records with it
            told = logger(partition=where.partition)
            told.critical("records were not taken in; they come again", topic=where.topic, exc_info=bug)
        serving.partition.begin_anew()  # from its journal, which finds out what is missing

    async def _position(self, where: TopicPartition) -> int | None:
        """The offset that is fetched next; None if the partition is not ours any more."""
        try:
            position: int = await self._consumer.position(where)
        except KafkaError:
            return None
        return position

    # Assignment.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The group is about to give partitions to somebody else: finish what is begun."""
        await self._close({where.partition for where in revoked})
        self._assigned = None

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """These are ours now: nothing is delivered before their journals have been read."""
        if self._is_stopping:
            return
        consumer = self._consumer
        self._assigned = frozenset(assigned)
        if self._assigned:
            consumer.pause(*self._assigned)
        for number in sorted(where.partition for where in self._assigned if where.topic == self._first_topic):
            feed = KafkaFeed(consumer, [where for where in self._assigned if where.partition == number])
            partition = self._open(number, feed)
            task = asyncio.create_task(partition.run(), name=f"partition {number}")
            self._running[number] = Running(partition, feed, task)
        logger().info("assigned", partitions=sorted(self._running))

    async def _close(self, numbers: set[int]) -> None:
        closing = [self._running[number] for number in numbers if number in self._running]
        for running in closing:
            running.partition.stop()
        if closing:
            _, late = await asyncio.wait([running.task for running in closing], timeout=self._stop_deadline_s * 0.8)
            for task in late:
                logger().warning("did not stop in time; its journal goes on where it stood", partition=task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for number in numbers:
            self._running.pop(number, None)
            self._meters.forget(number)

    @property
    def partitions(self) -> frozenset[int]:
        """The numbers of those that are ours."""
        return frozenset(self._running)

    # Health: progress, not a ping.

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether every partition that is ours progresses, and the state of each."""
        states: dict[str, Any] = {}
        ready = self._assigned is not None
        for number, (partition, _, task) in sorted(self._running.items()):
            stalled_s, unheard_s = partition.stalled_s(), self._unheard_s(number)
            serves = partition.state == "running" and partition.failure is None and not task.done()
            fine = serves and max(stalled_s, unheard_s) < STALLED_S
            ready = ready and fine
            self._meters.running.labels(str(number)).set(int(fine))
            states[str(number)] = {
                "state": partition.state,
                "waiting": partition.waiting,
                "stalled_s": round(stalled_s, 3),
                "unheard_s": round(unheard_s, 3),
                "failure": partition.failure,
            }
        return ready, {"joined": self._assigned is not None, "partitions": states}

    def _unheard_s(self, number: int) -> float:
        """For how many seconds Kafka has answered no fetch of a topic that we want to read."""
        try:
            paused = self._consumer.paused()
            wanted = [where for where in self._assigned or () if where.partition == number and where not in paused]
            polled_ms = [self._consumer.last_poll_timestamp(where) for where in wanted]
        except KafkaError:
            return 0.0
        return max((time.time() - polled / 1000 for polled in polled_ms if polled is not None), default=0.0)

    async def measure(self) -> None:
        """Set the gauges of every partition that is ours, and the lag of each of its topics."""
        for running in self._running.values():
            running.partition.measure()
        for where, end in (await self._ends()).items():
            serving = self._running.get(where.partition)
            if serving is not None and serving.partition.state != "recovering":  # until then it does not know its place
                lag = max(0, end - serving.partition.positions.get(where.topic, 0))
                self._meters.lag.labels(where.topic, str(where.partition)).set(lag)

    async def _ends(self) -> Mapping[TopicPartition, int]:
        """Where the topics of our partitions end, as far as that is known: every fetch tells it. What is paused is not
        fetched, so Kafka is asked for the ends of that, but not waited for while it is away.
        """
        ends: dict[TopicPartition, int] = {}
        with suppress(KafkaError, TimeoutError):
            consumer, ours = self._consumer, self._assigned or frozenset()
            ends = {where: end for where in ours if (end := consumer.highwater(where)) is not None}
            paused = [*(ours & consumer.paused())]
            async with asyncio.timeout(ASK_WITHIN_S):
                for where, end in (await consumer.end_offsets(paused)).items():
                    # Kafka names the end of what is committed: behind it there may be what the last fetch saw.
                    ends[where] = max(end, ends.get(where, 0))
        return ends


async def _unparsed(batch: Batch) -> KafkaMessage:
    """The records as they came: each is decoded by the partition, where one that cannot be is one dead letter."""
    return KafkaMessage(raw_message=batch, body=b"", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> Batch:
    records: Batch = message.raw_message
    return records
