"""What the HTTP API shows of an order and its saga."""

from datetime import UTC, datetime
from typing import Self

from chassis.http.paging import Page
from chassis.http.shown import Accepted, Shown
from contracts.message import Reason
from contracts.order import Address, CompensateOrder, Customer, OrderLine, OrderPlaced, RetryStep, SkipStep, Substitutes
from contracts.shipping import TrackedParcel

from order.repair import is_skippable, why_not_compensate
from order.sourcing import RESERVE, substitutes
from order.state import EarlierRevision, Happening, Order, Refusal, Repair, Status, Task

DONE = {
    RetryStep.__name__: "it is asked for again",
    SkipStep.__name__: "it is taken as done",
    CompensateOrder.__name__: "what was done for the order is being undone",
}
"""What came of each request that was not refused."""


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
    version: int
    """Counts the changes of the order, as the `id` of an event does: a later one has a higher number."""
    received_at: datetime
    """When it was first heard of."""
    changed_at: datetime
    """When it last changed: `changed_since` goes by it."""
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
            version=order.version,
            received_at=datetime.fromtimestamp(order.received_ms / 1000, UTC),
            changed_at=order.changed_at,
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
    refused: Refusal | None
    """The latest placing or cancellation that was refused since this revision was placed, or compensation that came too
    late."""

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
            refused=order.refused,
        )


class OrderPage(Page):
    orders: list[OrderSummary]


class Unanswered(Shown):
    """A command of the saga, or its undo, that nobody has answered."""

    step: str
    location: str
    attempt: int
    is_undo: bool
    asked_at: datetime | None
    skippable: bool
    """Whether a person may take it as done."""

    @classmethod
    def of(cls, order: Order, task: Task) -> Self:
        return cls(
            step=task.step,
            location=task.location,
            attempt=task.attempt,
            is_undo=task.state == "undoing",
            asked_at=task.asked_at,
            skippable=is_skippable(order, task),
        )


class SagaStuck(Shown):
    """An order whose saga does not get to its end, because nobody answers what must be done."""

    order_id: str
    revision: int
    status: Status
    since: datetime | None
    """Since when that is so; absent while nothing that must be done is unanswered."""
    tries: int
    """How often it was asked for again."""
    unanswered: list[Unanswered]

    @classmethod
    def of(cls, order: Order) -> Self:
        since = order.unanswered_since_ms
        return cls(
            order_id=order.id,
            revision=order.revision,
            status=order.status,
            since=datetime.fromtimestamp(since / 1000, UTC) if since is not None else None,
            tries=order.undo_tries + order.forward_tries,
            unanswered=[Unanswered.of(order, task) for task in order.unanswered()],
        )


class SagaPage(Page):
    sagas: list[SagaStuck]


class SagaRepair(Shown):
    """A request to put an order right that was dealt with."""

    repair_id: str
    at: datetime | None
    """When it was dealt with; absent where an older version did that."""
    request: str
    about: str
    """The order, and the step where one was named."""
    by: str
    reason: str
    outcome: str
    """`done` or `refused`."""
    detail: str

    @classmethod
    def of(cls, order: Order, repair: Repair) -> Self:
        return cls(
            repair_id=repair.id,
            at=repair.at,
            request=repair.request,
            about=f"{order.id} {repair.step}".rstrip(),
            by=repair.by,
            reason=repair.reason,
            outcome="refused" if repair.refusal else "done",
            detail=repair.refusal.message if repair.refusal else DONE[repair.request],
        )


class SagaShown(SagaStuck):
    """How far a saga is, what may be done about it, and what people have asked for."""

    definition: int
    """The number of the saga's definition that the order is on."""
    steps: tuple[Task, ...]
    """The saga's commands and how far each is."""
    why_not_compensate: Reason | None
    """Why the order is not turned back if that is asked for, where it is not."""
    repairs: list[SagaRepair]
    """What people asked for, the oldest first."""

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(
            **dict(SagaStuck.of(order)),
            definition=order.definition,
            steps=order.tasks,
            why_not_compensate=why_not_compensate(order),
            repairs=[SagaRepair.of(order, repair) for repair in order.repairs],
        )
