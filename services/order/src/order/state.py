"""What the order service remembers: one document an order."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, Self

from chassis.decision import Document
from contracts.fulfillment import Pick
from contracts.inventory import BinQuantity, Shortage
from contracts.message import Channel, Message, Name, Number, OrderId, Reason, Revision, SkuQuantity, Value
from contracts.order import CancellationRefused, CancelOrder, CompensateOrder, OrderPlaced, PlacementRefused
from contracts.shipping import TrackedParcel
from pydantic import Field

Status = Literal[
    "reserving",  # stock is being set aside, and payment authorized
    "backordered",  # the same, and a location waits for stock to arrive
    "fulfilling",  # confirmed: being picked and packed
    "shipping",  # packed: a carrier is being asked
    "completing",  # the carrier has it: payment is being captured, stock issued
    "completed",
    "undoing",  # something failed or somebody cancelled: what was done is being undone
    "rejected",  # never confirmed, and nothing of it is left; may be placed again
    "cancelled",  # undone after it had been taken, and nothing of it is left
]

ENDS: frozenset[Status] = frozenset({"completed", "rejected", "cancelled"})

AT_A_PROVIDER = frozenset({"authorize", "ship"})
"""The steps that wait for the payment provider or the carrier, and have a deadline to miss."""

TaskState = Literal[
    "pending",  # asked, not answered
    "waiting",  # asked, and told to wait
    "done",
    "failed",  # refused: there is nothing to undo
    "undoing",  # its undo is asked, not answered
    "undone",
]

ASKED: frozenset[TaskState] = frozenset({"pending", "waiting"})
HELD: frozenset[TaskState] = frozenset({"pending", "waiting", "done"})
"""There may be something to undo."""


class MalformedOrder(Message):
    """An OrderPlaced that does not fit its type, and of which it is still known which order it is about."""

    channel: Channel
    """The channel that took the order."""
    number: Number
    """The channel's own number for the order."""
    revision: Revision
    """Which placing of the order this is; 1 where that cannot be read."""
    reasons: tuple[Reason, ...]
    """Everything that is wrong with it."""
    digest: str
    """Of its bytes, to know a repeat by."""

    @property
    def order_id(self) -> str:
        return f"{self.channel}:{self.number}"


class MalformedCancellation(Message):
    """A CancelOrder that does not fit its type, and of which it is still known which order it is about."""

    order_id: OrderId
    """The order, as `<channel>:<number>`."""
    requested_by: Name
    """Who asks; the order's channel where that cannot be read."""
    reasons: tuple[Reason, ...]
    """Everything that is wrong with it, at least one thing."""


@dataclass(frozen=True, slots=True)
class Task:
    """One command of the saga, and how far it is."""

    step: str
    """The step of the definition."""
    revision: int
    """The placing of the order that it was asked for."""
    attempt: int
    """The attempt that the command names."""
    location: str = ""
    """The location that the command names, where it does."""
    state: TaskState = "pending"
    deadline: datetime | None = None
    """When something will be done about it if nothing is heard."""
    asked_at: datetime | None = None
    """Since when an answer is waited for, to it or to its undo; None when there is one."""

    def but(self, state: TaskState, deadline: datetime | None = None, asked_at: datetime | None = None) -> "Task":
        """The same in this state, which has its own deadline or none, and waits for an answer or not."""
        return Task(
            step=self.step,
            revision=self.revision,
            attempt=self.attempt,
            location=self.location,
            state=state,
            deadline=deadline,
            asked_at=asked_at,
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one location holds for the order."""

    location: str
    attempt: int
    lines: tuple[BinQuantity, ...]


@dataclass(frozen=True, slots=True)
class ShortAt:
    """What one location was short of."""

    location: str
    shortages: tuple[Shortage, ...]


COMPENSATED = "compensated"
"""The code of the reason why an order is undone that a person has turned back."""


class Ending(Value):
    """Why an order is undone, and what it will be then."""

    status: Literal["rejected", "cancelled"]
    reasons: tuple[Reason, ...]
    """At least one."""
    by: str
    """Who or which step brought it about."""
    requested: bool = False
    """Whether it was a person, who hears of it if it comes to nothing."""
    also: tuple[str, ...] = ()
    """Who else has asked for it since, and hears of it, too."""

    @property
    def wanted_by(self) -> tuple[str, ...]:
        """The people who asked for it, each once."""
        return tuple(dict.fromkeys((self.by, *self.also) if self.requested else self.also))

    def is_compensation_of(self, who: str) -> bool:
        """Whether this person has turned the order back, and did not cancel it."""
        return self.requested and who == self.by and self.reasons[0].code == COMPENSATED


@dataclass(frozen=True, slots=True)
class Happening:
    """One input that changed the order."""

    at: datetime
    heard: str
    """The type of the message, or `Deadline`."""
    source: str
    """The channel, service or person that it came from."""
    detail: str = ""
    """What matters of it, in a few words."""
    said: tuple[str, ...] = ()
    """The types of the messages that were sent in answer."""


@dataclass(frozen=True, slots=True)
class EarlierRevision:
    """A placing of the order that was rejected before the present one."""

    revision: int
    ended_at: datetime
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A placing, a cancellation or a compensation that was refused, while the order went on as it was."""

    at: datetime
    request: str
    """The type of the request: `OrderPlaced`, `CancelOrder`, or `CompensateOrder` where that came too late."""
    revision: int
    """Which placing of the order was to be begun, or was to be undone."""
    by: str
    """Who had asked: the channel, where it was a placing."""
    reason: Reason
    """Why."""

    @classmethod
    def of(cls, said: PlacementRefused | CancellationRefused, at: datetime, *, was_compensation: bool = False) -> Self:
        """What is remembered of what the order service said then; a compensation is answered as a cancellation is."""
        if isinstance(said, PlacementRefused):
            request, by = OrderPlaced.__name__, said.order_id.partition(":")[0]
        else:
            asked = CompensateOrder if was_compensation else CancelOrder
            request, by = asked.__name__, said.requested_by
        return cls(at=at, request=request, revision=said.revision, by=by, reason=said.reason)


class Repair(Value):
    """What a person asked for to put the order right."""

    id: str
    request: str
    """The type of the request."""
    step: str
    """The step that it was about; empty where it was about the whole order."""
    by: str
    """Who asked."""
    reason: str
    """Why."""
    refusal: Reason | None = None
    """Why nothing was done, if it was not."""
    at: datetime | None = None
    """When it was dealt with; None where a version did that which did not remember it."""


class Order(Document):
    """One order: what was ordered, how far its saga is, and what happened to it."""

    kind: ClassVar[str] = "orders"

    received_ms: int
    """When it was first heard of, in milliseconds since 1970 (UTC): lists are sorted by it."""
    changed_ms: int = 0
    """When an input last changed it, in the same unit: lists of changes are sorted by it."""
    version: int = 0
    """How many inputs have changed it."""
    revision: int
    """Which placing of the order this is."""
    placed: Annotated[OrderPlaced | MalformedOrder, Field(union_mode="left_to_right")]
    """The order as the channel placed it."""
    status: Status
    timeline: tuple[Happening, ...] = ()
    """What happened to this revision, the oldest first."""
    earlier: tuple[EarlierRevision, ...] = ()
    """The revisions before this one, the oldest first."""
    refused: Refusal | None = None
    """The latest placing or cancellation that was refused since this revision was placed, or compensation that came too
    late; one that made no sense from the start is among the repairs."""

    definition: int
    """The number of the saga's definition that this revision began with and stays with."""
    stage: int = 0
    """The stage of the definition that the order is in."""
    tasks: tuple[Task, ...] = ()
    """The saga's commands in the order in which they were given."""
    ending: Ending | None = None
    """Set from the moment that the saga turns back."""
    undo_tries: int = 0
    """How often an undo was sent again because nobody answered it."""
    forward_tries: int = 0
    """The same for commands after the pivot."""
    unanswered_since_ms: int | None = None
    """Since when nobody has answered what must be done, an undo or a step after the pivot, in milliseconds since 1970
    (UTC); None if nothing of that kind is waited for. What lasts for too long is stuck."""
    repairs: tuple[Repair, ...] = ()
    """What people asked for to put the order right, in all its revisions, the oldest first."""

    route: tuple[str, ...] = ()
    """The locations to be asked for stock, in this order."""
    reservations: tuple[Reservation, ...] = ()
    missing: tuple[SkuQuantity, ...] = ()
    """What the locations asked so far could not give in part; empty when that is all of it, or nothing."""
    short: tuple[ShortAt, ...] = ()
    not_found: tuple[Pick, ...] = ()
    """What pickers did not find of what the locations hold."""
    parcels: tuple[TrackedParcel, ...] = ()
    noted: tuple[str, ...] = ()
    """The types of the messages that were only noted."""
    captured: int = 0
    """What was captured, in the currency's minor unit."""
    skipped: tuple[str, ...] = ()
    """The steps that a person took as done, in the order in which that was asked for."""

    def changed(self, now: datetime, **changes: object) -> Self:
        """The order after an input that changes it: lists of changes, live events and the `ETag` go by this."""
        return self.but(changed_ms=int(now.timestamp() * 1000), version=self.version + 1, **changes)

    @property
    def changed_at(self) -> datetime:
        """When an input last changed it."""
        return datetime.fromtimestamp(self.changed_ms / 1000, UTC)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for its payment or its shipment: the provider and the carrier serve only so many at once,
        and to ask them for more makes everybody wait, until deadlines pass that nobody need miss.
        """
        # Each change of an order asks twice, and `any` takes three times as long.
        for task in self.tasks:
            if task.state == "pending" and task.step in AT_A_PROVIDER and task.asked_at is not None:
                return True
        return False

    @property
    def content(self) -> OrderPlaced:
        """What was ordered.

        Raises TypeError for an order that could not be read: it is rejected at once, so that no step ever asks.
        """
        if isinstance(self.placed, MalformedOrder):
            raise TypeError(f"{self.id} could not be read")
        return self.placed

    @property
    def ended(self) -> bool:
        return self.status in ENDS

    def tasks_of(self, step: str) -> tuple[Task, ...]:
        """The commands that a step has given for this revision."""
        return tuple(task for task in self.tasks if task.step == step and task.revision == self.revision)

    def unanswered(self, step: str | None = None) -> tuple[Task, ...]:
        """The commands of a step, or of all, that wait for an answer to them or to their undo, in whatever revision."""
        return tuple(task for task in self.tasks if task.asked_at is not None and step in {None, task.step})

    def task(self, step: str, revision: int, attempt: int, location: str) -> Task | None:
        """The command with these names, all of which come back in its answer; None if the saga did not give it."""
        for task in self.tasks:
            if (
                task.attempt == attempt
                and task.step == step
                and task.location == location
                and task.revision == revision
            ):
                return task
        return None


DOCUMENTS: tuple[type[Document], ...] = (Order,)
"""Every kind of document that this service keeps."""
