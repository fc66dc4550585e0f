"""Every order that was placed has come to its end, or is waiting for something that can be named."""

from collections.abc import Iterator

from chassis.decision import Document
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
)
from contracts.inventory import (
    IssueStock,
    ReleaseStock,
    ReserveStock,
    StockBackordered,
    StockIssued,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import SagaStep
from contracts.order import (
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderValidated,
    PlacementRefused,
)
from contracts.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
)
from order.state import MalformedOrder, Order

from oms.audit.finding import Finding, Waiting
from oms.history.logged import STATE_AFTER, History

ANSWERS: dict[type[SagaStep], tuple[type[SagaStep], ...]] = {
    ReserveStock: (StockReserved, StockRejected),
    ReleaseStock: (StockReleased, StockIssued),
    IssueStock: (StockIssued, StockReleased, StockRejected),
    AuthorizePayment: (PaymentAuthorized, PaymentDeclined),
    CapturePayment: (PaymentCaptured, PaymentDeclined),
    VoidPayment: (PaymentVoided,),
    FulfillOrder: (OrderPacked, FulfillmentFailed),
    CancelFulfillment: (FulfillmentCancelled,),
    CreateShipment: (ShipmentCreated, ShipmentRefused),
    CancelShipment: (ShipmentCancelled, ShipmentDispatched, ShipmentDelivered),
}
"""What ends the wait for each command."""
OF_A_PLACING = (
    OrderValidated,
    OrderBackordered,
    OrderConfirmed,
    OrderShipped,
    OrderCompleted,
    OrderRejected,
    OrderCancelled,
)
"""Events that only an order that was placed can have; a cancellation may be refused because nobody placed the order."""


def endings(history: History, rebuilt: Document | None) -> Iterator[Finding | Waiting]:
    """What has not ended, and what began without being placed; `rebuilt` is the order as the log says that it is."""
    placed = {m.message.revision for m in history.messages if isinstance(m.message, OrderPlaced | MalformedOrder)}
    events = [*history.of(*OF_A_PLACING)]
    # Where another placing was refused, the one that was there before goes on.
    refused = {event.revision for _, event in history.of(PlacementRefused)} - {event.revision for _, event in events}
    for revision in sorted(placed - history.endings().keys() - refused):
        yield _waiting(history, revision, rebuilt)
    for logged, event in events:
        if event.revision not in placed:
            what = f"says {type(event).__name__} of revision {event.revision}, which nobody placed"
            yield Finding("endings", logged.place, history.order_id, f"the message here {what}")
            return


def _waiting(history: History, revision: int, rebuilt: Document | None) -> Waiting:
    """How far a placing is, and what it waits for."""
    events = [event for _, event in history.of(*OF_A_PLACING) if event.revision == revision]
    if not events:
        return Waiting(history.order_id, "placed", "the order service has not answered yet")
    # What goes forward undoes, too, as what was asked of a location that does not answer: the order itself knows.
    is_undoing = isinstance(rebuilt, Order) and (rebuilt.revision, rebuilt.status) == (revision, "undoing")
    state = "undoing" if is_undoing else STATE_AFTER[type(events[-1])]
    reasons = list(_unanswered(history, revision))
    if state == "backordered" and isinstance(events[-1], OrderBackordered):
        reasons = [f"waits at {events[-1].location} until {events[-1].deadline:%Y-%m-%d %H:%M} for stock", *reasons]
    return Waiting(history.order_id, state, "; ".join(reasons) or "the order service has not taken the last answer yet")


def _unanswered(history: History, revision: int) -> Iterator[str]:
    steps = [(logged, step) for logged, step in history.of(SagaStep) if step.revision == revision]
    answered = {(type(step), step.attempt, _location(step), _is_done(step)) for _, step in steps}
    named: set[str] = set()
    for logged, step in steps:
        answers = ANSWERS.get(type(step))
        name_of_answer = (step.attempt, _location(step), _is_done(step))
        if answers is None or any((answer, *name_of_answer) in answered for answer in answers):
            continue
        if (StockBackordered, *name_of_answer) in answered and isinstance(step, ReserveStock):
            continue
        name = " ".join(filter(None, [type(step).__name__, _location(step)]))
        if name not in named:
            named.add(name)
            yield f"{name} of {logged.envelope.time:%Y-%m-%d %H:%M:%S} is not answered"


def _is_done(step: SagaStep) -> bool:
    """Whether it is about a step that a person took as done: that is no undo, and its answer answers none."""
    return getattr(step, "done", False)


def _location(step: SagaStep) -> str:
    return getattr(step, "location", "")
