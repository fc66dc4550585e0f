"""The HTTP API: where the parcels of each order are, and their labels. It only reads: shipments move by commands."""

import asyncio
from typing import Annotated

from chassis.http.openapi import refused
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.ports import Publisher, Reader
from contracts.message import OrderId, Reason
from fastapi import APIRouter, Query, Response

from shipping.label import Label, render
from shipping.shown import ShipmentPage, ShipmentShown, ShipmentsShown
from shipping.state import CARRIED, Shipment, State

NO_BARCODE = Reason(
    path="tracking_number", code="not_ascii", message="it has characters that are not ASCII, as a barcode's are"
)


class PdfResponse(Response):
    media_type = "application/pdf"


def router(reader: Reader, _: Publisher) -> APIRouter:
    routes = APIRouter(tags=["shipments"])

    async def attempts(order_id: str) -> list[Shipment]:
        found = await reader.find(Shipment, {"order_id": order_id}, sort=(("revision", 1), ("attempt", 1)), limit=1000)
        if not found:
            raise Problem(404, "Unknown order", f"No shipment was asked for {order_id}.")
        return found

    @routes.get("/shipments/{order_id}", responses=refused(404))
    async def shipments_of(order_id: OrderId) -> ShipmentsShown:
        """Every attempt at shipping an order."""
        found = await attempts(order_id)
        return ShipmentsShown(order_id=order_id, shipments=[ShipmentShown.of(shipment) for shipment in found])

    @routes.get("/shipments")
    async def shipments(
        paging: Paging,
        state: State | None = None,
        failing: Annotated[bool, Query(description="only those that the carrier has failed at least once")] = False,
    ) -> ShipmentPage:
        """Shipments in the order of their ids."""
        where: dict[str, object] = {}
        if state is not None:
            where["state"] = state
        if failing:
            where["failing.times"] = {"$gte": 1}
        found, after = await paging.page(reader, Shipment, where)
        return ShipmentPage(shipments=[ShipmentShown.of(shipment) for shipment in found], next=after)

    @routes.get(
        "/shipments/{order_id}/labels/{tracking_number:path}.pdf",
        response_class=PdfResponse,
        responses=refused(404, 410, 422),
    )
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
