"""What a service asks of Kafka before it starts, and the HTTP APIs' way there, also when the producer is broken."""

from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, OutOfOrderSequenceNumber
from chassis.clock import WallClock
from chassis.kafka.log import KafkaLog, KafkaPublisher
from chassis.ports import Unavailable
from contracts.order import CancelOrder
from contracts.topics import TOPICS

ALL = {topic.name: 4 for topic in TOPICS} | {topic.dead_letter: 4 for topic in TOPICS if topic.readers}
CANCEL = CancelOrder(order_id="web:1", reason="changed my mind", requested_by="Ada")


class Producer:
    """Takes what it is given, or fails on all of it."""

    def __init__(self, failure: type[Exception] | None = None) -> None:
        self._failure = failure
        self.sent = 0
        self.is_stopped = False

    async def send_and_wait(self, *_: object, **__: object) -> None:
        if self._failure is not None:
            raise self._failure
        self.sent += 1

    async def stop(self) -> None:
        self.is_stopped = True


class Client:
    """Knows how many partitions each topic has, as aiokafka's does."""

    def __init__(self, counts: Mapping[str, int], failure: type[Exception] | None = None) -> None:
        self._counts = counts
        self._failure = failure
        self.is_closed = False

    async def bootstrap(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def fetch_all_metadata(self) -> "Client":
        return self

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._counts[topic])) if topic in self._counts else None

    async def close(self) -> None:
        self.is_closed = True


def without(*names: str) -> dict[str, int]:
    return {name: count for name, count in ALL.items() if name not in names}


async def counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("chassis.kafka.log.AIOKafkaClient", lambda **_: client)
    try:
        return await KafkaLog("nowhere:1", "order").count_partitions()
    finally:
        assert client.is_closed


def connecting_to(producer: object, monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    async def connect(_: KafkaLog) -> object:
        return producer

    monkeypatch.setattr(KafkaLog, "_connect", connect)
    return KafkaLog("nowhere:1", "order")


async def test_a_request_is_told_to_try_again_before_kafka_is_connected() -> None:
    with pytest.raises(Unavailable):
        await KafkaPublisher(KafkaLog("nowhere:1", "order"), "order", WallClock()).publish(CANCEL)


async def test_a_request_that_kafka_did_not_confirm_is_told_that_it_may_have_been_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = connecting_to(Producer(), monkeypatch)
    log._producer, log._partitions = Producer(KafkaTimeoutError), 4
    with pytest.raises(Unavailable, match=r"may have taken it\. Send the same again, with the same id: that is safe"):
        await KafkaPublisher(log, "order", WallClock()).publish(CANCEL)


@pytest.mark.parametrize(
    ("failure", "is_replaced"),
    [(OutOfOrderSequenceNumber, True), (KafkaTimeoutError, False), (TimeoutError, False)],
)
async def test_a_producer_whose_sequence_is_lost_is_replaced(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception], *, is_replaced: bool
) -> None:
    good, broken = Producer(), Producer(failure)
    log = connecting_to(good, monkeypatch)
    log._producer, log._partitions = broken, 4
    publisher = KafkaPublisher(log, "order", WallClock())
    with pytest.raises(Unavailable):
        await publisher.publish(CANCEL)
    assert (log._producer is good) == is_replaced
    if is_replaced:
        await publisher.publish(CANCEL)
        assert good.sent == 1


async def test_who_connects_once_more_keeps_the_producer_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    log = connecting_to(Producer(), monkeypatch)
    log._producer = first = Producer()
    await log.start(4)
    assert log._producer is first


async def test_the_partitions_that_every_topic_has_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await counted(Client(ALL), monkeypatch) == 4


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (Client(without("order.events")), "has no topic order.events: run `oms setup`"),
        (
            Client(without("order.intake.dead-letter", "repair.results")),
            "has no topic repair.results, order.intake.dead-letter:",
        ),
        (Client(ALL | {"order.events": 5}), "'order.events': 5"),
        (Client(ALL | {"order.intake.dead-letter": 1}), "'order.intake.dead-letter': 1"),
        (Client(ALL, KafkaConnectionError), "nowhere:1"),
    ],
    ids=["a topic is missing", "dead letters have no topic", "one has more", "dead letters have fewer", "no kafka"],
)
async def test_a_service_waits_until_all_that_it_may_write_to_is_there_and_alike(
    client: Client, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match=reason):
        await counted(client, monkeypatch)
