import asyncio
import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from motor.motor_asyncio import AsyncIOMotorClient
from oms.stack.errors import StackError
from oms.stack.local import LocalStack, Ports
from oms.stack.mongo import ReplicaSet
from oms.stack.ports import PortTakenError
from oms.stack.process import ProcessId, until
from oms.stack.redis import Redis as Engine
from pymongo import WriteConcern
from redis.asyncio import Redis

MAJORITY = WriteConcern("majority", j=True)

OWNER = """
import asyncio
from oms.stack.local import LocalStack, Ports

async def main():
    async with LocalStack(Ports.free()) as stack:
        print(stack.directory, *(child.id.pid for child in stack.children), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_starts_nothing_when_a_port_is_taken(taken_port: int) -> None:
    stack = LocalStack(Ports(kafka=0, mongo=taken_port, redis=0))
    with pytest.raises(PortTakenError, match=rf"{taken_port} for MongoDB[\s\S]*--mongo-port"):
        await stack.start()
    assert stack.children == []


async def test_says_that_there_is_no_room_for_its_data_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def start(_self: object, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("THROUGHLINE_CACHE", str(tmp_path))
    monkeypatch.setattr(LocalStack, "_start_kafka", start)
    monkeypatch.setattr(ReplicaSet, "start", start)
    monkeypatch.setattr(Engine, "start", start)

    with pytest.raises(StackError, match="No space left on device"):
        await LocalStack(Ports.free()).start()
    assert list((tmp_path / "stacks").iterdir()) == []


def exists(path: Path) -> bool:
    return path.exists()


async def exchange_a_message(stack: LocalStack) -> bytes:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("greetings", num_partitions=3, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        "greetings", bootstrap_servers=stack.kafka_bootstrap, group_id="guests", auto_offset_reset="earliest"
    )
    async with producer, consumer, asyncio.timeout(20):
        await producer.send_and_wait("greetings", b"hello", key=b"guest")
        return bytes((await consumer.getone()).value)


@pytest.mark.integration
async def test_runs_the_real_engines_and_leaves_no_trace() -> None:
    async with LocalStack(Ports.free()) as stack:
        assert await exchange_a_message(stack) == b"hello"
        mongo = AsyncIOMotorClient(stack.mongo_url)
        journal = mongo["test"].get_collection("journal").with_options(write_concern=MAJORITY)
        assert (await journal.insert_one({"_id": "0/1"})).acknowledged
        mongo.close()
        async with Redis.from_url(stack.redis_url) as redis:
            assert await redis.ping()
        processes = [child.id for child in stack.children if child.id]
        assert len(processes) == 3
        assert all(process.alive for process in processes)
        assert exists(stack.directory)
    assert not any(process.alive for process in processes)
    assert not exists(stack.directory)


@pytest.mark.integration
async def test_keeps_what_was_written_when_an_engine_crashes() -> None:
    async with LocalStack(Ports.free()) as stack:
        assert await exchange_a_message(stack) == b"hello"
        (node,) = stack.mongo.nodes
        async with node.client() as client:
            await client["test"]["journal"].insert_one({"_id": "0/1"})
        stack.kafka.kill()
        node.kill()
        await asyncio.gather(stack.kafka.start(), node.start())
        consumer = AIOKafkaConsumer(
            "greetings", bootstrap_servers=stack.kafka_bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        async with consumer, asyncio.timeout(20):
            assert (await consumer.getone()).value == b"hello"
        async with node.client() as client:
            assert await client["test"]["journal"].count_documents({}) == 1


@pytest.mark.integration
async def test_elects_another_primary_when_one_is_killed() -> None:
    async with LocalStack(Ports.free(), mongo_nodes=3) as stack:
        first = await stack.mongo.primary()
        assert first is not None
        first.kill()
        client = AsyncIOMotorClient(stack.mongo_url, serverSelectionTimeoutMS=20_000)
        collection = client["test"].get_collection("journal").with_options(write_concern=MAJORITY)
        await collection.insert_one({"_id": "0/1"})
        client.close()
        assert await stack.mongo.primary() not in {None, first}
        await first.start()


def ended_owner(end: signal.Signals) -> tuple[Path, list[ProcessId]]:
    """Let a process run a stack and end the process; give the data and the processes of the stack."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:  # noqa: S603  # the text above
        assert owner.stdout is not None
        directory, *pids = owner.stdout.readline().split()
        processes = [ProcessId.of(int(pid)) for pid in pids]
        owner.send_signal(end)
    return Path(directory), processes


@pytest.mark.integration
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_goes_with_its_owner(end: signal.Signals) -> None:
    directory, processes = ended_owner(end)

    async def no_trace() -> bool:
        return not exists(directory) and not any(process.alive for process in processes)

    assert len(processes) == 3
    assert await until(no_trace, 10)
