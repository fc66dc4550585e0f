"""The saga: one table that says what is done for an order, what the answers mean, and how each step is undone.

`interpreter` carries an order through it. An order stays with the definition that it began with: to change the saga,
add a definition under the next number, and keep the old one for as long as orders are on it.
"""

from functools import partial

from contracts.fulfillment import CancelFulfillment, FulfillmentCancelled, FulfillmentFailed, OrderPacked, OrderPicked
from contracts.inventory import ReleaseStock, StockBackordered, StockIssued, StockRejected, StockReleased, StockReserved
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import (
    CancelShipment,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
)

from order.commands import (
    NEVER_ARRIVED,
    amount_is_the_total,
    as_told,
    authorize_payment,
    capture_payment,
    create_shipment,
    declined,
    fulfill_order,
    is_partial,
    is_undone,
    issue_stock,
    not_found_there,
    order_backordered,
    order_completed,
    order_confirmed,
    order_shipped,
    remember_captured,
    remember_not_found,
    remember_parcels,
    remember_reserved,
    remember_short,
)
from order.definition import Definition, Do, Done, Refused, Skip, Stage, Step, Undo, Waits
from order.sourcing import RESERVE, adds_up, next_question, shortages
from order.state import Order

FIRST = Definition(
    stages=(
        Stage(
            "reserving",
            steps=(
                Step(
                    RESERVE,
                    Do(next_question, within=lambda policy: policy.reserve_within),
                    Done(StockReserved, fits=adds_up, partly=is_partial, remember=remember_reserved),
                    Refused(StockRejected, why=shortages, remember=remember_short, otherwise=next_question),
                    Undo(ReleaseStock, StockReleased, told=not_found_there),
                    Waits(StockBackordered, order_backordered, lambda policy: policy.backorder_within, NEVER_ARRIVED),
                ),
                Step(
                    "authorize",
                    Do(authorize_payment, within=lambda policy: policy.authorize_within),
                    Done(PaymentAuthorized, fits=amount_is_the_total),
                    Refused(PaymentDeclined, why=declined),
                    Undo(VoidPayment, PaymentVoided),
                ),
            ),
            then=order_confirmed,
            failed="rejected",
        ),
        Stage(
            "fulfilling",
            steps=(
                Step(
                    "fulfill",
                    Do(fulfill_order, within=lambda policy: policy.fulfill_within),
                    Done(OrderPacked),
                    Refused(FulfillmentFailed, why=as_told, remember=remember_not_found, counts_late=True),
                    Undo(CancelFulfillment, FulfillmentCancelled, confirmed=is_undone),
                    notes=(OrderPicked,),
                    skip=Skip(partial(CancelFulfillment, done=True)),
                ),
            ),
        ),
        Stage(
            "shipping",
            steps=(
                Step(
                    "ship",
                    Do(create_shipment, within=lambda policy: policy.ship_within),
                    Done(ShipmentCreated, remember=remember_parcels),
                    Refused(ShipmentRefused, why=as_told),
                    Undo(CancelShipment, ShipmentCancelled, too_late=(ShipmentDispatched, ShipmentDelivered)),
                ),
            ),
            then=order_shipped,
        ),
        # The pivot: the carrier has the parcels. Nothing below has an undo; it is asked for until it is done.
        Stage(
            "completing",
            steps=(
                Step(
                    "capture",
                    Do(capture_payment, within=lambda policy: policy.forward_again_after),
                    Done(PaymentCaptured, fits=amount_is_the_total, remember=remember_captured),
                    notes=(PaymentRefunded,),
                    skip=Skip(VoidPayment),
                ),
                Step(
                    "issue",
                    Do(issue_stock, within=lambda policy: policy.forward_again_after),
                    Done(StockIssued),
                    skip=Skip(),
                ),
            ),
            then=order_completed,
        ),
    )
)

DEFINITIONS: dict[int, Definition] = {1: FIRST}
"""By number; new orders begin with the last one unless an installation says otherwise."""


def definition_of(order: Order) -> Definition:
    """The definition that an order is on.

    One that has ended hears only what comes late: a delivery, or what must be undone again. Where a newer version began
    it, the newest definition that this version knows says what to do then. Raises KeyError for such an order under way.
    """
    return DEFINITIONS[max(DEFINITIONS) if order.ended and not is_known(order) else order.definition]


def is_known(order: Order) -> bool:
    """Whether this version has the definition that an order is on; of one that a newer version began it has not."""
    return order.definition in DEFINITIONS
