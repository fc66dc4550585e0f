"""Databases that are restored while the topics go on: services catch up, every order ends, and the audit is clean."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from contracts.topics import PARTITIONS, SERVICES
from oms.backup.restoring import restore
from oms.backup.taking import back_up
from oms.log import LogReader
from oms.progress import UNHEARD
from oms.system import System

from tests.integration.flow import audited, orders, own_system

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

ORDER = ("order",)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system() -> AsyncIterator[System]:
    async with own_system() as system:
        yield system


def where(system: System) -> Mapping[str, Any]:
    return {"brokers": system.addresses.kafka, "mongo_url": system.addresses.mongo, "progress": UNHEARD}


async def stop(system: System, services: Sequence[str]) -> None:
    await asyncio.gather(*(instance.stop() for service in services for instance in system.fleet.of(service)))


async def start(system: System, services: Sequence[str]) -> None:
    """Start them, and wait until all their partitions have their past behind them."""
    await asyncio.gather(*(instance.start() for service in services for instance in system.fleet.of(service)))


async def oms(system: System, *words: str | Path) -> tuple[int | None, str, str]:
    """Run a command; says its exit status, its answer and its notes."""
    command = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("oms"),
        *words,
        *("--brokers", system.addresses.kafka, "--mongo", system.addresses.mongo),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await command.communicate()
    return command.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("services", [ORDER, ("inventory",), ("payment",), SERVICES], ids="-".join)
async def test_services_catch_up_from_the_topics(system: System, tmp_path: Path, services: Sequence[str]) -> None:
    async with orders(system, f"restore-{services[0]}-{len(services)}") as flow:
        await flow.goes_on()
        made = await back_up(tmp_path / "backup", services, **where(system))
        assert all(copy.documents for copy in made.services.values())
        await flow.goes_on()
        await stop(system, services)

        restored = await restore(tmp_path / "backup", (), **where(system))

        assert list(restored.services) == list(services)
        assert restored.missing == []
        assert all(records > 0 for records in restored.to_relive.values())
        await start(system, services)
        await flow.goes_on()

    verdict = await audited(system)
    assert verdict.findings == []
    assert verdict.waiting == []


async def test_catches_up_where_a_topic_ends_with_what_was_aborted(system: System, tmp_path: Path) -> None:
    await back_up(tmp_path / "backup", ORDER, **where(system))
    async with orders(system, "restore-aborted") as flow:
        await flow.goes_on()
    await abort(system, "order.intake")
    await stop(system, ORDER)

    await restore(tmp_path / "backup", (), **where(system))

    await start(system, ORDER)
    verdict = await audited(system)
    assert verdict.findings == []


async def test_restores_nothing_while_the_service_runs(system: System, tmp_path: Path) -> None:
    status, told, _ = await oms(system, "backup", tmp_path / "backup", "--service", "order", "--json")
    assert (status, list(json.loads(told))) == (0, ["order"])

    status, told, noted = await oms(system, "restore", tmp_path / "backup", "--json")

    assert (status, told) == (2, "")
    assert "1 instances of the order service run" in noted


async def test_says_exactly_what_the_topics_no_longer_have(system: System, tmp_path: Path) -> None:
    made = await back_up(tmp_path / "backup", ORDER, **where(system))
    async with orders(system, "retention") as flow:
        await flow.goes_on()
    intake = TopicPartition("order.intake", 0)
    async with LogReader(system.addresses.kafka) as log:
        _, end = (await log.spans([intake.topic]))[intake.topic, intake.partition]
    position = made.services["order"].partitions[0].positions[intake.topic]
    assert position < end
    await delete_before(system, intake, end)
    await stop(system, ORDER)

    status, told, _ = await oms(system, "restore", tmp_path / "backup", "--json")

    missing = {"service": "order", "topic": "order.intake", "partition": 0, "from": position, "to": end - 1}
    assert (status, json.loads(told)["missing"], json.loads(told)["restored"]) == (1, [missing], [])
    _, told, noted = await oms(system, "restore", tmp_path / "backup")
    assert f"order: order.intake/0 lacks offset{'s' if position < end - 1 else ''} {position}" in told
    assert "Nothing was restored" in noted
    await start(system, ORDER)  # as it was


async def abort(system: System, topic: str) -> None:
    """Write to every partition of a topic in a transaction that is then aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=system.addresses.kafka, transactional_id="shop")
    await producer.start()
    try:
        await producer.begin_transaction()
        for number in range(PARTITIONS):
            await producer.send_and_wait(topic, b"{}", partition=number)
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def delete_before(system: System, part: TopicPartition, offset: int) -> None:
    """What the retention of a topic does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.addresses.kafka)
    await admin.start()
    try:
        await admin.delete_records({part: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()
