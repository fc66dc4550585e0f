"""Looks single records up on Kafka."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from contracts.wire import Received

from chassis.brokers import client_options
from chassis.ports import Damaged, Unavailable

WITHIN_S = 5.0
POLL_MS = 200
MOST_FETCHED_BYTES = 4_194_304


async def look_up(brokers: str, topic: str, partition: int, offset: int) -> Received | None:
    """The record at this offset, or None if its topic has none there, or not any more. Raises Unavailable."""
    consumer: Any = AIOKafkaConsumer(
        **client_options(brokers),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=MOST_FETCHED_BYTES,
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
            # The position tells, not the next record: at the end of a topic none may follow.
            found: list[Received] = []
            while not found and await consumer.position(where) <= offset:
                fetched = await consumer.getmany(where, timeout_ms=POLL_MS, max_records=1)
                found = fetched.get(where, [])
    except (KafkaError, TimeoutError) as failure:
        raise Unavailable(f"Kafka does not give the record of {topic}/{partition} at {offset}; try again") from failure
    else:
        if found and isinstance(found[0].value, Damaged):
            raise Unavailable(f"what Kafka keeps of {topic}/{partition} is damaged: {found[0].value.decode()}")
        return next((record for record in found if record.offset == offset), None)
    finally:
        await consumer.stop()
