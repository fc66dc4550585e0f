import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from chassis import run
from chassis.ports import Count
from chassis.telemetry import Meters

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_a_partition_that_moved_on_leaves_nothing_but_that_it_is_not_served_here() -> None:
    meters = Meters()
    for partition in ("1", "11"):
        meters.running.labels(partition).set(1)
        meters.parked.labels(partition).set(3)
        meters.lag.labels("order.intake", partition).set(7)

    meters.forget(1)

    assert meters.registry.get_sample_value("throughline_partition_running", {"partition": "1"}) == 0
    assert meters.registry.get_sample_value("throughline_parked", {"partition": "1"}) is None
    assert meters.registry.get_sample_value("throughline_parked", {"partition": "11"}) == 3
    lag = {"topic": "order.intake", "partition": "11"}
    assert meters.registry.get_sample_value("throughline_lag_messages", lag) == 7
    assert meters.registry.get_sample_value("throughline_lag_messages", {**lag, "partition": "1"}) is None


async def test_who_asks_for_metrics_waits_for_a_silent_store_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SilentReader:
        async def stuck(self) -> AsyncIterator[Count]:
            await asyncio.Event().wait()
            yield Count(0, "parked", "RuntimeError", 1, NOON)

    monkeypatch.setattr(run, "MEASURE_WITHIN_S", 0.01)
    meters = Meters()
    meters.stuck.labels("0", "parked", "RuntimeError").set(1)
    async with asyncio.timeout(5):
        await run._measure_stuck(SilentReader(), {0}, meters)
    assert (
        meters.registry.get_sample_value(
            "throughline_stuck", {"partition": "0", "what": "parked", "why": "RuntimeError"}
        )
        is None
    )


async def test_what_is_counted_in_time_is_told_though_there_is_so_much_else_that_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class BusyReader:
        async def stuck(self) -> AsyncIterator[Count]:
            yield Count(0, "saga", "capture", 2, NOON)
            await asyncio.Event().wait()

    monkeypatch.setattr(run, "MEASURE_WITHIN_S", 0.01)
    meters = Meters()
    meters.stuck.labels("0", "dead_letter", "missing").set(1)
    async with asyncio.timeout(5):
        await run._measure_stuck(BusyReader(), {0}, meters)
    saga, letters = (
        meters.registry.get_sample_value("throughline_stuck", {"partition": "0", "what": what, "why": why})
        for what, why in (("saga", "capture"), ("dead_letter", "missing"))
    )
    assert (saga, letters) == (2, None)


async def test_what_is_stuck_is_told_of_the_partitions_that_are_served_here_and_of_no_others() -> None:
    class Everybodys:
        async def stuck(self) -> AsyncIterator[Count]:
            for partition in (0, 1, 2):
                yield Count(partition, "parked", "RuntimeError", 1, NOON)

    meters = Meters()
    meters.stuck.labels("2", "parked", "RuntimeError").set(1)
    await run._measure_stuck(Everybodys(), {0, 1}, meters)
    for name in ("throughline_stuck", "throughline_stuck_since_seconds"):
        told = [
            meters.registry.get_sample_value(name, {"partition": number, "what": "parked", "why": "RuntimeError"})
            for number in ("0", "1", "2")
        ]
        assert [value is not None for value in told] == [True, True, False]
