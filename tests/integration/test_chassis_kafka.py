"""Records on a real Kafka: in order, whole, and in the partition that every other client would choose."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import InvalidTimestampError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner, murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from chassis.entry import Outgoing
from chassis.kafka.log import BATCH_BYTES, KafkaLog
from chassis.kafka.lookup import look_up
from chassis.kafka.partitioner import home_of
from contracts.topics import PARTITIONS
from hypothesis import given
from hypothesis import strategies as st
from oms.fleet import Addresses
from oms.setup import create_topics

pytestmark = pytest.mark.integration


@pytest.fixture
async def log(stack: Addresses) -> AsyncIterator[KafkaLog]:
    await create_topics(stack.kafka)
    made = KafkaLog(stack.kafka, "test")
    await made.start(await made.count_partitions())
    yield made
    await made.stop()


@pytest.fixture
async def topic(stack: Addresses) -> str:
    """A topic of its own for each test, with as many partitions as all others."""
    name = f"test-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


async def read(stack: Addresses, topic: str, count: int) -> dict[int, list[ConsumerRecord]]:
    """So many records of a topic, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    found: dict[int, list[ConsumerRecord]] = {number: [] for number in range(PARTITIONS)}
    async with asyncio.timeout(30):
        while sum(map(len, found.values())) < count:
            for where, records in (await consumer.getmany(timeout_ms=200)).items():
                found[where.partition].extend(records)
    await consumer.stop()
    return found


def numbered(topic: str, count: int, size: int = 10) -> Sequence[Outgoing]:
    """Records that do not compress, for all partitions in turn."""
    noise = random.Random(7)  # noqa: S311 - nothing secret
    return [Outgoing(topic, n % PARTITIONS, b"%d" % n, noise.randbytes(size), [("n", b"%d" % n)]) for n in range(count)]


async def test_records_keep_their_order_within_a_partition_over_many_batches(
    log: KafkaLog, stack: Addresses, topic: str
) -> None:
    records = numbered(topic, 600, size=5_000)  # three batches for each partition
    assert 600 / PARTITIONS * 5_000 > 2 * BATCH_BYTES
    await log.publish(records[:400])
    await log.publish(records[400:])
    found = await read(stack, topic, 600)
    for number, there in found.items():
        expected = [record for record in records if record.partition == number]
        assert [(r.key, r.value) for r in there] == [(record.key, record.value) for record in expected]


async def test_a_record_larger_than_a_batch_is_published_between_its_neighbors(
    log: KafkaLog, stack: Addresses, topic: str
) -> None:
    large = numbered(topic, 1, size=3 * BATCH_BYTES)[0]
    small = Outgoing(topic, 0, b"k", b"small", [])
    await log.publish([small, large, small, large, small])
    found = (await read(stack, topic, 5))[0]
    assert [r.value for r in found] == [record.value for record in (small, large, small, large, small)]


async def test_keys_bodies_and_headers_arrive_as_they_are(log: KafkaLog, stack: Addresses, topic: str) -> None:
    headers = [("a", b"1"), ("a", b"2"), ("bytes", bytes(range(256))), ("empty", b""), ("umlaut-\u00fc", b"x")]
    await log.publish([Outgoing(topic, 2, None, None, headers), Outgoing(topic, 2, b"", b"", [])])
    found = (await read(stack, topic, 2))[2]
    assert [(r.key, r.value, list(r.headers)) for r in found] == [(None, None, headers), (b"", b"", [])]


async def test_a_refused_record_takes_nothing_after_it_along_and_the_next_try_goes_through(
    log: KafkaLog, stack: Addresses, topic: str
) -> None:
    """What followed it on its link would be a gap for whoever reads it."""
    too_large = numbered(topic, 1, size=1_900_000)[0]
    after = Outgoing(topic, 0, b"k", b"after", [])
    with pytest.raises(MessageSizeTooLargeError):
        await log.publish([too_large, after])
    await log.publish([Outgoing(topic, 0, b"k", b"again", []), after])
    found = (await read(stack, topic, 2))[0]
    assert [r.value for r in found] == [b"again", b"after"]


async def test_what_is_said_by_a_clock_that_is_hours_ahead_is_refused_until_that_is_right(
    log: KafkaLog, stack: Addresses, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a partition that decides by such a clock gets no further than one batch."""
    record = Outgoing(topic, 0, b"k", b"late", [])
    append = BatchBuilder.append

    def append_ahead(builder: BatchBuilder, *, timestamp: int | None, **content: object) -> object:
        assert timestamp is None
        return append(builder, timestamp=int((time.time() + 2 * 3600) * 1000), **content)

    with monkeypatch.context() as ahead:
        ahead.setattr(BatchBuilder, "append", append_ahead)
        with pytest.raises(InvalidTimestampError):
            await log.publish([record])
    await log.publish([record])
    assert [r.value for r in (await read(stack, topic, 1))[0]] == [b"late"]


async def test_many_publish_at_once_and_one_failure_is_nobody_elses(
    log: KafkaLog, stack: Addresses, topic: str
) -> None:
    async def keep_at_it(record: Outgoing) -> None:
        for _ in range(10):
            try:
                await log.publish([record])
            except Exception:  # noqa: BLE001 - as the engine does: whatever it is, again
                await asyncio.sleep(0.1)
            else:
                return
        pytest.fail("never published")

    too_large = numbered(topic, 1, size=1_900_000)[0]
    good = [Outgoing(topic, n % PARTITIONS, b"k", b"%d" % n, []) for n in range(20)]
    refused, *_ = await asyncio.gather(log.publish([too_large]), *map(keep_at_it, good), return_exceptions=True)
    assert isinstance(refused, MessageSizeTooLargeError)
    published = {record.value for there in (await read(stack, topic, 20)).values() for record in there}
    assert published == {record.value for record in good}


async def test_a_publish_that_its_producer_forgot_ends_when_the_producer_is_replaced(
    log: KafkaLog, stack: Addresses, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka never answers a batch that it meant to send again when another one broke the producer."""
    begun = asyncio.Event()

    async def forget(*_: object, **__: object) -> "asyncio.Future[None]":
        begun.set()
        return asyncio.get_running_loop().create_future()

    record = Outgoing(topic, 0, b"k", b"v", [])
    with monkeypatch.context() as forgetful:
        forgetful.setattr(log._producer, "send_batch", forget)
        forgotten = asyncio.create_task(log.publish([record]))
        await begun.wait()
    with pytest.raises(MessageSizeTooLargeError):
        await log.publish([numbered(topic, 1, size=1_900_000)[0]])

    async with asyncio.timeout(30):
        with pytest.raises(KafkaError, match="replaced"):
            await forgotten
        await log.publish([record])
    assert [r.value for r in (await read(stack, topic, 1))[0]] == [b"v"]


async def test_a_publish_that_was_cancelled_does_not_reorder_the_next(
    log: KafkaLog, stack: Addresses, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a partition recovers while it publishes: it publishes everything again."""
    producer: Any = log._producer
    send_batch = producer.send_batch
    under_way: list[int] = []
    is_under_way = asyncio.Event()

    async def tell(batch: BatchBuilder, *where: object, **more: object) -> object:
        sent: object = await send_batch(batch, *where, **more)
        under_way.append(batch.record_count())
        is_under_way.set()
        return sent

    records = [record for record in numbered(topic, 800, size=2_000) if record.partition == 0]
    with monkeypatch.context() as watched:
        watched.setattr(producer, "send_batch", tell)
        first = asyncio.create_task(log.publish(records))
        await is_under_way.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    [count] = under_way
    assert 0 < count < len(records)
    await log.publish(records)

    found = (await read(stack, topic, count + len(records)))[0]
    assert [r.key for r in found] == [record.key for record in (*records[:count], *records)]


# Partitions. The vectors are those of Kafka's own tests (UtilsTest.testMurmur2).

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_keys_are_hashed_as_java_does(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32
    assert home_of(key.decode(), 12) == (hashed & 0x7FFFFFFF) % 12


@given(st.text(min_size=1), st.integers(1, 64))
def test_a_key_lives_where_aiokafka_puts_it(key: str, partitions: int) -> None:
    numbers = list(range(partitions))
    assert home_of(key, partitions) == DefaultPartitioner()(key.encode(), numbers, numbers)


async def test_a_slow_broker_is_no_reason_for_a_new_producer(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still holds what it was given; another one beside it would only publish everything twice."""
    producer = log._producer

    async def late(*_: object, **__: object) -> None:
        raise KafkaTimeoutError

    with monkeypatch.context() as slow:
        slow.setattr(producer, "send_batch", late)
        with pytest.raises(KafkaTimeoutError):
            await log.publish([Outgoing(topic, 0, b"k", b"v", [])])
    assert log._producer is producer


async def test_single_records_are_looked_up_together_wherever_they_are(
    log: KafkaLog, stack: Addresses, topic: str
) -> None:
    records = numbered(topic, 600, size=5_000)
    await log.publish(records)
    wanted = [(topic, number, offset) for number in range(PARTITIONS) for offset in (0, 1, 90, 140)]
    nowhere = (topic, 0, 600)
    found = await log.read([nowhere, *reversed(wanted)])
    assert found.pop(nowhere) is None
    values = {(record.topic, record.partition): [] for record in records}
    for record in records:
        values[record.topic, record.partition].append(record.value)
    assert {place: record and record.value for place, record in found.items()} == {
        (name, number, offset): values[name, number][offset] for name, number, offset in wanted
    }


async def test_what_kafka_does_not_give_is_not_taken_for_gone() -> None:
    place = ("order.intake", 0, 0)
    assert place not in await look_up("127.0.0.1:1", [place])
