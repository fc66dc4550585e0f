"""The HTTP API: orders come in, and what became of them is read. Whatever changes something becomes a message."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Annotated, NamedTuple

from chassis.http.body import AsJson
from chassis.http.openapi import STREAMED, Responses, events_of, lines_of, refused, streaming, taken
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.http.readable import WaitS
from chassis.http.shell import is_media_type
from chassis.http.shown import accepted
from chassis.ports import Publisher, Reader, Sort, Unavailable
from contracts.message import Channel, FromOutside, Name, OrderId, Reference, dated
from contracts.order import CancelOrder, OrderPlaced
from contracts.reasons import Unreadable
from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BeforeValidator, GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema
from starlette.requests import ClientDisconnect

from order.decide import why_not_cancel
from order.file_intake import FileReport, LineReport, take_in
from order.known import known_order
from order.live import Changes, Live, changes_of
from order.placing import send_on
from order.sagas_api import add_sagas
from order.shown import OrderAccepted, OrderPage, OrderShown, OrderSummary
from order.state import Order, Status
from order.validation import read
from order.view import StatusChange

NEWEST_FIRST = (("received_ms", -1), ("id", 1))
OLDEST_CHANGE_FIRST = (("changed_ms", 1), ("id", 1))
NEW_ORDER_S = 5.0
"""How long an order that was just placed may take to become readable."""
MOST_REPORT_BYTES_IN_MEMORY = 1_048_576
REPORTED: Responses = {
    200: {"description": "A report on each line, and one on them all", "content": lines_of(LineReport, FileReport)},
    **refused(400, 415),
}
ETAG = {"ETag": {"description": "Which `version` of the order it is.", "schema": {"type": "string"}}}
VERSIONED: Responses = {
    200: {"headers": ETAG},
    304: {"description": "It is the one that `If-None-Match` names.", "headers": ETAG},
    **refused(404),
}
Since = Annotated[AwareDatetime, BeforeValidator(dated)]
"""A moment in any time zone, which must be said."""


class Cancellation(FromOutside):
    """Why an order is to be undone."""

    reason: Name
    """Why."""
    requested_by: Name
    """Who asks."""


class EveryReason:
    """Reads a body as the JSON that it came as, and refuses it with every reason, not only those of single fields."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[OrderPlaced], handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: bytes, _: ValidatorFunctionWrapHandler) -> OrderPlaced:
            try:
                return read(value)
            except Unreadable as unreadable:
                raise Problem(422, "The order makes no sense", reasons=unreadable.reasons) from None

        return core_schema.no_info_wrap_validator_function(check, handler(source))


def router(reader: Reader, publisher: Publisher, live: Live, stuck_after: timedelta) -> APIRouter:
    routes = APIRouter(tags=["orders"])
    _intake(routes, reader, publisher)
    _reading(routes, reader)
    _following(routes, reader, live)
    add_sagas(routes, reader, publisher, stuck_after)
    return routes


def _intake(routes: APIRouter, reader: Reader, publisher: Publisher) -> None:
    @routes.post("/orders", status_code=status.HTTP_202_ACCEPTED, responses=taken(409))
    async def place(order: Annotated[OrderPlaced, EveryReason], response: Response) -> OrderAccepted:
        """Place an order, or the next revision of one that was rejected. The same again is the same order.

        Look at the order to see whether it was taken: `refused` says if not. If none ever was, there is no order.
        """
        known = await reader.get(Order, order.order_id)
        refusal = await send_on(order, known, publisher)
        if refusal is not None:
            raise Problem(409, "The order cannot be placed", reasons=(refusal,))
        return _accepted(order.order_id, order.revision, response)

    @routes.post(
        "/orders/file",
        openapi_extra=streaming(OrderPlaced),
        response_model=LineReport | FileReport,
        response_class=StreamingResponse,
        responses=REPORTED,
    )
    async def place_file(request: Request) -> StreamingResponse:
        """Place the orders of a file, one a line, and report on each line. Nothing is undone when a line is refused."""
        if not is_media_type(request.headers.get("content-type", ""), STREAMED):
            raise Problem(415, "Unsupported media type", f"send the orders one a line, as {STREAMED}")
        report = SpooledTemporaryFile(MOST_REPORT_BYTES_IN_MEMORY)  # noqa: SIM115 - it is closed when it is sent
        try:
            async for line in take_in(request.stream(), reader, publisher):
                report.write(line.model_dump_json().encode() + b"\n")
        except ClientDisconnect:
            report.close()
            raise Problem(400, "Broken off", "the file ended too early") from None
        report.seek(0)
        return StreamingResponse(report, media_type=STREAMED)

    @routes.post("/orders/{order_id}/cancel", status_code=status.HTTP_202_ACCEPTED, responses=taken(409))
    async def cancel(
        order_id: OrderId, cancellation: Annotated[Cancellation, AsJson], response: Response
    ) -> OrderAccepted:
        """Ask for an order to be undone. The same again changes nothing.

        Look at the order to see whether it still could be: `refused` says if not. If nobody placed it, there is none.
        """
        known = await reader.get(Order, order_id)
        who = cancellation.requested_by
        refusal = why_not_cancel(known, who) if known is not None and known.status != "rejected" else None
        if refusal is not None:
            raise Problem(409, "The order cannot be cancelled", reasons=(refusal,))
        request = CancelOrder(order_id=order_id, reason=cancellation.reason, requested_by=who)
        await publisher.publish(request)
        return _accepted(order_id, known.revision if known is not None else 1, response)


def _accepted(order_id: str, revision: int, response: Response) -> OrderAccepted:
    answer = OrderAccepted(status_url=f"/orders/{order_id}", order_id=order_id, revision=revision)
    return accepted(answer, response)


class Selection(NamedTuple):
    """Which orders a list shows, and which of them first."""

    where: Mapping[str, object]
    sort: Sort


# It awaits nothing, but what is no coroutine FastAPI gives to a thread.
async def _asked_for(
    status: Status | None = None,
    channel: Channel | None = None,
    customer: Reference | None = None,
    since: Annotated[Since | None, Query(description="first heard of then or later")] = None,
    changed_since: Annotated[Since | None, Query(description="changed then or later")] = None,
) -> Selection:
    asked = {
        "status": status,
        "placed.channel": channel,
        "placed.customer.id": customer,
        "received_ms": _from(since),
        "changed_ms": _from(changed_since),
    }
    where = {field: value for field, value in asked.items() if value is not None}
    return Selection(where, NEWEST_FIRST if changed_since is None else OLDEST_CHANGE_FIRST)


def _from(moment: datetime | None) -> dict[str, int] | None:
    return {"$gte": int(moment.timestamp() * 1000)} if moment is not None else None


def _reading(routes: APIRouter, reader: Reader) -> None:
    @routes.get("/orders")
    async def orders(paging: Paging, asked: Annotated[Selection, Depends(_asked_for)]) -> OrderPage:
        """Orders, the newest first; orders that come in meanwhile do not move the pages that follow.

        With `changed_since` they come by their last change, the oldest first: one that changes meanwhile comes again.
        """
        found, after = await paging.page(reader, Order, asked.where, asked.sort)
        return OrderPage(orders=[OrderSummary.of(order) for order in found], next=after)

    @routes.get("/orders/{order_id}", response_model=OrderShown, responses=VERSIONED)
    async def order(
        order_id: OrderId,
        response: Response,
        wait_s: WaitS = 0,
        if_none_match: Annotated[str, Header(description="the `ETag` of what is known already")] = "",
    ) -> OrderShown | Response:
        """An order, its timeline and the steps of its saga, as they were about a second ago."""
        found = await known_order(reader, order_id, wait_s)
        etag = f'W/"{found.version}"'
        if any(tag.strip() in {"*", etag, etag.removeprefix("W/")} for tag in if_none_match.split(",")):
            return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        response.headers["ETag"] = etag
        return OrderShown.of(found)


def _following(routes: APIRouter, reader: Reader, live: Live) -> None:
    async def changes_of_one(order_id: OrderId) -> AsyncIterator[Changes]:
        async with live.listen(order_id) as changes:
            yield changes

    async def known(order_id: OrderId) -> Order:
        return await known_order(reader, order_id, NEW_ORDER_S)

    async def changes_of_all() -> AsyncIterator[Changes]:
        async with live.listen() as changes:
            if not await live.subscribed(within_s=2):
                raise Unavailable("Redis, which tells of changes as they happen")
            yield changes

    @routes.get(
        "/orders/{order_id}/events",
        response_model=StatusChange,
        response_class=EventSourceResponse,
        responses=events_of(StatusChange) | refused(404),
    )
    async def follow(
        changes: Annotated[Changes, Depends(changes_of_one)], order: Annotated[Order, Depends(known)]
    ) -> AsyncIterator[ServerSentEvent]:
        """What the order is now, and then each of its changes as it happens."""
        async for change in changes_of(order, changes, reader):
            yield _event(change)

    @routes.get(
        "/events",
        response_model=StatusChange,
        response_class=EventSourceResponse,
        responses=events_of(StatusChange),
    )
    async def follow_all(
        changes: Annotated[Changes, Depends(changes_of_all)],
    ) -> AsyncIterator[ServerSentEvent]:
        """The changes of all orders as they happen; it ends when some may be missing."""
        while (change := await changes.get()) is not None:
            yield _event(change)


def _event(change: StatusChange) -> ServerSentEvent:
    return ServerSentEvent(event="status", id=str(change.version), data=change)
