"""Looks single records up on Kafka."""

import asyncio
from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from contracts.wire import Received

from chassis.brokers import client_options
from chassis.ports import RecordPlace
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
    try:
        async with asyncio.timeout(WITHIN_S):
            await consumer.start()
            for where, some in groupby(sorted(places), key=lambda place: TopicPartition(*place[:2])):
                earliest, end = await consumer.beginning_offsets([where]), await consumer.end_offsets([where])
                for place in some:
                    is_there = earliest[where] <= place[2] < end[where]
                    found[place] = await _fetch(consumer, where, place[2]) if is_there else None
    except (KafkaError, TimeoutError) as failure:
        logger().warning("not all records were found", wanted=len(places), found=len(found), reason=repr(failure))
    finally:
        await consumer.stop()
    return found


async def _fetch(consumer: Any, where: TopicPartition, offset: int) -> Received | None:  # noqa: ANN401 - aiokafka ships no types
    """The record at an offset before the end of its topic partition, or None if there is a hole."""
    consumer.assign([where])
    consumer.seek(where, offset)
    # The position tells, not the next record: at the end of a topic none may follow.
    found: list[Received] = []
    while not found and await consumer.position(where) <= offset:
        fetched = await consumer.getmany(where, timeout_ms=POLL_MS, max_records=1)
        found = fetched.get(where, [])
    return next((record for record in found if record.offset == offset), None)
