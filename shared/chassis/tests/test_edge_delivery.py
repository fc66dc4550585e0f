"""What FastStream hands over reaches its partition only if it follows on where the partition reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from chassis.edge import Edge
from chassis.inmemory import Record
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters


@dataclass
class Consumer:
    """Says where it would fetch next, and may do something else before it answers."""

    positions: dict[TopicPartition, int]
    meanwhile: Callable[[], None] = lambda: None

    async def position(self, where: TopicPartition) -> int:
        self.meanwhile()
        if where not in self.positions:
            raise IllegalStateError(f"{where} is not assigned")
        return self.positions[where]


@dataclass
class Reader:
    """A partition that only notes what it is offered."""

    offered: list[tuple[int, int]] = field(default_factory=list)

    def offer(self, records: Sequence[Record]) -> None:
        self.offered.extend((record.partition, record.offset) for record in records)


def where(partition: int) -> TopicPartition:
    return TopicPartition("order.intake", partition)


def batch(*places: tuple[int, int]) -> tuple[Record, ...]:
    return tuple(Record("order.intake", partition, offset, 0, None, b"", ()) for partition, offset in places)


@pytest.fixture
def consumer() -> Consumer:
    return Consumer({where(0): 12, where(1): 7})


@pytest.fixture
def edge(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> Edge:
    made = Edge("order", ("order.intake",), ChassisSettings(), lambda _number, _feed: pytest.fail("none"), Meters())
    monkeypatch.setattr(Edge, "_consumer", consumer)
    made._running = {number: (Reader(), SimpleNamespace()) for number in (0, 1)}  # type: ignore[misc] # a stand-in
    return made


def offered(edge: Edge, number: int) -> list[tuple[int, int]]:
    reader = edge._running[number][0]
    assert isinstance(reader, Reader)
    return reader.offered


async def test_records_reach_their_partitions_in_order(edge: Edge) -> None:
    await edge._deliver(batch((0, 10), (1, 6), (0, 11)))
    assert offered(edge, 0) == [(0, 10), (0, 11)]
    assert offered(edge, 1) == [(1, 6)]


async def test_records_that_were_fetched_before_the_feed_was_set_back_are_left(edge: Edge, consumer: Consumer) -> None:
    consumer.positions[where(0)] = 4
    await edge._deliver(batch((0, 10), (0, 11), (1, 6)))
    assert offered(edge, 0) == []
    assert offered(edge, 1) == [(1, 6)]


async def test_a_partition_that_is_taken_away_meanwhile_costs_the_others_nothing(
    edge: Edge, consumer: Consumer
) -> None:
    def revoke() -> None:
        edge._running.pop(0, None)
        consumer.positions.pop(where(0), None)

    consumer.meanwhile = revoke
    await edge._deliver(batch((0, 10), (1, 6)))
    assert offered(edge, 1) == [(1, 6)]


async def test_a_partition_that_is_gone_before_its_position_is_known_is_not_missed(
    edge: Edge, consumer: Consumer
) -> None:
    consumer.meanwhile = lambda: edge._running.pop(0, None) and None
    await edge._deliver(batch((0, 10), (1, 6)))
    assert offered(edge, 1) == [(1, 6)]


async def test_nothing_is_opened_while_stopping(edge: Edge) -> None:
    edge._is_stopping = True
    await edge.on_partitions_assigned([where(2)])
    assert set(edge._running) == {0, 1}
