"""One order on a stage, and what its participants say to it."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from chassis.testing.stage import Rehearsal
from contracts.fulfillment import (
    FulfillmentFailed,
    OrderPacked,
)
from contracts.inventory import (
    BinQuantity,
    Shortage,
    StockBackordered,
    StockIssued,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import Currency, Message, Reason, SagaStep, SkuQuantity
from contracts.order import (
    CancelOrder,
    OrderPlaced,
)
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
)
from contracts.shipping import (
    ShipmentCreated,
    ShipmentRefused,
    TrackedParcel,
)
from order.state import Order

ID = "web:1001"
GBP = Currency("GBP")
TOKEN = "tok_ok"  # noqa: S105 - a token of the simulated provider
MUGS, TEA = SkuQuantity(sku="MUG", quantity=2), SkuQuantity(sku="TEA", quantity=1)
MUGS_IN_BIN, TEA_IN_BIN = BinQuantity(sku="MUG", quantity=2, bin="A-1"), BinQuantity(sku="TEA", quantity=1, bin="B-7")
PARCEL = TrackedParcel(
    location="LON", carrier="Swift", tracking_number="SW1", cost=350, currency=GBP, estimated_delivery=date(2026, 1, 8)
)
NO_CARRIER = Reason(path="recipient.city", code="undeliverable", message="nobody delivers there")
SHORT_PICK = Reason(path="picks", code="short_pick", message="the bin was empty")
USUAL: dict[type[SagaStep], dict[str, Any]] = {
    StockReserved: {"location": "LON", "lines": (MUGS_IN_BIN, TEA_IN_BIN)},
    StockRejected: {"location": "LON", "shortages": (Shortage(sku="MUG", requested=2, available=1),)},
    StockBackordered: {"location": "ROT", "lines": (TEA,), "missing": (MUGS,)},
    StockReleased: {"location": "LON", "lines": ()},
    StockIssued: {"location": "LON", "lines": (MUGS, TEA)},
    PaymentAuthorized: {"amount": 1750, "currency": GBP, "authorization_id": "auth-1"},
    PaymentDeclined: {"code": "insufficient_funds", "message": "not enough money"},
    PaymentCaptured: {"amount": 1750, "currency": GBP},
    FulfillmentFailed: {"reason": SHORT_PICK},
    ShipmentCreated: {"parcels": (PARCEL,)},
    ShipmentRefused: {"reason": NO_CARRIER},
}
"""What participants say of an order of two mugs and a tea when nothing is special."""


class Scene:
    """One order, and what its participants say to it."""

    def __init__(self, stage: Rehearsal, placed: Callable[..., OrderPlaced]) -> None:
        self._stage = stage
        self._placed = placed
        self.revision = 1

    @property
    def order(self) -> Order:
        order = self._stage.get(Order, ID)
        assert order is not None
        return order

    def place(self, **changes: Any) -> tuple[Message, ...]:  # noqa: ANN401 - any field of an order
        placed = self._placed(**changes)
        self.revision = placed.revision
        return self._stage.take(placed)

    def hear(self, model: type[SagaStep], **fields: Any) -> tuple[Message, ...]:  # noqa: ANN401 - any field of the message
        """What is said in answer to this, from the order's point of view the usual thing but for these fields."""
        names = {"order_id": ID, "revision": self.revision, "attempt": 1}
        return self._stage.take(model(**names | USUAL.get(model, {}) | fields))

    def take(self, message: Message) -> tuple[Message, ...]:
        return self._stage.take(message)

    def cancel(self) -> tuple[Message, ...]:
        return self._stage.take(CancelOrder(order_id=ID, reason="changed my mind", requested_by="Ada"))

    def after(self, **span: float) -> tuple[Message, ...]:
        """What is said while so much time passes."""
        return self._stage.advance(timedelta(**span))

    # How far the order is.

    def go_to(self, status: str) -> None:
        """Play the good order until it has this status."""
        story = [
            ("reserving", self.place),
            ("reserving", lambda: self.hear(StockReserved)),
            ("fulfilling", lambda: self.hear(PaymentAuthorized)),
            ("shipping", lambda: self.hear(OrderPacked)),
            ("completing", lambda: self.hear(ShipmentCreated)),
            ("completing", lambda: self.hear(PaymentCaptured)),
            ("completed", lambda: self.hear(StockIssued)),
        ]
        for reached, act in story:
            act()
            if reached == status:
                assert self.order.status == status
                return


def step(model: type[SagaStep], attempt: int = 1, **fields: Any) -> SagaStep:  # noqa: ANN401 - any field of the message
    return model(**{"order_id": ID, "revision": 1, "attempt": attempt} | fields)


def kinds(said: tuple[Message, ...]) -> list[type[Message]]:
    return [type(message) for message in said]
