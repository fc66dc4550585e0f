"""What a partition reads from Kafka, and where: seeking, pausing, and what was never delivered."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from chassis.ports import PositionLost
from chassis.telemetry import logger


class PatientConsumer(AIOKafkaConsumer):  # type: ignore[misc] # aiokafka ships no types
    """Polls until there is something: after a poll that brings nothing FastStream sleeps, and what comes then waits."""

    def __init__(self, *topics: str, before_poll: Callable[[], Awaitable[None]], **options: Any) -> None:  # noqa: ANN401 - as aiokafka has them
        super().__init__(*topics, **options)
        self._before_poll = before_poll

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        while True:
            await self._before_poll()
            fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]
            fetched = await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
            if fetched:
                return fetched


class KafkaFeed:
    """The records of one partition number over all topics of a service; see `chassis.ports.Feed`."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._reached: dict[TopicPartition, int] = {}
        """The offset that the next record of each that is delivered should have, if nothing is missing before it."""
        self._commit: asyncio.Task[None] | None = None

    async def ends(self, topics: Collection[str]) -> Mapping[str, int]:
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(self._of(topics))
        return {where.topic: end for where, end in ends.items()}

    async def start_at(self, positions: Mapping[str, int], topics: Collection[str]) -> Mapping[str, tuple[int, int]]:
        partitions = self._of(topics)
        self._reached.clear()
        earliest = await self._consumer.beginning_offsets(partitions)
        end = await self._consumer.end_offsets(partitions)
        for where in partitions:
            position = positions.get(where.topic, earliest[where])
            if not earliest[where] <= position <= end[where]:
                # Kafka's consumers would go to the earliest record then, and nobody would know what was lost.
                raise PositionLost(where.topic, position, earliest[where])
            self._consumer.seek(where, position)
            self._reached[where] = position
        self._consumer.resume(*partitions)
        return {where.topic: (self._reached[where], end[where]) for where in partitions}

    async def reach(self, where: TopicPartition, first: int, following: int) -> bool:
        """Take note that records from `first` on were fetched, and that `following` is next; whether they can be taken.

        Kafka's consumers go to the earliest record that there is when the one that they want is gone, and nobody is
        told. That is ahead where records were cut off, and behind where the topic lost its end, by an unclean election:
        what was written to it since has offsets that were taken before. A hole by itself says nothing: compaction
        leaves some, and so do transactions. So Kafka is asked; records are not to be taken if it does not answer, or if
        the feed was started anew meanwhile.
        """
        wanted, self._reached[where] = self._reached[where], following
        if first <= wanted:
            return first == wanted
        try:
            earliest: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets([where])
        except KafkaError:
            return False
        return earliest[where] <= wanted and self._reached.get(where) == following

    @property
    def reached(self) -> Mapping[TopicPartition, int]:
        """The offset up to which each that is delivered was."""
        return self._reached

    def pause(self, topics: Collection[str]) -> None:
        self._consumer.pause(*self._of(topics))

    def resume(self, topics: Collection[str]) -> None:
        self._consumer.resume(*self._of(topics))

    def _of(self, topics: Collection[str]) -> list[TopicPartition]:
        return [partition for partition in self._partitions if partition.topic in topics]

    def commit(self, positions: Mapping[str, int]) -> None:
        if self._commit is None or self._commit.done():
            offsets = {p: positions[p.topic] for p in self._partitions if p.topic in positions}
            self._commit = asyncio.create_task(self._commit_hint(offsets))

    async def _commit_hint(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as failure:
            logger().debug("offsets were not committed; only lag monitors read them", reason=repr(failure))
