"""Looks single records up on Kafka."""

import asyncio
from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from contracts.record import Received

from chassis.brokers import client_options
from chassis.ports import Damaged, RecordPlace
from chassis.telemetry import logger

WITHIN_S = 5.0
POLL_MS = 200
MOST_FETCHED_BYTES = 4_194_304


async def look_up(brokers: str, places: Collection[RecordPlace]) -> Mapping[RecordPlace, Received | None]:
    """The records at these places, as far as Kafka gives them within WITHIN_S; see `chassis.ports.Log`."""
    consumer: Any = AIOKafkaConsumer(
        **client_options(brokers),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=MOST_FETCHED_BYTES,
    )
    found: dict[RecordPlace, Received | None] = {}
    now = asyncio.get_running_loop().time
    until = now() + WITHIN_S
    try:
        async with asyncio.timeout_at(until):
            await consumer.start()
        wanted = [(where, list(some)) for where, some in groupby(sorted(places), key=_topic_partition)]
        for left, (where, some) in zip(range(len(wanted), 0, -1), wanted, strict=True):
            # Each has its share of the time that is left, so that one that does not answer leaves some for the others.
            await _look_up_in(consumer, where, some, found, until=now() + (until - now()) / left)
    except (KafkaError, TimeoutError) as failure:
        logger().warning("no records were found", wanted=len(places), reason=repr(failure))
    finally:
        await consumer.stop()
    return found


def _topic_partition(place: RecordPlace) -> TopicPartition:
    return TopicPartition(*place[:2])


async def _look_up_in(
    consumer: Any,  # noqa: ANN401 - aiokafka ships no types
    where: TopicPartition,
    places: Collection[RecordPlace],
    found: dict[RecordPlace, Received | None],
    *,
    until: float,
) -> None:
    """Add to `found` what one topic partition gives until then, a time of the event loop."""
    try:
        async with asyncio.timeout_at(until):
            earliest, end = await consumer.beginning_offsets([where]), await consumer.end_offsets([where])
            for place in places:
                is_there = earliest[where] <= place[2] < end[where]
                found[place] = await _fetch(consumer, where, place[2]) if is_there else None
    except (KafkaError, TimeoutError) as failure:
        missing = sum(place not in found for place in places)
        logger().warning(
            "not all records were found",
            topic=where.topic,
            partition=where.partition,
            missing=missing,
            reason=repr(failure),
        )


async def _fetch(consumer: Any, where: TopicPartition, offset: int) -> Received | None:  # noqa: ANN401 - aiokafka ships no types
    """The record at an offset before the end of its topic partition, or None if there is a hole.

    A damaged batch is told as one record, at its last offset: any of its records may be the one.
    """
    consumer.assign([where])
    consumer.seek(where, offset)
    # The position tells, not the next record: at the end of a topic none may follow.
    found: list[Received] = []
    while not found and await consumer.position(where) <= offset:
        fetched = await consumer.getmany(where, timeout_ms=POLL_MS, max_records=1)
        found = fetched.get(where, [])
    return next((record for record in found if record.offset == offset or isinstance(record.value, Damaged)), None)
