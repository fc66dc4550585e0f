"""Channels that write in transactions: what is committed is carried out, what is aborted never was."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from chassis.kafka.lookup import look_up
from chassis.kafka.partitioner import home_of
from contracts.message import Message
from contracts.order import OrderCompleted, OrderPlaced
from contracts.topics import PARTITIONS
from oms.fleet import Addresses
from oms.log import LogReader
from oms.placing.sending import letter

from tests.integration.shop import LOOK_EVERY_S, Shop
from tests.integration.witness import PATIENCE_S, Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

INTAKE = "order.intake"
PARTITION = 0
LAG = re.compile(rf'^throughline_lag_messages{{partition="{PARTITION}",topic="{INTAKE}"}} (\S+)$', re.MULTILINE)


@asynccontextmanager
async def transactional(stack: Addresses, timeout_ms: int = 60_000) -> AsyncIterator[Any]:
    """A channel's producer; a transaction that is left open stays so until Kafka ends it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.kafka, transactional_id=f"shop-{uuid4()}", transaction_timeout_ms=timeout_ms
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: Any, message: Message) -> int:  # noqa: ANN401 - aiokafka ships no types
    """Write it within the transaction that is open; says its offset."""
    one = letter(message)
    written = await producer.send_and_wait(one.topic, one.value, one.key, headers=one.headers)
    return int(written.offset)


def order(shop: Shop, sku: str, partition: int = PARTITION) -> OrderPlaced:
    """An order that lives where all orders of these tests do, so that the one waits behind the other, or elsewhere."""
    return next(o for _ in count() if home_of((o := shop.order({sku: 1})).order_id, PARTITIONS) == partition)


async def lag_is_gone(shop: Shop) -> None:
    """Wait until the order service says that it has taken all that is on the partition."""
    said = ""
    for _ in range(int(PATIENCE_S / LOOK_EVERY_S)):
        [said] = LAG.findall((await shop.http.get(shop.url("order/metrics"))).text)
        if said == "0.0":
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{said} records are still to be taken, it says")


async def test_an_order_is_carried_out_when_its_transaction_is_committed(
    stack: Addresses, shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=2)
    first, behind = order(shop, mug), order(shop, mug)
    async with transactional(stack) as producer, producer.transaction():
        await write(producer, first)
        await shop.send(behind)
        elsewhere = order(shop, await shop.stocked(LON=1), PARTITION + 1)
        await shop.send(elsewhere)
        await witness.hears(elsewhere.order_id, OrderCompleted)
        assert witness.story(first.order_id) == witness.story(behind.order_id) == "  nothing"

    await witness.hears(first.order_id, OrderCompleted)
    await witness.hears(behind.order_id, OrderCompleted)
    await lag_is_gone(shop)


async def test_an_order_is_never_carried_out_whose_transaction_is_aborted(
    stack: Addresses, shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=2)
    before, aborted, behind = order(shop, mug), order(shop, mug), order(shop, mug)
    await shop.send(before)
    async with transactional(stack) as producer:
        await producer.begin_transaction()
        at = await write(producer, aborted)
        await producer.abort_transaction()
    await lag_is_gone(shop)  # also while nothing follows
    await shop.send(behind)

    await witness.hears(before.order_id, OrderCompleted)
    await witness.hears(behind.order_id, OrderCompleted)
    assert witness.story(aborted.order_id) == "  nothing"
    answer = await shop.http.get(shop.url(f"order/orders/{aborted.order_id}"))
    assert answer.status_code == 404
    assert await look_up(stack.kafka, [(INTAKE, PARTITION, at)]) == {(INTAKE, PARTITION, at): None}


async def test_who_reads_to_the_end_of_a_topic_finds_it_behind_what_was_aborted(stack: Addresses, shop: Shop) -> None:
    aborted = order(shop, await shop.stocked(LON=1))
    async with transactional(stack) as producer:
        await producer.begin_transaction()
        at = await write(producer, aborted)
        await producer.abort_transaction()

    async with asyncio.timeout(20), LogReader(stack.kafka) as log:
        spans = await log.spans([INTAKE])
        read = [record async for records in log.read(spans) for record in records]

    assert spans[INTAKE, PARTITION][1] == at + 2
    assert aborted.order_id.encode() not in {record.key for record in read}
    async with asyncio.timeout(20):
        marker = (INTAKE, PARTITION, at + 1)  # which nothing follows
        assert await look_up(stack.kafka, [marker]) == {marker: None}
    await shop.witness.caught_up()


async def test_a_transaction_that_is_left_open_delays_what_is_behind_it_until_kafka_ends_it(
    stack: Addresses, shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=1)
    left, behind = order(shop, mug), order(shop, mug)
    async with transactional(stack, timeout_ms=2000) as producer:
        await producer.begin_transaction()
        await write(producer, left)
        await shop.send(behind)

        await witness.hears(behind.order_id, OrderCompleted, within_s=60)  # Kafka looks for such every ten seconds
        assert witness.story(left.order_id) == "  nothing"
