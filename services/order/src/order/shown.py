"""What the HTTP API shows of an order."""

from datetime import UTC, datetime
from typing import Self

from chassis.paging import Page
from chassis.shown import Accepted, Shown
from contracts.message import Reason
from contracts.order import Address, Customer, OrderLine, OrderPlaced, Substitutes
from contracts.shipping import TrackedParcel

from order.sourcing import RESERVE, substitutes
from order.state import EarlierRevision, Happening, Order, Status, Task


class OrderAccepted(Accepted):
    """An order, or what is asked about one, that is on its way."""

    order_id: str
    revision: int


class Content(Shown):
    """What was ordered. All amounts are in the currency's minor unit."""

    placed_at: datetime | None
    customer: Customer
    shipping_address: Address
    billing_address: Address
    lines: tuple[OrderLine, ...]
    shipping_charge: int
    total: int
    currency: str
    shipping_method: str
    special_instructions: str
    allow_backorder: bool
    allow_split: bool


class OrderSummary(Shown):
    """An order in a list."""

    order_id: str
    revision: int
    status: Status
    received_at: datetime
    """When it was first heard of."""
    changed_at: datetime
    """When something last happened to it."""
    deadline: datetime | None
    """When something will be done about it if nothing is heard until then."""
    undo_tries: int
    """How often an undo was sent again because nobody answered it."""
    forward_tries: int
    """The same for what is to be done after the carrier has the parcels."""
    reasons: tuple[Reason, ...]
    """Why it is rejected, cancelled or being undone."""

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(
            order_id=order.id,
            revision=order.revision,
            status=order.status,
            received_at=datetime.fromtimestamp(order.received_ms / 1000, UTC),
            changed_at=order.timeline[-1].at,
            deadline=order.alarm,
            undo_tries=order.undo_tries,
            forward_tries=order.forward_tries,
            reasons=order.ending.reasons if order.ending else (),
        )


class OrderShown(OrderSummary):
    """An order and its story."""

    ended_by: str
    """Who or which step brought it to its end, where it was not completed."""
    substitutes: tuple[Substitutes, ...]
    """What could be ordered in place of what is short."""
    content: Content | None
    """What was ordered; absent where that could not be read."""
    parcels: tuple[TrackedParcel, ...]
    captured: int
    """What was captured, in the currency's minor unit."""
    steps: tuple[Task, ...]
    """The saga's commands and how far each is."""
    timeline: tuple[Happening, ...]
    """What happened, the oldest first."""
    earlier: tuple[EarlierRevision, ...]
    """The revisions before this one."""

    @classmethod
    def of(cls, order: Order) -> Self:
        ended_by = order.ending.by if order.ending else ""
        return cls(
            **dict(OrderSummary.of(order)),
            ended_by=ended_by,
            substitutes=substitutes(order) if ended_by == RESERVE else (),
            content=Content.model_validate(order.placed) if isinstance(order.placed, OrderPlaced) else None,
            parcels=order.parcels,
            captured=order.captured,
            steps=order.tasks,
            timeline=order.timeline,
            earlier=order.earlier,
        )


class OrderPage(Page):
    orders: list[OrderSummary]
