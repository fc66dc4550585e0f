import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError
from chassis.ports import Unavailable
from oms import connection
from oms.connection import Unreachable
from oms.stack.process import ProcessId
from oms.stack.state import RunningProcess, RunningStack
from pymongo import MongoClient
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BROKERS", raising=False)
    monkeypatch.delenv("MONGO_URL", raising=False)
    monkeypatch.setattr(RunningStack, "load", lambda: None)


@pytest.fixture
def stack_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = RunningStack(
        kafka_bootstrap="127.0.0.1:1",
        mongo_url="mongodb://local",
        redis_url="redis://local",
        directory=Path("/nowhere"),
    )
    monkeypatch.setattr(RunningStack, "alive", property(lambda _: True))
    monkeypatch.setattr(RunningStack, "load", lambda: stack)


def test_goes_where_it_is_told_to(stack_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "kafka:2")

    assert connection.brokers("kafka:3") == "kafka:3"


def test_then_where_the_environment_says(stack_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "kafka:2")

    assert connection.brokers(None) == "kafka:2"


def test_then_to_the_stack_that_runs_here(stack_runs: None) -> None:
    assert connection.brokers(None) == "127.0.0.1:1"
    assert connection.mongo_url(None) == "mongodb://local"


def test_says_what_to_do_when_nobody_says_where() -> None:
    with pytest.raises(Unreachable, match=r"oms up.*--mongo.*MONGO_URL"):
        connection.mongo_url(None)


def test_tells_nobody_a_password() -> None:
    advice = str(Unreachable.mongo("mongodb://ada:secret@db:27017/?replicaSet=rs0", TimeoutError()))

    assert "secret" not in advice
    assert "mongodb://db:27017" in advice


def test_says_of_mongodb_what_happened_at_each_address_and_nothing_of_its_client() -> None:
    url = "mongodb://127.0.0.1:1,nowhere.invalid/?replicaSet=rs0&serverSelectionTimeoutMS=300"
    client: MongoClient[Any] = MongoClient(url)
    with client, pytest.raises(ServerSelectionTimeoutError) as caught:
        client.admin.command("ping")

    advice = str(Unreachable.mongo(url, Unavailable(f"MongoDB: {caught.value}")))

    assert re.fullmatch(
        r"MongoDB does not answer at mongodb://127\.0\.0\.1:1,nowhere\.invalid/\?\S+ "
        r"\((127\.0\.0\.1:1: \[Errno 111\] [^,:]+|nowhere\.invalid:27017: \[Errno -\d\] [^,:]+)"
        r", (127\.0\.0\.1:1: \[Errno 111\] [^,:]+|nowhere\.invalid:27017: \[Errno -\d\] [^,:]+)\)\. "
        r"`oms status` shows what runs here, and --mongo names a MongoDB that runs elsewhere\.",
        advice,
    )


def test_says_that_mongodb_refuses_where_it_answers() -> None:
    refusal = Unavailable("MongoDB: not authorized on order")
    refusal.__cause__ = OperationFailure("not authorized on order", 13)

    assert str(Unreachable.mongo("mongodb://ada:secret@db", refusal)) == (
        "MongoDB answers at mongodb://db, but refuses what it was asked for (not authorized on order)"
    )


async def test_says_of_kafka_where_it_is_not_and_nothing_of_its_client() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(KafkaConnectionError) as caught:
        await producer.start()
    await producer.stop()

    assert str(Unreachable.kafka("127.0.0.1:1", caught.value)) == (
        "Kafka does not answer at 127.0.0.1:1 (Unable to bootstrap). `oms status` shows what runs here, "
        "`oms up` starts everything, and --brokers names a Kafka that runs elsewhere."
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KafkaTimeoutError(), "KafkaTimeoutError"),
        (TopicAuthorizationFailedError("order.intake"), "TopicAuthorizationFailedError: order.intake"),
        (TimeoutError("nothing came for 30 s"), "nothing came for 30 s"),
        (TimeoutError(), "TimeoutError"),
        (OperationFailure("Authentication failed.", 18, {"ok": 0.0, "code": 18}), "Authentication failed."),
        (
            ServerSelectionTimeoutError("No servers found yet, Timeout: 5s, Topology Description: <…>"),
            "No servers found yet",
        ),
        (httpx.ConnectError("[Errno 111] Connection refused"), "[Errno 111] Connection refused"),
    ],
)
def test_says_why_once_and_shortly(error: Exception, why: str) -> None:
    assert f" at kafka:1 ({why}). `oms status`" in str(Unreachable.kafka("kafka:1", error))


def test_a_service_is_where_it_is_told_or_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_URL", "http://pay:3/")

    assert connection.service_urls("order", ["order=http://a:1", "order=http://b:2/", "payment=http://c:3"]) == [
        "http://a:1",
        "http://b:2",
    ]
    assert connection.service_urls("payment") == ["http://pay:3"]


def test_a_service_that_runs_here_is_at_each_of_its_instances(
    stack_runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = RunningStack.load()
    assert stack is not None
    log, id_ = Path("/nowhere"), ProcessId(pid=1, started_s=0.0)
    for number, name in enumerate(("order", "inventory", "inventory-2")):
        stack.services.append(RunningProcess(name=name, id=id_, log=log, url=f"http://127.0.0.1:{number}"))

    assert connection.service_urls("inventory") == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


@pytest.mark.parametrize("told", ["http://a:1", "orders=http://a:1", "order=a:1", "order=", ""])
def test_says_how_a_service_is_named(stack_runs: None, told: str) -> None:
    with pytest.raises(Unreachable, match="say SERVICE=http://HOST:PORT"):
        connection.service_urls("order", [told])


def test_an_empty_address_means_no_stack_that_happens_to_run_here(stack_runs: None) -> None:
    with pytest.raises(Unreachable, match="--brokers is empty"):
        connection.brokers("")


@pytest.mark.parametrize("told", ["kafka:x", "kafka:1,kafka:70000", "kafka:1:2", "[::1"])
def test_says_that_kafka_can_be_at_no_such_address(told: str) -> None:
    with pytest.raises(Unreachable, match=r"Kafka cannot be at"):
        connection.brokers(told)


@pytest.mark.parametrize("told", ["http://db", "mongodb://db:x", "mongodb://db:70000"])
def test_says_that_mongodb_can_be_at_no_such_address(told: str) -> None:
    with pytest.raises(Unreachable, match=r"MongoDB cannot be at"):
        connection.mongo_url(told)


@pytest.mark.parametrize("password", ["p@ss", "a1/ss", "pa/ss", "1?ss=1", "1/?ss=1"])
def test_tells_no_password_of_mongodb_that_is_not_escaped(password: str) -> None:
    with pytest.raises(Unreachable, match=r"MongoDB cannot be at mongodb://db/\?replicaSet=rs0: .*escaped") as raised:
        connection.mongo_url(f"mongodb://ada:{password}@db/?replicaSet=rs0")
    assert "ss@" not in str(raised.value)
    assert "ss=" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "why"),
    [("readPreferenceTags=dc:ny", "cannot be combined with tags"), ("tlsCAFile=/nowhere.pem", "No such file")],
)
def test_says_what_a_client_of_mongodb_refuses(option: str, why: str) -> None:
    with pytest.raises(Unreachable, match=rf"MongoDB cannot be at mongodb://db/\?{option}: .*{why}"):
        connection.mongo_url(f"mongodb://db/?{option}")


def test_a_single_mongod_is_a_host_and_a_port() -> None:
    assert connection.mongo_host("mongo:27017") == "mongo:27017"
    with pytest.raises(Unreachable, match=r"MongoDB cannot be at"):
        connection.mongo_host("mongo:x")


@pytest.mark.parametrize("told", ["http://[::1", "http://order:x"])
def test_says_that_a_service_can_be_at_no_such_address(told: str) -> None:
    with pytest.raises(Unreachable, match=r"the order service cannot be at"):
        connection.service_urls("order", [f"order={told}"])


def test_says_that_a_service_does_not_run_where_only_engines_do(stack_runs: None) -> None:
    with pytest.raises(Unreachable, match="the order service does not run here"):
        connection.service_urls("order")
