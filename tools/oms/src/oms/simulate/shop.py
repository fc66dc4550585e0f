"""The shop that is simulated: its services as they are wired, with deadlines of seconds; its stock; what is ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import fulfillment.decide
import fulfillment.main
import inventory.decide
import inventory.main
import order.main
import payment.main
import shipping.decide
import shipping.main
from chassis.backoff import Backoff
from chassis.limits import Limits
from chassis.service import Service
from contracts.inventory import GoodsLine, ReceiveStock
from contracts.order import CancelOrder, OrderPlaced
from order.definition import Policy
from order.sourcing import Routes

BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=8))
POLICY = Policy(
    definition=1,
    routes=Routes(default=("LON", "MAN"), by_country={}),
    reserve_within=timedelta(seconds=15),
    authorize_within=timedelta(seconds=15),
    fulfill_within=timedelta(seconds=25),
    ship_within=timedelta(seconds=15),
    backorder_within=timedelta(seconds=30),
    undo_again_after=timedelta(seconds=10),
    forward_again_after=timedelta(seconds=10),
)
LIMITS = Limits(
    batch_max_messages=10,
    inbox_max_messages=20,
    under_way_max_documents=10,
    documents_in_memory=10,
    checkpoint_interval_s=2.0,
)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What is decided by the clock in each service."""

    order: Policy
    payment: Backoff
    fulfillment: fulfillment.decide.SimulatedPickers
    shipping: shipping.decide.Policy


def services(deadlines: Deadlines) -> dict[str, Service]:
    """All five by their names, as they are deployed, but that they call nobody outside and show nothing."""
    return {
        "order": order.main.service(deadlines.order),
        "inventory": inventory.main.service(inventory.decide.Policy(backorder_queue_max_orders=100)),
        "payment": payment.main.service(deadlines.payment),
        "fulfillment": fulfillment.main.service(deadlines.fulfillment),
        "shipping": shipping.main.service(deadlines.shipping),
    }


SERVICES = services(
    Deadlines(
        order=POLICY,
        payment=BACKOFF,
        fulfillment=fulfillment.decide.SimulatedPickers(timedelta(seconds=2), timedelta(seconds=1)),
        shipping=shipping.decide.Policy(BACKOFF, timedelta(seconds=3), timedelta(seconds=5)),
    )
)
ORDERS: tuple[dict[str, object], ...] = (
    {},
    {"units": 3, "skus": ("MUG", "TEA")},
    {"units": 2, "skus": ("MUG", "CUP", "TEA")},
    {"payment_token": "tok_declined_stolen_card"},
    {"payment_token": "tok_timeout"},
    {"payment_token": "tok_capture_fails"},
    {"special_instructions": "[simulate: short pick]"},
    {"special_instructions": "[simulate: nobody picks]"},
    {"postal_code": "00000"},
    {"street": "Lost Lane 3"},
    {"street": "Early Lane 3"},
    {"units": 9, "skus": ("TEA",)},
    {"units": 8, "skus": ("TEA",), "allow_split": True},
    {"units": 9, "skus": ("TEA",), "allow_backorder": True},
    {"units": 4, "skus": ("CUP",), "allow_backorder": True},
    {"units": 6, "skus": ("CUP", "MUG"), "allow_backorder": True},
    {"total": 7},
)
"""What is ordered: most of it succeeds, some of it fails for each reason there is."""
DELIVERIES: tuple[tuple[float, str, dict[str, int]], ...] = (
    (0.0, "LON", {"MUG": 40, "TEA": 5}),
    (0.0, "MAN", {"MUG": 5, "TEA": 5, "CUP": 5}),
    (20.0, "MAN", {"CUP": 3}),
    (40.0, "MAN", {"CUP": 50, "TEA": 50, "MUG": 50}),
)
"""When how many units of what arrive where."""


def deliveries() -> Iterator[tuple[float, ReceiveStock]]:
    for number, (at_s, location, units) in enumerate(DELIVERIES):
        lines = tuple(GoodsLine(sku=sku, quantity=count) for sku, count in units.items())
        yield at_s, ReceiveStock(movement_id=f"delivery-{number}", location=location, lines=lines)


def placed(number: int, kind: int) -> OrderPlaced:
    """An order of one of the kinds."""
    fields = dict(ORDERS[kind])
    units, skus = fields.pop("units", 1), fields.pop("skus", ("MUG",))
    address = {
        "name": "Ada",
        "street": fields.pop("street", "1 High St"),
        "city": "Leeds",
        "postal_code": fields.pop("postal_code", "LS1"),
        "country": "GB",
    }
    lines = [{"sku": sku, "quantity": units, "unit_price": 500} for sku in skus]  # type: ignore[attr-defined] # they are as they stand above
    order = {
        "channel": "web",
        "number": str(number),
        "customer": {"id": "c-1", "name": "Ada"},
        "shipping_address": address,
        "billing_address": address,
        "lines": lines,
        "total": sum(int(line["quantity"]) * 500 for line in lines),
        "currency": "GBP",
        "payment_token": "tok_ok",
    }
    return OrderPlaced.model_validate(order | fields, strict=False)


def cancelled(number: int) -> CancelOrder:
    return CancelOrder(order_id=f"web:{number}", reason="changed my mind", requested_by="Ada")
