"""The stores say what the log says: orders, payments, fulfillments, shipments, and the stock of every item.

Each document is compared with what the log comes to. Of an order that is the document that its replay ends with. When,
and after which other, the order service took an input that it answered with silence, the log does not say; so times are
left out, and any order of the inputs will do that explains the log and ends with the document.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from chassis.kinds import UnreadableDocument
from chassis.mongo.archive import Remembered
from chassis.stuck.parking import Parked
from contracts.fulfillment import FulfillmentCancelled, FulfillmentFailed, OrderPacked, OrderPicked
from contracts.message import SagaStep
from contracts.order import OrderValidated
from contracts.payment import PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentVoided
from contracts.shipping import (
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
)
from contracts.topics import TOPIC_OF
from fulfillment.state import Fulfillment, fulfillment_id
from inventory.state import Stock
from order.state import Order
from payment.state import Payment, payment_id
from shipping.state import Shipment, shipment_id

from oms.audit.auditor import Judged
from oms.audit.book import Level
from oms.audit.finding import Finding
from oms.audit.money import captured, refunded
from oms.history.logged import History
from oms.history.replay import Replayer

Documents = Mapping[str, Remembered]
"""By key, the documents of one service."""

NEVER = datetime.min.replace(tzinfo=UTC)
OF_PAYMENT = (PaymentAuthorized, PaymentDeclined, PaymentCaptured, PaymentVoided, PaymentRefunded)
STATES_AFTER: dict[type[SagaStep], frozenset[str]] = {
    OrderPicked: frozenset({"picked", "packed"}),
    OrderPacked: frozenset({"packed"}),
    FulfillmentFailed: frozenset({"failed", "cancelled", "tombstone"}),
    FulfillmentCancelled: frozenset({"failed", "cancelled", "tombstone"}),
    ShipmentCreated: frozenset({"booked", "cancelling"}),
    ShipmentRefused: frozenset({"refused", "booking", "cancelling", "cancelled"}),
    ShipmentCancelled: frozenset({"refused", "cancelled"}),
    ShipmentDispatched: frozenset({"dispatched"}),
    ShipmentDelivered: frozenset({"delivered"}),
}
"""What a fulfillment or a shipment may be after the last that it said."""
AFTER_TAKEN_AS_DONE = frozenset({"packed", "tombstone"})
"""What a fulfillment may be that a person has taken as done."""


def keys_of_order(judged: Judged) -> Iterator[tuple[str, str]]:
    """Each document that an order should have, as the service and the key."""
    history = judged.history
    if judged.replay.document is not None:
        yield "order", Order.key_of(history.order_id)
    for revision in {message.revision for _, message in history.of(*OF_PAYMENT)}:
        yield "payment", Payment.key_of(payment_id(history.order_id, revision))
    for _, message in history.of(*STATES_AFTER):
        yield _home_of_step(message)


def _home_of_step(message: SagaStep) -> tuple[str, str]:
    """The service and the key of the document that said it."""
    service = TOPIC_OF[type(message)].owner
    if service == "shipping":
        return service, Shipment.key_of(shipment_id(message))
    return service, Fulfillment.key_of(fulfillment_id(message.order_id, message.revision, message.attempt))


def compare_order(judged: Judged, stored: Mapping[str, Documents], replayer: Replayer) -> Iterator[Finding]:
    """What the documents about one order, by service, say other than the log."""
    if judged.replay.differences:
        return  # already found, and nothing is left to compare with
    history, rebuilt = judged.history, judged.replay.document
    if isinstance(rebuilt, Order):
        yield from _compare(judged, rebuilt, stored["order"].get(rebuilt.key), replayer)
    for revision in sorted({message.revision for _, message in history.of(*OF_PAYMENT)}):
        key = Payment.key_of(payment_id(history.order_id, revision))
        yield from _compare_payment(history, revision, key, stored["payment"].get(key))
    # What is said again, to a command that was given again, tells nothing of what has become of it since.
    said_first = dict.fromkeys(message for _, message in history.of(*STATES_AFTER))
    for (service, key), message in {_home_of_step(message): message for message in said_first}.items():
        document = stored[service].get(key)
        state = getattr(document, "state", None)
        if state not in _states_after(message):
            found = _lack(document) if state is None else f"it is {state}"
            said = f"{found}, but the last that it said is {type(message).__name__}"
            yield Finding("store", f"{service}/{key}", history.order_id, said)


def _states_after(message: SagaStep) -> frozenset[str]:
    """What its fulfillment or shipment may be, if that was the last that it said."""
    is_taken_as_done = isinstance(message, FulfillmentCancelled) and message.done
    return AFTER_TAKEN_AS_DONE if is_taken_as_done else STATES_AFTER[type(message)]


def _lack(document: Remembered | None) -> str:
    """Why there is nothing to compare with the log."""
    if isinstance(document, UnreadableDocument):
        return f"this version cannot read {document}"
    return "there is no document"


def _compare(judged: Judged, rebuilt: Order, document: Remembered | None, replayer: Replayer) -> Iterator[Finding]:
    place = f"order/{rebuilt.key}"
    if not isinstance(document, Order):
        yield Finding("store", place, rebuilt.id, f"{_lack(document)}, but the log says {rebuilt.status}")
        return
    validated = {message.revision for _, message in judged.history.of(OrderValidated)}
    if (
        rebuilt.revision not in validated
    ):  # then it has no saga, and nothing says which one and which route it would have had
        rebuilt = rebuilt.but(definition=document.definition, route=document.route)
    stored = _timeless(document)
    if _timeless(rebuilt) == stored:
        return
    other = replayer.replay(judged.history, lambda end: isinstance(end, Order) and _timeless(end) == stored)
    logged = _timeless(other.document) if isinstance(other.document, Order) else _timeless(rebuilt)
    for name in Order.model_fields:
        one, two = getattr(stored, name), getattr(logged, name)
        if one != two:
            yield Finding("store", place, rebuilt.id, f"{name} is {one!r}, but the log says {two!r}"[:1000])
            return


def _timeless(order: Order) -> Order:
    """The order without the times that the log does not say."""
    return order.but(
        changed_ms=0,
        timeline=(),
        alarm=None,
        unanswered_since_ms=None,
        tasks=tuple(task.but(task.state) for task in order.tasks),
        earlier=tuple(replace(revision, ended_at=NEVER) for revision in order.earlier),
        refused=replace(order.refused, at=NEVER) if order.refused is not None else None,
        repairs=tuple(repair.model_copy(update={"at": None}) for repair in order.repairs),
    )


def _compare_payment(history: History, revision: int, key: str, document: Remembered | None) -> Iterator[Finding]:
    taken = sum(message.amount for _, message in captured(history) if message.revision == revision)
    returned = sum(message.amount for _, message in refunded(history) if message.revision == revision)
    if not isinstance(document, Payment):
        said = f"{_lack(document)}, but the log has answers of it"
        yield Finding("store", f"payment/{key}", history.order_id, said)
    elif (document.captured, document.refunded) != (taken, returned):
        said = f"{document.captured} captured, {document.refunded} refunded; the log says {taken} and {returned}"
        yield Finding("store", f"payment/{key}", history.order_id, said)


def key_of_stock(level: Level) -> str:
    return Stock.key_of(Stock.place(level.location, level.sku))


def compare_stock(level: Level, document: Remembered | None) -> Iterator[Finding]:
    """What the document of an item says other than the last StockLevel."""
    place, about = f"inventory/{key_of_stock(level)}", f"{level.sku} in {level.location}"
    if not isinstance(document, Stock):
        yield Finding("store", place, about, f"{_lack(document)}, but {level.place} tells of it")
        return
    logged = (level.available, level.reserved, level.shipped, level.received)
    stored = (document.available, document.reserved, document.shipped, document.received)
    if stored != logged:
        said = f"{stored} are available, reserved, shipped, received, but {level.place} says {logged}"
        yield Finding("store", place, about, said)


def parked(service: str, key: str, document: Remembered) -> Iterator[Finding]:
    """What waits because the service failed on a message."""
    if not isinstance(document, Parked):
        yield Finding("store", f"{service}/{key}", key, _lack(document))
    elif document.open:
        where = f"in partition {document.partition} of the {service} service"
        what = f"it is parked {where}, which failed on something about it, and keeps what came since"
        yield Finding("store", f"{service}/{key}", document.place, what)
