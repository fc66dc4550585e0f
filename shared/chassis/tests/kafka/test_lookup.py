"""Records are looked up one by one; what one topic partition does not give keeps nobody from the others."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from chassis.kafka import lookup
from chassis.kafka.batches import DamagedBatch
from chassis.kafka.lookup import look_up
from chassis.ports import Damaged
from contracts.record import Record

END = 100


class Consumer:
    """As aiokafka's: each topic has records from 0 to END, but for the batch from 10 to 12 of `damaged`."""

    def __init__(self, **_: object) -> None:
        self._position = 0

    async def start(self) -> None:
        """It is connected."""

    async def stop(self) -> None:
        """It is disconnected."""

    async def beginning_offsets(self, asked: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        if asked[0].topic == "failing":
            raise KafkaError
        if asked[0].topic == "silent":
            await asyncio.Event().wait()
        return dict.fromkeys(asked, 0)

    async def end_offsets(self, asked: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(asked, END)

    def assign(self, _: Sequence[TopicPartition]) -> None:
        """It is all the same."""

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._position = offset

    async def position(self, _: TopicPartition) -> int:
        return self._position

    async def getmany(
        self, where: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        assert (timeout_ms, max_records) == (lookup.POLL_MS, 1)
        record = next(self._records(where))
        self._position = record.offset + 1
        return {where: [record]}

    def _records(self, where: TopicPartition) -> Iterator[Record]:
        if where.topic == "damaged" and 10 <= self._position < 13:
            for stub in DamagedBatch(10, 13):
                yield Record(where.topic, where.partition, stub.offset, 0, None, stub.value, ())
        yield Record(where.topic, where.partition, self._position, 0, None, b"good", ())


@pytest.fixture(autouse=True)
def kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "AIOKafkaConsumer", Consumer)
    monkeypatch.setattr(lookup, "WITHIN_S", 0.3)


@pytest.mark.parametrize("offset", [10, 11, 12])
async def test_each_record_of_a_damaged_batch_is_damaged_and_not_gone(offset: int) -> None:
    place = ("damaged", 0, offset)

    record = (await look_up("kafka:9092", [place]))[place]

    assert record is not None
    assert isinstance(record.value, Damaged)


async def test_the_records_beside_a_damaged_batch_are_found_and_what_its_topic_does_not_reach_is_gone() -> None:
    found = await look_up("kafka:9092", [("damaged", 0, offset) for offset in (9, 13, END)])

    assert {place[2]: record and (record.offset, record.value) for place, record in found.items()} == {
        9: (9, b"good"),
        13: (13, b"good"),
        END: None,
    }


@pytest.mark.parametrize("away", ["failing", "silent"])
async def test_a_topic_partition_that_does_not_answer_leaves_time_for_the_others(away: str) -> None:
    before, after = ("a topic", 0, 1), ("topic", 1, 2)

    found = await look_up("kafka:9092", [before, (away, 0, 1), (away, 1, 1), after])

    assert found.keys() == {before, after}
