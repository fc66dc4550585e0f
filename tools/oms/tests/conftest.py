"""Messages to test with, and what tests leave behind."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pytest
from chassis.kafka.partitioner import home_of
from chassis.testing.virtual_time import EPOCH
from contracts.message import Message
from contracts.order import OrderPlaced
from contracts.record import Record
from contracts.topics import TOPIC_OF
from contracts.wire import Envelope, encode
from oms.history.logged import Logged, logged

PARTITIONS = 2


class Pen:
    """Writes single messages as the services do, each from the partition where it belongs."""

    def __init__(self) -> None:
        self._entries: defaultdict[str, int] = defaultdict(int)
        self._sequences: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._offsets: defaultdict[tuple[str, int], int] = defaultdict(int)

    def __call__(self, message: Message, *, cause: str = "", at: datetime = EPOCH) -> Logged:
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        partition = topic.partition_of(message, lambda key: home_of(key, PARTITIONS))
        source = f"{getattr(message, 'service', topic.owner)}/0@a1"
        self._entries[source] += 1
        self._sequences[source, topic.name, partition] += 1
        envelope = Envelope(
            message=message,
            id=f"{source}/{self._entries[source]}/0",
            source=source,
            time=at,
            correlation_id=str(getattr(message, "order_id", key)),
            causation_id=cause,
            sequence=self._sequences[source, topic.name, partition],
        )
        body, headers = encode(envelope)
        offset = self._offsets[topic.name, partition]
        self._offsets[topic.name, partition] += 1
        moment = int(at.timestamp() * 1000)
        return logged(Record(topic.name, partition, offset, moment, key.encode(), body, headers))


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def log_levels_stay() -> Iterator[None]:
    """What a command says of the logging of this process does not outlast it."""
    kafka = logging.getLogger("aiokafka")
    before = kafka.level
    yield
    kafka.setLevel(before)


@pytest.fixture
def placed() -> Callable[..., OrderPlaced]:
    """Makes an order of units of some items, with any other field as told."""

    def make(number: str, *, units: int = 1, skus: Sequence[str] = ("MUG",), **changes: object) -> OrderPlaced:
        address = {"name": "Ada", "street": "1 High St", "city": "Leeds", "postal_code": "LS1", "country": "GB"}
        fields: dict[str, object] = {
            "channel": "web",
            "number": number,
            "customer": {"id": "c-1", "name": "Ada"},
            "shipping_address": address,
            "billing_address": address,
            "lines": [{"sku": sku, "quantity": units, "unit_price": 500} for sku in skus],
            "total": 500 * units * len(skus),
            "currency": "GBP",
            "payment_token": "tok_ok",
        }
        return OrderPlaced.model_validate(fields | changes, strict=False)

    return make
