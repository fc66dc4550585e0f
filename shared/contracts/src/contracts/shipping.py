"""The messages of the shipping service."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from contracts.message import (
    Amount,
    Country,
    Currency,
    Location,
    Moment,
    Name,
    Quantity,
    Reason,
    Reference,
    SagaStep,
    StepOutside,
    Text,
    Value,
)

ShippingMethod = Literal["standard", "express", "pickup"]


class Parcel(Value):
    """What leaves one location for one order."""

    location: Location
    """Where it leaves from."""
    units: Quantity
    """How many units are in it."""


class Recipient(Value):
    """Who gets the parcels, and where."""

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


class CreateShipment(StepOutside):
    """Book these parcels with a carrier."""

    recipient: Recipient
    """Who gets them."""
    method: ShippingMethod
    """How the customer wants them sent."""
    parcels: Annotated[tuple[Parcel, ...], Field(min_length=1)]
    """One per location."""


class CancelShipment(StepOutside):
    """Undo a booking, whether it was made, is under way, or has yet to arrive."""


class TrackedParcel(Value):
    """A parcel that a carrier has taken on."""

    location: Location
    """Where it leaves from."""
    carrier: Name
    """Who carries it."""
    tracking_number: Reference
    """The carrier's number."""
    cost: Amount
    """What the carrier charges, in the currency's minor unit."""
    currency: Currency
    """ISO 4217 code of the cost."""
    estimated_delivery: date
    """The day it should arrive."""


class ShipmentCreated(SagaStep):
    """The carrier has taken the parcels on; their labels can be printed."""

    parcels: tuple[TrackedParcel, ...]
    """The parcels."""


class ShipmentRefused(SagaStep):
    """No carrier takes them."""

    reason: Reason
    """Why."""


class ShipmentCancelled(SagaStep):
    """Nothing is booked any more."""


class ShipmentDispatched(SagaStep):
    """The carrier's van has left with all parcels."""

    dispatched_at: Moment
    """When, in UTC."""


class ShipmentDelivered(SagaStep):
    """The last parcel was handed over."""

    delivered_at: Moment
    """When, in UTC."""
