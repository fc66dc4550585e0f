"""How much an instance says that waits for its partitions on Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from chassis.kafka import edge as edging
from chassis.kafka.edge import Edge, Running
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters

WHERE = TopicPartition("order.intake", 0)
TAKEN = 10
"""How many records of it were decided on."""


@dataclass
class Consumer:
    """What Kafka's consumer knows of one topic partition, and what Kafka says when it is asked."""

    end_then: int | None = None
    """Where it ended when it was last fetched; it is not fetched while it is paused."""
    is_paused: bool = False
    end: int = 0
    is_silent: bool = False
    is_away: bool = False
    asked: list[TopicPartition] = field(default_factory=list)

    def highwater(self, _: TopicPartition) -> int | None:
        return self.end_then

    def paused(self) -> set[TopicPartition]:
        return {WHERE} if self.is_paused else set()

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked.extend(partitions)
        if self.is_silent:
            await asyncio.Event().wait()
        if self.is_away:
            raise KafkaConnectionError
        return dict.fromkeys(partitions, self.end)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(Edge, "_consumer", made)
    return made


@pytest.fixture
async def edge(consumer: Consumer) -> Edge:
    made = Edge("order", (WHERE.topic,), ChassisSettings(), lambda _number, _feed: pytest.fail("none"), Meters())
    made._assigned = frozenset({WHERE})
    partition = SimpleNamespace(state="running", positions={WHERE.topic: TAKEN}, measure=lambda: None)
    made._running = {0: Running(partition, SimpleNamespace(), SimpleNamespace())}  # type: ignore[arg-type] # stand-ins
    return made


async def lag(edge: Edge) -> float | None:
    async with asyncio.timeout(5):
        await edge.measure()
    labels = {"topic": WHERE.topic, "partition": str(WHERE.partition)}
    return edge._meters.registry.get_sample_value("throughline_lag_messages", labels)


async def test_what_is_fetched_lags_by_what_the_last_fetch_saw(edge: Edge, consumer: Consumer) -> None:
    consumer.end_then = TAKEN + 3
    assert await lag(edge) == 3
    assert consumer.asked == []


async def test_what_is_paused_lags_by_what_came_since(edge: Edge, consumer: Consumer) -> None:
    consumer.end_then, consumer.is_paused = TAKEN + 3, True
    for more in (3, 7000):
        consumer.end = TAKEN + more
        assert await lag(edge) == more


async def test_what_was_seen_and_is_not_committed_yet_counts_also_while_it_is_paused(
    edge: Edge, consumer: Consumer
) -> None:
    consumer.end_then, consumer.is_paused, consumer.end = TAKEN + 7, True, TAKEN + 3
    assert await lag(edge) == 7


@pytest.mark.parametrize("trouble", ["is_silent", "is_away"])
async def test_who_asks_for_metrics_does_not_wait_for_kafka_while_that_is_away(
    edge: Edge, consumer: Consumer, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(edging, "ASK_WITHIN_S", 0.01)
    setattr(consumer, trouble, True)
    consumer.end_then, consumer.is_paused = TAKEN + 3, True
    assert await lag(edge) == 3


async def test_a_partition_that_does_not_know_its_place_yet_is_not_said_to_lag(edge: Edge, consumer: Consumer) -> None:
    partition = SimpleNamespace(state="recovering", positions={}, measure=lambda: None)
    edge._running[0] = edge._running[0]._replace(partition=partition)  # type: ignore[arg-type] # a stand-in
    consumer.is_paused, consumer.end = True, TAKEN + 7000
    assert await lag(edge) is None
