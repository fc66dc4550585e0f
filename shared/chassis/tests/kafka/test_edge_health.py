"""When an instance is ready: it has its share of the group, and each of its partitions progresses."""

import asyncio
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from chassis.kafka.edge import STALLED_S, Edge, Running
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters

WHERE = TopicPartition("order.intake", 0)


@dataclass
class Consumer:
    """When Kafka last answered a fetch of one topic partition, and whether it is asked."""

    unheard_s: float = 0.0
    is_paused: bool = False

    def last_poll_timestamp(self, _: TopicPartition) -> int:
        return int((time.time() - self.unheard_s) * 1000)

    def paused(self) -> set[TopicPartition]:
        return {WHERE} if self.is_paused else set()


@dataclass
class Served:
    """A partition."""

    since_s: float = 0.0
    failure: str | None = None
    state: str = "running"
    waiting: int = 0

    def stalled_s(self) -> float:
        return self.since_s

    def stop(self) -> None: ...


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(Edge, "_consumer", made)
    return made


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
async def edge(consumer: Consumer, served: Served) -> Edge:
    made = Edge("order", (WHERE.topic,), ChassisSettings(), lambda _number, _feed: pytest.fail("none"), Meters())
    made._assigned = frozenset({WHERE})
    task = asyncio.get_running_loop().create_future()
    made._running = {0: Running(served, SimpleNamespace(), task)}  # type: ignore[arg-type] # stand-ins
    return made


def is_served(edge: Edge) -> float | None:
    return edge._meters.registry.get_sample_value("throughline_partition_running", {"partition": "0"})


@pytest.mark.parametrize(("stalled_s", "is_ready"), [(STALLED_S - 1, True), (STALLED_S, False)])
async def test_an_instance_is_ready_until_a_partition_has_inputs_and_takes_none_for_too_long(
    edge: Edge, served: Served, stalled_s: float, *, is_ready: bool
) -> None:
    served.since_s = stalled_s
    ready, details = edge.health()
    assert (ready, details["partitions"]["0"]["stalled_s"], is_served(edge)) == (is_ready, stalled_s, is_ready)


@pytest.mark.parametrize(("unheard_s", "is_ready"), [(STALLED_S - 1, True), (STALLED_S, False)])
async def test_an_instance_is_ready_until_kafka_answers_no_fetch_for_too_long(
    edge: Edge, consumer: Consumer, unheard_s: float, *, is_ready: bool
) -> None:
    consumer.unheard_s = unheard_s
    ready, details = edge.health()
    assert (ready, is_served(edge)) == (is_ready, is_ready)
    assert details["partitions"]["0"]["unheard_s"] == pytest.approx(unheard_s, abs=0.9)


async def test_an_instance_is_ready_though_kafka_answers_nothing_while_it_is_asked_for_nothing(
    edge: Edge, consumer: Consumer
) -> None:
    consumer.unheard_s, consumer.is_paused = STALLED_S, True
    ready, details = edge.health()
    assert (ready, details["partitions"]["0"]["unheard_s"]) == (True, 0)


async def test_an_instance_beyond_the_number_of_partitions_is_ready_and_idle(edge: Edge) -> None:
    edge._running = {}
    await edge.on_partitions_assigned([])
    assert edge.health() == (True, {"joined": True, "partitions": {}})


async def test_an_instance_that_waits_for_its_share_of_the_group_is_not_ready(edge: Edge) -> None:
    async def run() -> None: ...

    edge._running = {0: edge._running[0]._replace(task=asyncio.create_task(run()))}
    await edge.on_partitions_revoked([WHERE])
    ready, details = edge.health()
    assert (ready, details["joined"]) == (False, False)


@pytest.mark.parametrize(("failure", "is_ready"), [(None, True), ("UnreadableDocument: order/web:1: total", False)])
async def test_an_instance_whose_partition_failed_just_now_is_not_ready_and_says_why(
    edge: Edge, served: Served, failure: str | None, *, is_ready: bool
) -> None:
    served.failure = failure
    ready, details = edge.health()
    assert (ready, details["partitions"]["0"]["failure"]) == (is_ready, failure)
