"""The HTTP API: what is to be picked, and what pickers and packers have done."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from chassis.http.body import AsJson
from chassis.http.openapi import refused, taken
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.http.readable import WaitS, once_readable
from chassis.http.shown import accepted
from chassis.ports import Publisher, Reader
from contracts.fulfillment import PickedLine, ReportPacked, ReportPicked, ReportPutBack, ReportShort, ShortLine
from contracts.message import (
    Attempt,
    Bin,
    Count,
    FromOutside,
    Location,
    Name,
    OrderId,
    Reason,
    Revision,
    SagaNames,
    Sku,
    names_of,
)
from fastapi import APIRouter, Depends, Response, status
from pydantic import Field

from fulfillment.decide import Report, reasons_against, too_late
from fulfillment.shown import FulfillmentShown, FulfillmentsShown, PickListPage, PickListShown, ReportAccepted
from fulfillment.state import Fulfillment, ListState, PickList, fulfillment_id


class Reported(FromOutside):
    """What somebody reports of a list."""

    reported_by: Name
    """Who says so."""


class Picked(Reported):
    """Units that are off the shelf."""

    lines: Annotated[tuple[PickedLine, ...], Field(max_length=2000)] = ()
    """The lines that went on; without any, the whole list is picked."""


class Short(Reported):
    """A line, or several, that cannot be picked in full."""

    sku: Sku
    """The item that is short."""
    bin: Bin = ""
    """The shelf or bin, as the list names it."""
    found: Count
    """Units that were there."""
    also: Annotated[tuple[ShortLine, ...], Field(max_length=2000)] = ()
    """The other lines of the list that are short: what is reported after this is not heard."""


class Packed(Reported):
    """Everything on the list is in a parcel."""


class PutBack(Reported):
    """What was off the shelf is back."""


class ListName(SagaNames):
    """What names one pick list."""

    location: str


def _list_name(order_id: OrderId, revision: Revision, attempt: Attempt, location: Location) -> ListName:
    return ListName(order_id=order_id, revision=revision, attempt=attempt, location=location)


PathName = Annotated[ListName, Depends(_list_name)]
OLDEST_FIRST = (("requested_at", 1), ("id", 1))
PICK_LIST = "/pick-lists/{order_id}/{revision}/{attempt}/{location}"


def router(reader: Reader, publisher: Publisher) -> APIRouter:
    routes = APIRouter(tags=["fulfillment"])
    _add_reads(routes, reader)
    _add_reports(routes, reader, publisher)
    return routes


def _add_reads(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/pick-lists")
    async def pick_lists(
        paging: Paging, location: Location | None = None, state: ListState | None = None
    ) -> PickListPage:
        """Pick lists, the oldest first: those still to be picked or packed, unless a state is asked for.

        `to_put_back` are those of orders that are called off, with units that are off the shelf.

        `limit` counts orders; an order with several locations has several lists.
        """
        states: tuple[ListState, ...] = ("picking", "picked") if state is None else (state,)
        found, after = await paging.page(reader, Fulfillment, _where(location, states), OLDEST_FIRST)
        return PickListPage(
            pick_lists=[
                PickListShown.of(fulfillment, pick_list)
                for fulfillment in found
                for pick_list in fulfillment.lists
                if location in {None, pick_list.location} and pick_list.state in states
            ],
            next=after,
        )

    @routes.get("/fulfillments/{order_id}", responses=refused(404))
    async def fulfillments(order_id: OrderId, wait_s: WaitS = 0) -> FulfillmentsShown:
        """Every attempt at picking and packing an order."""

        async def attempts() -> list[Fulfillment] | None:
            return await reader.find(Fulfillment, {"order_id": order_id}, sort=OLDEST_FIRST, limit=1000) or None

        found = await once_readable(attempts, wait_s)
        if found is None:
            raise Problem(404, "Unknown order", f"Nobody has asked to fulfill {order_id}.")
        shown = [FulfillmentShown.of(fulfillment) for fulfillment in found]
        return FulfillmentsShown(order_id=order_id, fulfillments=shown)


def _add_reports(routes: APIRouter, reader: Reader, publisher: Publisher) -> None:
    @routes.post(f"{PICK_LIST}/picked", status_code=status.HTTP_202_ACCEPTED, responses=taken(404, 409))
    async def picked(name: PathName, body: Annotated[Picked, AsJson], response: Response) -> ReportAccepted:
        """Say that these units, or without lines all of the list, are off the shelf."""
        return await _accept(reader, publisher, ReportPicked(**name, **body.said), response)

    @routes.post(f"{PICK_LIST}/short", status_code=status.HTTP_202_ACCEPTED, responses=taken(404, 409))
    async def short(name: PathName, body: Annotated[Short, AsJson], response: Response) -> ReportAccepted:
        """Say which lines cannot be picked in full; the fulfillment fails and the order is undone."""
        return await _accept(reader, publisher, ReportShort(**name, **body.said), response)

    @routes.post(f"{PICK_LIST}/packed", status_code=status.HTTP_202_ACCEPTED, responses=taken(404, 409))
    async def packed(name: PathName, body: Annotated[Packed, AsJson], response: Response) -> ReportAccepted:
        """Say that everything on the list is in a parcel, and so off the shelf, too."""
        return await _accept(reader, publisher, ReportPacked(**name, **body.said), response)

    @routes.post(f"{PICK_LIST}/put-back", status_code=status.HTTP_202_ACCEPTED, responses=taken(404, 409))
    async def put_back(name: PathName, body: Annotated[PutBack, AsJson], response: Response) -> ReportAccepted:
        """Say that what was off the shelf for a list that is called off is back where it was taken from."""
        return await _accept(reader, publisher, ReportPutBack(**name, **body.said), response)


async def _list_of(reader: Reader, report: Report) -> tuple[Fulfillment, PickList]:
    """The list as it was a moment ago, and whose it is. Raises Problem if there is none."""
    fulfillment = await reader.get(Fulfillment, fulfillment_id(**names_of(report)))
    pick_list = fulfillment.list_at(report.location) if fulfillment is not None else None
    if fulfillment is None or pick_list is None:
        raise Problem(404, "Unknown pick list", f"{report.location} has no such list for {report.order_id}.")
    return fulfillment, pick_list


def _no_longer_worked_on(report: Report, fulfillment: Fulfillment, pick_list: PickList) -> Problem | None:
    """What is answered to a report on a list that nobody is to work on any more, if it is one, but for a shortage that
    counts already.
    """
    if isinstance(report, ReportPutBack) or (fulfillment.at_work and pick_list.state != "packed"):
        return None
    reasons: tuple[Reason, ...] = ()
    if isinstance(report, ReportShort):
        reasons = tuple(too_late(fulfillment, pick_list, report))
        if not reasons:
            return None
    state = pick_list.state if fulfillment.at_work else fulfillment.state
    what_then = ""
    if _is_called_off(fulfillment):
        noted = "" if reasons else " The report is noted."
        what_then = f"{noted} Put back what is off the shelf."
    return Problem(409, "No longer worked on", f"The list is {state}.{what_then}", reasons)


def _is_called_off(fulfillment: Fulfillment) -> bool:
    return fulfillment.state in {"failed", "cancelled"}


async def _accept(reader: Reader, publisher: Publisher, report: Report, response: Response) -> ReportAccepted:
    """Send it, unless it does not fit the list as it was a moment ago. Raises Problem.

    A report of units that are off the shelf for an order that is called off is sent, too, though whoever has them in
    hand is told that it is too late: they are to be put back, and listed until they are.
    """
    fulfillment, pick_list = await _list_of(reader, report)
    unfit = reasons_against(report, pick_list)
    # Of a shortage it is said first that it fits no list, as on Kafka: only one that does can be too late.
    is_no_shortage = bool(unfit) and isinstance(report, ReportShort)
    problem = None if is_no_shortage else _no_longer_worked_on(report, fulfillment, pick_list)
    if problem and (isinstance(report, ReportShort) or not _is_called_off(fulfillment)):
        raise problem
    if unfit:
        status_code = 409 if isinstance(report, ReportPutBack) else 422
        raise Problem(status_code, "The report does not fit the list", reasons=unfit)
    message_id = await publisher.publish(report)
    if problem:
        raise problem
    return accepted(ReportAccepted(status_url=f"/fulfillments/{report.order_id}", message_id=message_id), response)


def _where(location: str | None, states: Sequence[ListState]) -> Mapping[str, object]:
    """The fulfillments that have such lists."""
    wanted: dict[str, object] = {"state": {"$in": list(states)}}
    if location is not None:
        wanted["location"] = location
    return {"lists": {"$elemMatch": wanted}}
