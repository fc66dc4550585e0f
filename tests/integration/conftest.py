"""Kafka, MongoDB and Redis for the tests: containers where Docker can be used, else processes of this machine.

`THROUGHLINE_TEST_STACK=docker` or `=local` takes one of them, whatever else could be used. Tests that start a system of
their own, to break it or to measure it, have processes either way.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker
import httpx
import pytest
import pytest_asyncio
from docker.errors import DockerException, ImageNotFound
from oms.fleet import Addresses
from oms.setup import create_topics, initiate_replica_set
from oms.stack.local import LocalStack, Ports
from oms.stack.ports import HOST, free_port
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy

from tests.integration.services import Services
from tests.integration.shop import Shop
from tests.integration.witness import Witness

HERE = Path(__file__).parent
KAFKA, MONGO, REDIS = "apache/kafka:4.3.0", "mongo:7", "redis:7"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that run services with settings of their own come last, so that services start fewer times."""
    items.sort(key=lambda item: item.path.parent == HERE and "settings" in vars(item.getparent(pytest.Module).obj))


@pytest.fixture(scope="session")
def stack() -> Iterator[Addresses]:
    """Say where the engines answer; they run for the whole session, and their data goes with them."""
    chosen = os.environ.get("THROUGHLINE_TEST_STACK", "")
    if chosen not in {"", "docker", "local"}:
        pytest.fail(f"THROUGHLINE_TEST_STACK is {chosen!r}: say docker or local")
    lacking = "" if chosen == "local" else _what_docker_lacks()
    if chosen == "docker" and lacking:
        pytest.fail(f"Docker cannot be used: {lacking}")
    with _processes() if chosen == "local" or lacking else _containers() as engines:
        yield engines


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop_of_the_session(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The topics, one who reads them all, and the services, which run from the first test that needs them."""
    await create_topics(stack.kafka)
    services, witness = Services(stack, tmp_path_factory.mktemp("services")), Witness(stack.kafka)
    async with httpx.AsyncClient(timeout=30) as http:
        shop = Shop(stack.kafka, services, witness, http)
        await witness.start()
        await shop.open()
        try:
            yield shop
        finally:
            await services.stop()
            await shop.close()
            await witness.stop()


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """Environment variables of the services; a module of tests that needs others has a fixture of this name."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(shop_of_the_session: Shop, settings: Mapping[str, str]) -> Shop:
    """The five services, each a process of its own, run with the module's settings."""
    await shop_of_the_session.services.run(settings)
    return shop_of_the_session


@pytest.fixture
def witness(shop: Shop) -> Witness:
    """Who waits for what is said on the topics."""
    return shop.witness


def _what_docker_lacks() -> str:
    """Say why Docker cannot be used: nothing, when its engine answers and has, or can fetch, every image."""
    images = [KAFKA, MONGO, REDIS]
    if not testcontainers_config.ryuk_disabled:
        images.append(testcontainers_config.ryuk_image)
    try:
        client = docker.from_env()
        for image in images:
            try:
                client.images.get(image)
            except ImageNotFound:
                client.images.pull(image)
        client.close()
    except DockerException as error:
        return str(error)
    return ""


@contextmanager
def _processes() -> Iterator[Addresses]:
    running = LocalStack(Ports.free())
    asyncio.run(running.start())
    try:
        yield Addresses.of(running)
    finally:
        asyncio.run(running.stop())


@contextmanager
def _containers() -> Iterator[Addresses]:
    with ExitStack() as started:
        kafka, mongo, redis = [started.enter_context(container) for container in (_kafka(), _mongo(), _redis())]
        asyncio.run(initiate_replica_set(f"{HOST}:{mongo.port}"))
        yield Addresses(
            f"{HOST}:{kafka.port}", f"mongodb://{HOST}:{mongo.port}/?replicaSet=rs0", f"redis://{HOST}:{redis.port}/0"
        )


class _Engine(DockerContainer):
    """A container on one port of loopback, inside and outside: Kafka and MongoDB tell clients where they are."""

    def __init__(self, image: str, port: int, answers: str, command: list[str] | None = None) -> None:
        super().__init__(image)
        self.port = port
        self.ports = {f"{port}/tcp": (HOST, port)}
        self.waiting_for(ExecWaitStrategy(["bash", "-c", answers]).with_poll_interval(0.2).with_startup_timeout(60))
        if command:
            self.with_command(command)


def _kafka() -> _Engine:
    port = free_port()
    return _Engine(KAFKA, port, f": </dev/tcp/{HOST}/{port}").with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENERS=f"PLAINTEXT://:{port},CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{HOST}:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR="1",
    )


def _mongo() -> _Engine:
    port = free_port()
    return _Engine(MONGO, port, f": </dev/tcp/{HOST}/{port}", ["--replSet", "rs0", "--port", str(port)])


def _redis() -> _Engine:
    port = free_port()
    listening = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--port", str(port)]
    return _Engine(REDIS, port, f"redis-cli -p {port} ping", listening)
