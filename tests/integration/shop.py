"""A shop in front of the five services: goods arrive, orders are placed, and the topics tell what comes of them."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from contracts.inventory import GoodsLine, ReceiveStock
from contracts.message import Message
from contracts.order import CancelOrder, OrderPlaced
from contracts.record import place_on_log
from oms.placing.sending import letter

from tests.integration.services import Services
from tests.integration.witness import PATIENCE_S, Witness

M = TypeVar("M", bound=Message)
Headers = Sequence[tuple[str, bytes | None]]

NUMBERS = count(1)
CHANNEL = "tests"
UNIT_PRICE = 250
SHIPPING_CHARGE = 300
LOOK_EVERY_S = 0.1
MOST_REQUEST_BYTES = 32 * 1024 * 1024
ADDRESS = {
    "name": "Ann Archer",
    "street": "12 High Street",
    "city": "Leeds",
    "postal_code": "LS1 4AP",
    "country": "GB",
}


class Shop:
    """Every order and every item has a name of its own, so that tests share the services without meeting."""

    def __init__(self, brokers: str, services: Services, witness: Witness, http: httpx.AsyncClient) -> None:
        self.services = services
        self.witness = witness
        self.http = http
        self._producer: Any = AIOKafkaProducer(
            bootstrap_servers=brokers, acks="all", max_request_size=MOST_REQUEST_BYTES, compression_type="gzip"
        )

    async def open(self) -> None:
        await self._producer.start()

    async def close(self) -> None:
        await self._producer.stop()

    # HTTP.

    def url(self, path: str) -> str:
        """`order/orders` is the path `/orders` of the order service."""
        service, _, rest = path.partition("/")
        return f"{self.services.fleet.url(service)}/{rest}"

    async def reads(self, path: str, when: Callable[[Any], bool], within_s: float = PATIENCE_S) -> Any:  # noqa: ANN401 - JSON
        """What is at this path, as soon as it is as it should be: documents are readable after about a second."""
        answer: Any = None
        # Looks are counted, so that a machine that stands still for a minute costs one of them and not all patience.
        for _ in range(int(within_s / LOOK_EVERY_S)):
            answer = (await self.http.get(self.url(path))).json()
            if when(answer):
                return answer
            await asyncio.sleep(LOOK_EVERY_S)
        raise AssertionError(f"{path} still says {answer} after {within_s:.0f} s")

    # Goods.

    def item(self, name: str = "MUG") -> str:
        """A new item, which no location has."""
        return f"{name}-{next(NUMBERS)}"

    async def announced(self, location: str) -> str:
        """A new item that this location expects, so that orders can wait for it there."""
        sku = self.item()
        (await self.http.put(self.url(f"inventory/items/{location}/{sku}"), json={})).raise_for_status()
        await self.reads(f"inventory/stock/{location}/{sku}", lambda shown: "bin" in shown)
        return sku

    async def stocked(self, **units: int) -> str:
        """A new item of which these locations have so many units."""
        sku = self.item()
        await self.deliver(sku, **units)
        return sku

    async def deliver(self, sku: str, **units: int) -> None:
        """Goods arrive at these locations; waits until they are on the shelves."""
        for location, quantity in units.items():
            movement_id = f"delivery-{next(NUMBERS)}"
            lines = (GoodsLine(sku=sku, quantity=quantity),)
            await self.send(ReceiveStock(movement_id=movement_id, location=location, lines=lines))
            await self.witness.moved(movement_id)

    # Orders.

    def fields(self, items: Mapping[str, int], **changes: object) -> dict[str, Any]:
        """A good order of these items and quantities, as JSON has it, with these fields changed."""
        return {
            "channel": CHANNEL,
            "number": str(next(NUMBERS)),
            "customer": {"id": "c-1", "name": "Ann Archer", "email": "ann@archer.example"},
            "shipping_address": ADDRESS,
            "billing_address": ADDRESS,
            "lines": [{"sku": sku, "quantity": units, "unit_price": UNIT_PRICE} for sku, units in items.items()],
            "shipping_charge": SHIPPING_CHARGE,
            "total": SHIPPING_CHARGE + UNIT_PRICE * sum(items.values()),
            "currency": "GBP",
            "payment_token": "tok_ok",
            **changes,
        }

    def order(self, items: Mapping[str, int], **changes: object) -> OrderPlaced:
        return OrderPlaced.model_validate_json(json.dumps(self.fields(items, **changes)))

    async def place(self, items: Mapping[str, int], **changes: object) -> str:
        """Place a good order with these fields changed; says its id."""
        order = self.order(items, **changes)
        await self.send(order)
        return order.order_id

    async def cancel(self, order_id: str, partition: int | None = None, by: str = "customer") -> None:
        cancel = CancelOrder(order_id=order_id, reason="changed my mind", requested_by=by)
        await self.send(cancel, partition=partition)

    # Kafka.

    async def send(self, *messages: Message, partition: int | None = None) -> None:
        """Write messages as any other client could: to the partition of their key unless another is named."""
        for message in messages:
            one = letter(message)
            await self.send_raw(one.topic, one.value, key=one.key, headers=one.headers, partition=partition)

    async def send_raw(
        self, topic: str, value: bytes | None, *, key: bytes | None, headers: Headers, partition: int | None = None
    ) -> str:
        """Write a record; says where it is, as `topic/partition/offset`."""
        sent = await self._producer.send_and_wait(topic, value, key, partition, headers=list(headers))
        return place_on_log(topic, sent.partition, sent.offset)


def headers_of(ce_type: str) -> list[tuple[str, bytes]]:
    """The headers that every message must have."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", ce_type.encode()),
        ("ce_id", uuid4().hex.encode()),
        ("ce_source", CHANNEL.encode()),
    ]
