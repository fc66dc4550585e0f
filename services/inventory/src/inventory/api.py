"""The HTTP API: stock comes, goes and is read. Whatever changes something becomes a message."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

from chassis.http.body import AsJson
from chassis.http.openapi import refused, taken
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.http.readable import WaitS, once_readable
from chassis.http.shown import Accepted, accepted
from chassis.ports import Publisher, Reader
from contracts.inventory import AdjustStock, ConfigureItem, ReceiveStock, TransferStock
from contracts.message import Attempt, Bin, Count, FromOutside, Location, OrderId, Reference, Revision, Sku, Text
from fastapi import APIRouter, FastAPI, Query, Response, status
from pydantic import Field

from inventory.movements import ALREADY_USED, Moving, movement_of
from inventory.shown import (
    AvailabilityShown,
    BackorderPage,
    LedgerPage,
    LevelShown,
    MovementAccepted,
    MovementShown,
    ReservationShown,
    ReservationsShown,
    StockShown,
    ledger_lines,
)
from inventory.state import LedgerEntry, Movement, Reservation, Stock
from inventory.view import Availability, Level


def _new_id() -> str:
    return str(uuid4())


class Receipt(ReceiveStock):
    """Goods arrived."""

    movement_id: Reference = Field(default_factory=_new_id)
    """Your own id of the movement: the same again is the same movement. Without one, each request is a new movement."""


class Correction(AdjustStock):
    """A count came out different."""

    movement_id: Reference = Field(default_factory=_new_id)
    """Your own id of the movement: the same again is the same movement. Without one, each request is a new movement."""


class Transfer(TransferStock):
    """Send stock to another location."""

    movement_id: Reference = Field(default_factory=_new_id)
    """Your own id of the movement: the same again is the same movement. Without one, each request is a new movement."""


class ItemSettings(FromOutside):
    """How an item is kept."""

    bin: Bin = ""
    """The shelf or bin where it lies."""
    low_threshold: Count = 0
    """StockLow is said when fewer units than this are available; 0 never says it."""
    substitutes: Annotated[tuple[Sku, ...], Field(max_length=20)] = ()
    """Items that may stand in for this one, the best first."""
    reported_by: Text = ""
    """Who says so."""


def router(reader: Reader, publisher: Publisher, availability: Availability) -> APIRouter:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await availability.close()

    routes = APIRouter(tags=["inventory"], lifespan=lifespan)
    _moving(routes, reader, publisher)
    _levels(routes, reader, availability)
    _history(routes, reader)
    return routes


def _moving(routes: APIRouter, reader: Reader, publisher: Publisher) -> None:
    @routes.post("/movements/receive", status_code=status.HTTP_202_ACCEPTED, responses=taken(409))
    async def receive(receipt: Annotated[Receipt, AsJson], response: Response) -> MovementAccepted:
        """Say that goods arrived."""
        message = ReceiveStock(**receipt.said | {"movement_id": receipt.movement_id})
        return await _accept(reader, publisher, message, response)

    @routes.post("/movements/adjust", status_code=status.HTTP_202_ACCEPTED, responses=taken(409))
    async def adjust(correction: Annotated[Correction, AsJson], response: Response) -> MovementAccepted:
        """Say that a count came out different. Units that are set aside for orders cannot be taken away."""
        message = AdjustStock(**correction.said | {"movement_id": correction.movement_id})
        return await _accept(reader, publisher, message, response)

    @routes.post("/movements/transfer", status_code=status.HTTP_202_ACCEPTED, responses=taken(409))
    async def send(transfer: Annotated[Transfer, AsJson], response: Response) -> MovementAccepted:
        """Send stock to another location, all of it or nothing."""
        message = TransferStock(**transfer.said | {"movement_id": transfer.movement_id})
        return await _accept(reader, publisher, message, response)

    @routes.get("/movements/{location}/{movement_id:path}", responses=refused(404))
    async def movement(location: Location, movement_id: Reference, wait_s: WaitS = 0) -> MovementShown:
        """A movement: done, or refused and why."""
        place = Movement.place(location, movement_id)
        found = await once_readable(lambda: reader.get(Movement, place), wait_s)
        if found is None:
            detail = "A movement is readable about a second after it was taken; `?wait_s=5` waits for that."
            raise Problem(404, "Unknown movement", detail)
        return MovementShown.model_validate(found)

    @routes.put("/items/{location}/{sku}", status_code=status.HTTP_202_ACCEPTED, responses=taken())
    async def configure(
        location: Location, sku: Sku, item: Annotated[ItemSettings, AsJson], response: Response
    ) -> Accepted:
        """Say how an item is kept in a location: where it lies, when it is low, what may stand in for it."""
        await publisher.publish(ConfigureItem(location=location, sku=sku, **item.said))
        return accepted(Accepted(status_url=f"/stock/{location}/{sku}"), response)


async def _accept(reader: Reader, publisher: Publisher, message: Moving, response: Response) -> MovementAccepted:
    """Send it, unless it is known. Raises Problem if its id is known as that of another movement."""
    asked = movement_of(message, datetime.now(UTC))
    known = await reader.get(Movement, asked.id)
    if known is None:
        await publisher.publish(message)
    elif not known.repeats(asked):
        raise Problem(409, "The movement id is used already", reasons=(ALREADY_USED,))
    url = f"/movements/{message.location}/{quote(message.movement_id, safe='')}"
    answer = MovementAccepted(status_url=url, location=message.location, movement_id=message.movement_id)
    return accepted(answer, response)


def _levels(routes: APIRouter, reader: Reader, availability: Availability) -> None:
    @routes.get("/availability")
    async def levels(
        sku: Annotated[list[Sku], Query(min_length=1, max_length=100)],
        location: Annotated[list[Location], Query(max_length=50)] = [],  # noqa: B006 - FastAPI copies it
    ) -> AvailabilityShown:
        """How much there is of some items, in some locations or, if none is named, in all that know them."""
        found = {(level.location, level.sku): level for level in await availability.levels(reader, sku, location)}
        asked = [(place, item) for place in location for item in sku] or sorted(found)
        return AvailabilityShown(
            levels=[
                LevelShown.model_validate(found.get((place, item), Level(place, item, 0, 0)))
                for place, item in dict.fromkeys(asked)
            ]
        )

    @routes.get("/stock/{location}/{sku}", responses=refused(404))
    async def stock(location: Location, sku: Sku, wait_s: WaitS = 0) -> StockShown:
        """An item in a location, as it was about a second ago."""
        place = Stock.place(location, sku)
        found = await once_readable(lambda: reader.get(Stock, place), wait_s)
        if found is None:
            raise Problem(404, "Unknown item", f"{location} has never heard of {sku}.")
        return StockShown.model_validate(found)


def _history(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/ledger")
    async def ledger(location: Location, sku: Sku, paging: Paging) -> LedgerPage:
        """What moved an item in a location, the newest first, each with its cause. `limit` counts causes."""
        where = {"location": location, "changes": {"$elemMatch": {"sku": sku}}}
        found, after = await paging.page(reader, LedgerEntry, where, sort=(("number", -1),))
        return LedgerPage(lines=[line for entry in found for line in ledger_lines(entry, sku)], next=after)

    @routes.get("/backorders")
    async def backorders(location: Location, paging: Paging) -> BackorderPage:
        """The orders that wait for stock in a location, in the order in which they came."""
        where = {"location": location, "state": "waiting"}
        found, after = await paging.page(reader, Reservation, where, sort=(("number", 1),))
        shown = [ReservationShown.model_validate(reservation) for reservation in found]
        return BackorderPage(reservations=shown, next=after)

    @routes.get("/reservations")
    async def reservations(order_id: OrderId) -> ReservationsShown:
        """What was asked of every location for an order, and what became of it."""
        oldest_first = (("asked_at", 1), ("id", 1))
        found = await reader.find(Reservation, {"order_id": order_id}, sort=oldest_first, limit=1000)
        return ReservationsShown(reservations=[ReservationShown.model_validate(reservation) for reservation in found])

    @routes.get("/reservations/{location}/{order_id}/{revision}/{attempt}", responses=refused(404))
    async def reservation(
        location: Location, order_id: OrderId, revision: Revision, attempt: Attempt
    ) -> ReservationShown:
        """What one location was asked for one attempt of an order, and what became of it."""
        found = await reader.get(Reservation, Reservation.named(location, order_id, revision, attempt))
        if found is None:
            raise Problem(404, "Unknown reservation", f"{location} was never asked for it.")
        return ReservationShown.model_validate(found)
