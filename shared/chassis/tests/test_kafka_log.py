"""The HTTP APIs' way to Kafka while it is not there yet, and when the producer is broken."""

from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, OutOfOrderSequenceNumber
from chassis.clock import WallClock
from chassis.kafka import KafkaLog, KafkaPublisher
from chassis.ports import Unavailable
from contracts.order import CancelOrder

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


def connecting_to(producer: object, monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    async def connect(_: KafkaLog) -> object:
        return producer

    monkeypatch.setattr(KafkaLog, "_connect", connect)
    return KafkaLog("nowhere:1", "order")


async def test_a_request_is_told_to_try_again_before_kafka_is_connected() -> None:
    with pytest.raises(Unavailable):
        await KafkaPublisher(KafkaLog("nowhere:1", "order"), "order", WallClock()).publish(CANCEL)


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


async def test_a_producer_that_cannot_tell_the_partitions_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch_all_metadata() -> None:
        raise KafkaConnectionError

    half = Producer()
    half.client = SimpleNamespace(fetch_all_metadata=fetch_all_metadata)  # type: ignore[attr-defined] # as aiokafka's has
    with pytest.raises(Unavailable):
        await connecting_to(half, monkeypatch).start()
    assert half.is_stopped
