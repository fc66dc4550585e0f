"""What an order's timeline says about an input that changed the order."""

from collections.abc import Sequence
from datetime import datetime

from contracts.fulfillment import FulfillmentFailed
from contracts.inventory import StockRejected
from contracts.message import Message
from contracts.order import CancelOrder, OrderPlaced, OrderRepair
from contracts.payment import PaymentDeclined
from contracts.shipping import ShipmentCreated, ShipmentRefused
from contracts.topics import TOPIC_OF

from order.state import Happening, MalformedOrder


def happening(now: datetime, heard: Message, said: Sequence[Message], remark: str = "") -> Happening:
    """What was heard, and what was said in answer; the remark stands in for the usual detail."""
    return Happening(
        at=now,
        heard="OrderPlaced" if isinstance(heard, MalformedOrder) else type(heard).__name__,
        source=_source(heard),
        detail=remark or _detail(heard),
        said=tuple(type(message).__name__ for message in said),
    )


def _source(heard: Message) -> str:
    match heard:
        case OrderPlaced() | MalformedOrder():
            return heard.channel
        case CancelOrder() | OrderRepair():
            return heard.requested_by
        case _:
            return TOPIC_OF[type(heard)].owner


def deadline_passed(now: datetime, said: Sequence[Message], remark: str) -> Happening:
    return Happening(
        at=now, heard="Deadline", source="order", detail=remark, said=tuple(type(message).__name__ for message in said)
    )


def _detail(heard: Message) -> str:
    match heard:
        case StockRejected():
            items = ", ".join(shortage.sku for shortage in heard.shortages[:3])
            return f"{heard.location}: short of {items}{', …' if len(heard.shortages) > 3 else ''}"
        case PaymentDeclined():
            return f"{heard.code}: {heard.message}"
        case FulfillmentFailed() | ShipmentRefused():
            return heard.reason.message
        case ShipmentCreated():
            return ", ".join(f"{parcel.carrier} {parcel.tracking_number}" for parcel in heard.parcels)
        case CancelOrder():
            return f"{heard.requested_by}: {heard.reason}"
        case _:
            return str(vars(heard).get("location", ""))
