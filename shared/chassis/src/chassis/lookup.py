"""Looks single records up on Kafka."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from contracts.wire import Received

from chassis.ports import Unavailable

WITHIN_S = 5.0
MOST_FETCHED_BYTES = 4_194_304


async def look_up(brokers: str, topic: str, partition: int, offset: int) -> Received | None:
    """The record at this offset, or None if its topic does not have it any more. Raises Unavailable."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, max_partition_fetch_bytes=MOST_FETCHED_BYTES
    )
    where = TopicPartition(topic, partition)
    try:
        async with asyncio.timeout(WITHIN_S):
            await consumer.start()
            earliest, end = await consumer.beginning_offsets([where]), await consumer.end_offsets([where])
            if not earliest[where] <= offset < end[where]:
                return None
            consumer.assign([where])
            consumer.seek(where, offset)
            record: Received = await consumer.getone(where)
    except (KafkaError, TimeoutError) as failure:
        raise Unavailable(f"Kafka does not give the record of {topic}/{partition} at {offset}; try again") from failure
    else:
        return record if record.offset == offset else None
    finally:
        await consumer.stop()
