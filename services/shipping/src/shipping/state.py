"""What the shipping service remembers: one document an attempt, and the call to the carrier that it waits for."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal, Self

from chassis.backoff import Failing
from chassis.decision import Call, Document
from contracts.message import Reason, SagaStep, Value, names_of
from contracts.shipping import CreateShipment, Parcel, Recipient, ShippingMethod, TrackedParcel
from pydantic import Field

State = Literal["booking", "booked", "refused", "cancelling", "cancelled", "dispatched", "delivered"]
CARRIED: frozenset[State] = frozenset({"booked", "dispatched", "delivered"})
"""The states in which the carrier has the parcels on its books."""


class BookParcels(Call):
    """Have a carrier take parcels on; it answers with Booked or Refused."""

    operation: Literal["book"] = "book"
    recipient: Recipient
    """Who gets them."""
    method: ShippingMethod
    """How the customer wants them sent."""
    parcels: tuple[Parcel, ...]
    """One a location."""
    ready_on: date
    """The day they can be fetched, in UTC."""


class CancelParcels(Call):
    """Call a booking off; the carrier answers with Cancelled, Collected or Refused."""

    operation: Literal["cancel"] = "cancel"
    tracking_numbers: tuple[str, ...]
    """The carrier's numbers of the parcels."""


CarrierCall = Annotated[BookParcels | CancelParcels, Field(discriminator="operation")]


class Booked(Value):
    """The carrier has taken the parcels on."""

    parcels: tuple[TrackedParcel, ...]
    """One for each that was to be booked, in the same order."""


class Refused(Value):
    """The carrier will not do it, however often it is asked."""

    reason: Reason
    """Why; its path starts at the command, as in `recipient.postal_code`."""


class Cancelled(Value):
    """Nothing is booked any more."""


class Collected(Value):
    """The carrier has the parcels already: what is booked cannot be called off any more."""


class Shipment(Document):
    """One attempt at having one placing of an order carried to its recipient."""

    kind: ClassVar[str] = "shipments"

    order_id: str
    """The order, as `<channel>:<number>`."""
    revision: int
    """Which placing of the order this is."""
    attempt: int
    """Which attempt at its shipment this is."""
    calls: tuple[CarrierCall, ...] = ()
    """The call that is under way, if any."""
    state: State
    """`cancelled` also when it was undone before anybody asked for it."""
    since: datetime
    """When it came into this state."""
    recipient: Recipient | None = None
    """Who gets the parcels; None when it was undone before anybody asked for it."""
    method: ShippingMethod = "standard"
    """How the customer wants them sent."""
    wanted: tuple[Parcel, ...] = ()
    """The parcels that were to be booked."""
    parcels: tuple[TrackedParcel, ...] = ()
    """The same parcels, as the carrier took them on."""
    refusal: Reason | None = None
    """Why no carrier takes them."""
    cancel_wanted: bool = False
    """Whether it is undone, or to be undone once the carrier has answered."""
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None
    failing: Failing | None = None

    @classmethod
    def begin(cls, command: SagaStep, state: State, now: datetime) -> Self:
        return cls(id=shipment_id(command), state=state, since=now, **names_of(command))

    @classmethod
    def book(cls, command: CreateShipment, now: datetime) -> Self:
        """A shipment whose parcels the carrier is asked to take on."""
        call = BookParcels(
            id=f"{shipment_id(command)}/book",
            recipient=command.recipient,
            method=command.method,
            parcels=command.parcels,
            ready_on=now.date(),
        )
        return cls.begin(command, "booking", now).but(
            recipient=command.recipient, method=command.method, wanted=command.parcels, calls=(call,)
        )

    def cancel(self) -> Self:
        """The shipment whose booking the carrier is asked to call off."""
        call = CancelParcels(
            id=f"{self.id}/cancel", tracking_numbers=tuple(parcel.tracking_number for parcel in self.parcels)
        )
        return self.but(state="cancelling", cancel_wanted=True, alarm=None, calls=(call,))


def shipment_id(command: SagaStep) -> str:
    return f"{command.order_id}/{command.revision}/{command.attempt}"


DOCUMENTS: tuple[type[Document], ...] = (Shipment,)
"""Every kind of document that this service keeps."""
