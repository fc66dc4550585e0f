"""The messages of the order service, and what channels send to it."""

from typing import Annotated

from pydantic import Field

from contracts.message import (
    Amount,
    Channel,
    Country,
    Currency,
    Email,
    FromOutside,
    Location,
    LongText,
    Message,
    Moment,
    Name,
    Number,
    OrderId,
    Phone,
    Quantity,
    Reason,
    Reference,
    Revision,
    Sku,
    SkuQuantity,
    Text,
    Value,
)
from contracts.payment import PaymentToken
from contracts.shipping import ShippingMethod, TrackedParcel


class Customer(FromOutside):
    """Who ordered."""

    id: Reference
    """The channel's own id of the customer."""
    name: Name
    """The name to address the customer by."""
    email: Email | None = None
    """Where to write to."""
    phone: Phone | None = None
    """Where to call."""


class Address(FromOutside):
    """A postal address."""

    name: Name
    """Who lives or works there."""
    street: Name
    """Street and house number."""
    city: Name
    """Town or city."""
    postal_code: Annotated[Text, Field(max_length=16)] = ""
    """Postal code, where the country has one."""
    region: Text = ""
    """State, province or county."""
    country: Country
    """ISO 3166-1 alpha-2 code of the country."""


class OrderLine(FromOutside):
    """One line of an order."""

    sku: Sku
    """The item."""
    quantity: Quantity
    """How many units, at least one."""
    unit_price: Amount
    """What is charged for one unit, discounts and taxes included, in the currency's minor unit, never negative."""


class OrderPlaced(FromOutside):
    """A channel took an order."""

    channel: Channel
    """The channel that took the order."""
    number: Number
    """The channel's own number for the order, unique within the channel."""
    revision: Revision = 1
    """1 at first; a rejected order that was corrected is placed again with the next number."""
    placed_at: Moment | None = None
    """When the customer placed it, in UTC, where the channel says so."""
    customer: Customer
    """Who ordered."""
    shipping_address: Address
    """Where the goods go."""
    billing_address: Address
    """Where the bill goes."""
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=2000)]
    """What was ordered, at least one line; an item may be in several, as where its units have different prices."""
    shipping_charge: Amount = 0
    """What the customer pays for shipping, discounts and taxes included, in the currency's minor unit."""
    total: Amount
    """What the customer pays: exactly all lines and the shipping charge, in the currency's minor unit."""
    currency: Currency
    """ISO 4217 code of the currency of every amount here."""
    payment_token: PaymentToken
    """The payment provider's token for the customer's means of payment; never card data."""
    shipping_method: ShippingMethod = "standard"
    """How the customer wants it sent."""
    special_instructions: LongText = ""
    """What the customer wants the packers to know."""
    allow_backorder: bool = False
    """Whether the customer waits when an item is short."""
    allow_split: bool = False
    """Whether the order may come in several parcels, from several locations."""

    @property
    def order_id(self) -> str:
        return f"{self.channel}:{self.number}"


class CancelOrder(FromOutside):
    """Somebody wants an order undone."""

    order_id: OrderId
    """The order, as `<channel>:<number>`."""
    reason: Name
    """Why."""
    requested_by: Name
    """Who asks."""


StepName = Annotated[str, Field(pattern=r"^[a-z][a-z_-]{0,31}$")]
"""A step of the saga, as the order's steps name it."""


class OrderRepair(Value):
    """What each request to put an order right says, and each answer to one."""

    repair_id: Reference
    """Names the request: a second one with the same name changes nothing."""
    order_id: OrderId
    """The order, as `<channel>:<number>`."""
    reason: Name
    """Why."""
    requested_by: Name
    """Who asks."""


class RetryStep(OrderRepair, FromOutside):
    """Ask again, now, for what nobody has answered, and for what was told to wait."""

    step: StepName | None = None
    """The step of the saga; if none is named, every step that waits for an answer."""


class SkipStep(OrderRepair, FromOutside):
    """Treat a step as done though nobody said so, or its undo, if that is what nobody answers."""

    step: StepName
    """The step of the saga."""


class CompensateOrder(OrderRepair, FromOutside):
    """Turn an order back, and undo what was done for it."""


class OrderEvent(Message):
    """Something that happened to one placing of an order."""

    order_id: OrderId
    """The order, as `<channel>:<number>`."""
    revision: Revision
    """Which placing of the order this is."""


class OrderValidated(OrderEvent):
    """The order makes sense; the saga begins."""

    total: Amount
    """What the customer pays, in the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    route: tuple[Location, ...]
    """The locations that will be asked for stock, in this order."""
    definition: int = Field(default=1, ge=1, le=1_000_000)
    """The number of the saga's definition that this revision begins with, and stays with."""


class Substitutes(Value):
    """Items that may stand in for one that is short."""

    sku: Sku
    """The item that is short."""
    alternatives: tuple[Sku, ...]
    """What could be ordered in its place."""


class OrderRejected(OrderEvent):
    """The order was not taken; everything that had been done for it is undone."""

    reasons: tuple[Reason, ...]
    """All reasons, each with the path of the field it is about."""
    substitutes: tuple[Substitutes, ...] = ()
    """What could be ordered in place of what is short."""


class PlacementRefused(OrderEvent):
    """The same placing came again with other content, or out of turn; the order itself goes on as it was."""

    reason: Reason
    """What was wrong with it."""


class Allocation(Value):
    """What one location holds for an order."""

    location: Location
    """Where."""
    lines: tuple[SkuQuantity, ...]
    """What and how much."""


class OrderConfirmed(OrderEvent):
    """Stock is reserved and payment authorized."""

    allocations: tuple[Allocation, ...]
    """Where the goods will come from."""


class OrderBackordered(OrderEvent):
    """The order waits for stock, and goes on by itself when it arrives."""

    location: Location
    """Where it waits."""
    missing: tuple[SkuQuantity, ...]
    """What it waits for."""
    deadline: Moment
    """Until when it waits."""


class OrderShipped(OrderEvent):
    """The carrier has taken the order on; from here on it only goes forward."""

    parcels: tuple[TrackedParcel, ...]
    """The parcels and their tracking numbers."""


class OrderCompleted(OrderEvent):
    """Shipped and paid."""

    captured: Amount
    """What was captured, in the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    skipped: tuple[StepName, ...] = ()
    """The steps that a person took as done, though no participant said so: with `capture` it was paid by other means,
    and `captured` is 0."""


class OrderCancelled(OrderEvent):
    """The order was undone after it had been taken; nothing of it is left reserved or charged."""

    reason: Reason
    """Why."""
    cancelled_by: Name
    """Who or which step asked for it."""


class CancellationRefused(OrderEvent):
    """The order can no longer be cancelled, or never could, or the cancellation makes no sense."""

    reason: Reason
    """Why not."""
    requested_by: Name
    """Who had asked; the order's channel where that could not be read."""


class StepRetried(OrderRepair, OrderEvent):
    """Somebody had steps requested again."""

    steps: tuple[StepName, ...]
    """The steps."""


class StepSkipped(OrderRepair, OrderEvent):
    """Somebody had a step, or its undo, treated as done, though no participant said so."""

    step: StepName
    """The step."""
    is_undo: bool
    """Whether it is the undo that was treated as done."""


class OrderTurnedBack(OrderRepair, OrderEvent):
    """Somebody had an order turned back: what was done for it is being undone."""


class OrderRepairRefused(OrderRepair, OrderEvent):
    """A request to put an order right was refused; the order goes on as it was."""

    request: Name
    """The type of the request."""
    refusal: Reason
    """Why."""
