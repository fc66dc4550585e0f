"""A process that starts waits for what it depends on, at whatever moment that is away."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from chassis import run
from chassis.kafka.edge import Edge
from chassis.kafka.feed import PatientConsumer
from chassis.ports import Unavailable
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters


async def test_who_cannot_join_the_group_may_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[PatientConsumer] = []

    async def start(consumer: PatientConsumer) -> None:
        attempts.append(consumer)
        if len(attempts) < 3:
            raise KafkaConnectionError("nobody is there")

    monkeypatch.setattr(PatientConsumer, "start", start)
    edge = Edge("order", ("order.intake",), ChassisSettings(), lambda _number, _feed: pytest.fail("none"), Meters())
    for _ in range(2):
        with pytest.raises(Unavailable, match="nobody is there"):
            await edge.start()
    await edge.start()
    assert edge._consumer is attempts[2]
    assert [consumer._closed for consumer in attempts] == [True, True, False]
    await edge.stop()


async def test_a_service_waits_for_kafka_also_when_it_goes_away_after_the_service_has_connected() -> None:
    joins: list[bool] = []

    async def join() -> None:
        joins.append(len(joins) > 0)
        if not joins[-1]:
            raise Unavailable("Kafka: nobody is there")

    async def count_partitions() -> int:
        return 4

    async def nothing(*_: object) -> None: ...

    store, edge = SimpleNamespace(prepare=nothing), SimpleNamespace(start=join)
    log = SimpleNamespace(count_partitions=count_partitions, start=nothing)
    assert await run._connected(store, log, edge, asyncio.Event())  # type: ignore[arg-type] # stand-ins
    assert joins == [False, True]
