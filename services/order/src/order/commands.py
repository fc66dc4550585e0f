"""What the saga says: the commands of its steps, its events, and what it remembers of the answers."""

from datetime import datetime

from contracts.fulfillment import FulfillmentCancelled, FulfillmentFailed, FulfillOrder, Pick
from contracts.inventory import IssueStock, StockBackordered, StockRejected, StockReserved
from contracts.message import Message, Reason, SkuQuantity
from contracts.order import (
    Allocation,
    CancellationRefused,
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderRejected,
    OrderShipped,
    OrderValidated,
)
from contracts.payment import AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured, PaymentDeclined
from contracts.shipping import CreateShipment, Parcel, Recipient, ShipmentCreated, ShipmentRefused

from order.sourcing import RESERVE, substitutes
from order.state import Ending, Order, Reservation, ShortAt, Task

ALREADY_SHIPPED = Reason(path="order_id", code="already_shipped", message="the carrier has the parcels already")

# Commands.


def authorize_payment(order: Order) -> tuple[AuthorizePayment, ...]:
    placed = order.content
    command = AuthorizePayment(
        order_id=order.id,
        revision=order.revision,
        attempt=1,
        amount=placed.total,
        currency=placed.currency,
        payment_token=placed.payment_token,
    )
    return (command,)


def fulfill_order(order: Order) -> tuple[FulfillOrder, ...]:
    command = FulfillOrder(
        order_id=order.id,
        revision=order.revision,
        attempt=1,
        picks=tuple(Pick(location=held.location, lines=held.lines) for held in order.reservations),
        special_instructions=order.content.special_instructions,
    )
    return (command,)


def create_shipment(order: Order) -> tuple[CreateShipment, ...]:
    command = CreateShipment(
        order_id=order.id,
        revision=order.revision,
        attempt=1,
        recipient=Recipient(**dict(order.content.shipping_address)),
        method=order.content.shipping_method,
        parcels=tuple(
            Parcel(location=held.location, units=sum(line.quantity for line in held.lines))
            for held in order.reservations
        ),
    )
    return (command,)


def capture_payment(order: Order) -> tuple[CapturePayment, ...]:
    amount = order.content.total
    return (CapturePayment(order_id=order.id, revision=order.revision, attempt=1, amount=amount),)


def issue_stock(order: Order) -> tuple[IssueStock, ...]:
    """One command a location, each with the attempt that reserved there."""
    return tuple(
        IssueStock(order_id=order.id, revision=order.revision, attempt=held.attempt, location=held.location)
        for held in order.reservations
    )


def not_found_there(order: Order, task: Task) -> dict[str, object]:
    """What is said with the release of what a location holds: what pickers did not find there."""
    picks = [pick for pick in order.not_found if (pick.location, order.revision) == (task.location, task.revision)]
    lines = tuple(SkuQuantity(sku=line.sku, quantity=line.quantity) for pick in picks for line in pick.lines)
    return {"not_found": lines} if lines else {}


# Events.


def order_validated(order: Order) -> OrderValidated:
    placed = order.content
    return OrderValidated(
        order_id=order.id,
        revision=order.revision,
        total=placed.total,
        currency=placed.currency,
        route=order.route,
        definition=order.definition,
    )


def order_backordered(order: Order, answer: StockBackordered, deadline: datetime) -> OrderBackordered:
    return OrderBackordered(
        order_id=order.id,
        revision=order.revision,
        location=answer.location,
        missing=answer.missing,
        deadline=deadline,
    )


def order_confirmed(order: Order) -> tuple[OrderConfirmed, ...]:
    allocations = tuple(
        Allocation(
            location=held.location,
            lines=tuple(SkuQuantity(sku=line.sku, quantity=line.quantity) for line in held.lines),
        )
        for held in order.reservations
    )
    return (OrderConfirmed(order_id=order.id, revision=order.revision, allocations=allocations),)


def order_shipped(order: Order) -> tuple[OrderShipped, ...]:
    return (OrderShipped(order_id=order.id, revision=order.revision, parcels=order.parcels),)


def order_completed(order: Order) -> tuple[OrderCompleted, ...]:
    event = OrderCompleted(
        order_id=order.id,
        revision=order.revision,
        captured=order.captured,
        currency=order.content.currency,
        skipped=order.skipped,
    )
    return (event,)


def order_undone(order: Order, ending: Ending) -> Message:
    """What an order that is undone has come to."""
    if ending.status == "cancelled":
        reason = ending.reasons[0]
        return OrderCancelled(order_id=order.id, revision=order.revision, reason=reason, cancelled_by=ending.by)
    return OrderRejected(
        order_id=order.id,
        revision=order.revision,
        reasons=ending.reasons,
        substitutes=substitutes(order) if ending.by == RESERVE else (),
    )


def cancellations_refused(order: Order, ending: Ending) -> tuple[CancellationRefused, ...]:
    """What is told to all who wanted an order undone that could not be."""
    return tuple(
        CancellationRefused(order_id=order.id, revision=order.revision, reason=ALREADY_SHIPPED, requested_by=who)
        for who in ending.wanted_by
    )


# What the answers mean.


def is_partial(answer: StockReserved) -> bool:
    return bool(answer.missing)


def is_undone(answer: FulfillmentCancelled) -> bool:
    """Whether it was called off to be undone, and not because a person has taken it as done."""
    return not answer.done


def amount_is_the_total(order: Order, answer: PaymentAuthorized | PaymentCaptured) -> bool:
    return (answer.amount, answer.currency) == (order.content.total, order.content.currency)


# What is remembered of the answers, because a later step needs it or people want to know.


def remember_reserved(order: Order, answer: StockReserved) -> Order:
    held = Reservation(location=answer.location, attempt=answer.attempt, lines=answer.lines)
    reservations = (*order.reservations, held) if answer.lines else order.reservations
    return order.but(reservations=reservations, missing=answer.missing)


def remember_short(order: Order, answer: StockRejected) -> Order:
    return order.but(short=(*order.short, ShortAt(location=answer.location, shortages=answer.shortages)))


def remember_parcels(order: Order, answer: ShipmentCreated) -> Order:
    return order.but(parcels=answer.parcels)


def remember_not_found(order: Order, answer: FulfillmentFailed) -> Order:
    return order.but(not_found=answer.not_found)


def remember_captured(order: Order, answer: PaymentCaptured) -> Order:
    return order.but(captured=answer.amount)


# Why a step failed.


def declined(_: Order, answer: PaymentDeclined) -> tuple[Reason, ...]:
    message = f"{answer.code}: {answer.message}" if answer.message else answer.code
    return (Reason(path="payment_token", code="payment_declined", message=message),)


def as_told(_: Order, answer: FulfillmentFailed | ShipmentRefused) -> tuple[Reason, ...]:
    """The reason, whose path starts at the command that was refused, as a path of what the channel sent."""
    first, dot, rest = answer.reason.path.partition(".")
    return (answer.reason.model_copy(update={"path": f"{IN_ORDER.get(first, first)}{dot}{rest}"}),)


IN_ORDER = {"recipient": "shipping_address", "method": "shipping_method", "picks": "lines"}
"""By the field of a command, the field of the order that it was made of."""
NEVER_ARRIVED = Reason(path="lines", code="backorder_expired", message="what was missing did not arrive in time")
