"""What the HTTP API shows of shipments."""

from datetime import datetime
from typing import Self
from urllib.parse import quote

from chassis.backoff import Failing
from chassis.http.paging import Page
from chassis.http.shown import Shown
from contracts.message import Reason
from contracts.shipping import Recipient, ShippingMethod, TrackedParcel

from shipping.state import CARRIED, Shipment, State


class ParcelShown(TrackedParcel):
    """A parcel, and where its label is; all amounts are in the currency's minor unit."""

    units: int
    """How much is in it, of all items."""
    label: str | None
    """The path of its label; none when the booking was called off."""


class ShipmentShown(Shown):
    """One attempt and what became of it."""

    order_id: str
    revision: int
    attempt: int
    state: State
    since: datetime
    """When it came into this state."""
    method: ShippingMethod
    recipient: Recipient | None
    """None when it was undone before anybody asked for it."""
    parcels: list[ParcelShown]
    """The parcels as the carrier took them on."""
    refusal: Reason | None
    """Why no carrier takes them."""
    cancel_wanted: bool
    """Whether it is undone, or to be undone once the carrier has answered."""
    dispatched_at: datetime | None
    delivered_at: datetime | None
    failing: Failing | None
    """What the carrier has not done yet, although it must; it is asked again and again."""

    @classmethod
    def of(cls, shipment: Shipment) -> Self:
        labels = f"/shipments/{shipment.order_id}/labels" if shipment.state in CARRIED else None
        parcels = [
            ParcelShown(
                **dict(parcel),
                units=wanted.units,
                label=f"{labels}/{quote(parcel.tracking_number, '')}.pdf" if labels else None,
            )
            # Until the carrier has answered, and where it refused, there are no parcels beside those that were wanted.
            for parcel, wanted in zip(shipment.parcels, shipment.wanted, strict=False)
        ]
        return cls.model_validate(dict(shipment) | {"parcels": parcels})


class ShipmentsShown(Shown):
    order_id: str
    shipments: list[ShipmentShown]


class ShipmentPage(Page):
    shipments: list[ShipmentShown]
