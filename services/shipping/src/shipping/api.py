"""The HTTP API: where the parcels of each order are, and their labels. It only reads: shipments move by commands."""

import asyncio
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from chassis.decision import Trouble
from chassis.paging import Page, Paging
from chassis.ports import Publisher, Reader
from chassis.problem import Problem
from chassis.shown import Shown
from contracts.message import OrderId, Reason
from contracts.shipping import Recipient, ShippingMethod, TrackedParcel
from fastapi import APIRouter, Query, Response
from pydantic import Field

from shipping.label import Label, render
from shipping.state import Shipment, State

CARRIED = {"booked", "dispatched", "delivered"}
"""The states in which the carrier has the parcels on its books."""
NO_BARCODE = Reason(
    path="tracking_number", code="not_ascii", message="it has characters that are not ASCII, as a barcode's are"
)


class ParcelShown(TrackedParcel):
    """A parcel, and where its label is; all amounts are in the currency's minor unit."""

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
    stuck: Trouble | None = Field(validation_alias="trouble")
    """What the carrier has not done yet, although it must; it is asked again and again."""


class ShipmentsShown(Shown):
    order_id: str
    shipments: list[ShipmentShown]


class ShipmentPage(Page):
    shipments: list[ShipmentShown]


class PdfResponse(Response):
    media_type = "application/pdf"


def router(reader: Reader, _: Publisher) -> APIRouter:
    routes = APIRouter(tags=["shipments"])

    async def attempts(order_id: str) -> list[Shipment]:
        found = await reader.find(Shipment, {"order_id": order_id}, sort=(("revision", 1), ("attempt", 1)), limit=1000)
        if not found:
            raise Problem(404, "Unknown order", f"No shipment was asked for {order_id}.")
        return found

    @routes.get("/shipments/{order_id}")
    async def shipments_of(order_id: OrderId) -> ShipmentsShown:
        """Every attempt at shipping an order."""
        found = await attempts(order_id)
        return ShipmentsShown(order_id=order_id, shipments=[_shown(shipment) for shipment in found])

    @routes.get("/shipments")
    async def shipments(
        paging: Paging,
        state: State | None = None,
        stuck: Annotated[bool, Query(description="only those that the carrier has failed at least once")] = False,
    ) -> ShipmentPage:
        """Shipments in the order of their ids."""
        where: dict[str, object] = {}
        if state is not None:
            where["state"] = state
        if stuck:
            where["trouble.times"] = {"$gte": 1}
        found, after = await paging.page(reader, Shipment, where)
        return ShipmentPage(shipments=[_shown(shipment) for shipment in found], next=after)

    @routes.get("/shipments/{order_id}/labels/{tracking_number:path}.pdf", response_class=PdfResponse)
    async def label(order_id: OrderId, tracking_number: str) -> PdfResponse:
        """A parcel's label, to be printed on 100 x 150 mm."""
        wanted = _label(await attempts(order_id), tracking_number)
        # Drawing takes a good tenth of a second, in which others are to be served.
        return PdfResponse(await asyncio.to_thread(render, wanted))

    return routes


def _label(attempts: list[Shipment], tracking_number: str) -> Label:
    """What stands on the label. Raises Problem if there is no such parcel, or none to be sent, or no barcode of it."""
    for shipment in attempts:
        # Until the carrier has answered, and where it refused, there are no parcels beside those that were wanted.
        for place, (parcel, wanted) in enumerate(zip(shipment.parcels, shipment.wanted, strict=False), 1):
            if parcel.tracking_number != tracking_number or shipment.recipient is None:
                continue
            if shipment.state not in CARRIED:
                raise Problem(410, "Called off", f"Parcel {tracking_number} is not to be sent.")
            if not tracking_number.isascii():
                raise Problem(422, "No barcode", reasons=(NO_BARCODE,))
            return Label(
                tracking_number=tracking_number,
                carrier=parcel.carrier,
                method=shipment.method,
                sender=parcel.location,
                recipient=shipment.recipient,
                order_id=shipment.order_id,
                place=place,
                parcels=len(shipment.parcels),
                units=wanted.units,
                estimated_delivery=parcel.estimated_delivery,
            )
    raise Problem(404, "Unknown parcel", "The order has no parcel with this tracking number.")


def _shown(shipment: Shipment) -> ShipmentShown:
    labels = f"/shipments/{shipment.order_id}/labels" if shipment.state in CARRIED else None
    parcels = [
        ParcelShown(**dict(parcel), label=f"{labels}/{quote(parcel.tracking_number, '')}.pdf" if labels else None)
        for parcel in shipment.parcels
    ]
    return ShipmentShown.model_validate(dict(shipment) | {"parcels": parcels})
