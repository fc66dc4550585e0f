"""The HTTP API for sagas that do not go on by themselves: which, since when, for what, and what people ask to be done.

Whether a request fits what the order is by then is decided on the log: here it only becomes a message.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

from chassis.http.body import AsJson
from chassis.http.openapi import refused, taken
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.http.readable import WaitS, once_readable
from chassis.http.repairs_api import NOT_YET_READABLE, RepairId, Wish
from chassis.http.repairs_shown import Asked
from chassis.http.shown import accepted
from chassis.ports import Publisher, Reader
from contracts.message import OrderId
from contracts.order import CompensateOrder, RetryStep, SkipStep, StepName
from fastapi import APIRouter, Query, Response, status

from order.known import known_order
from order.repair import Request
from order.shown import SagaPage, SagaRepair, SagaShown, SagaStuck
from order.state import Order

LONGEST_FIRST = (("unanswered_since_ms", 1), ("id", 1))


class Retrying(Wish):
    """Which step is asked for again, by whom, and why."""

    step: StepName | None = None
    """The step of the saga; every step that waits for an answer where none is named."""


class Skipping(Wish):
    """Which step is taken as done though nobody said so, or its undo, by whom, and why."""

    step: StepName
    """The step of the saga."""


def add_sagas(routes: APIRouter, reader: Reader, publisher: Publisher, stuck_after: timedelta) -> None:
    """Add the routes for sagas; they are stuck when they have waited for longer than this."""
    _reading(routes, reader, stuck_after)
    _asking(routes, reader, publisher)


def _reading(routes: APIRouter, reader: Reader, stuck_after: timedelta) -> None:
    @routes.get("/sagas/stuck", tags=["repairs"])
    async def stuck(
        paging: Paging,
        longer_than_s: Annotated[
            float, Query(ge=0, le=31_536_000, description="only what has waited for at least this many seconds")
        ] = stuck_after.total_seconds(),
    ) -> SagaPage:
        """Orders that wait for an answer they cannot do without, to an undo or to a step after the pivot; the longest
        wait first.
        """
        until = datetime.now(UTC) - timedelta(seconds=longer_than_s)
        where = {"unanswered_since_ms": {"$gt": 0, "$lt": int(until.timestamp() * 1000) + 1}}
        found, after = await paging.page(reader, Order, where, LONGEST_FIRST)
        return SagaPage(sagas=[SagaStuck.of(order) for order in found], next=after)

    @routes.get("/sagas/{order_id}", tags=["repairs"], responses=refused(404))
    async def saga(order_id: OrderId) -> SagaShown:
        """How far the saga of an order is, what may be done about it, and what people have asked for."""
        return SagaShown.of(await known_order(reader, order_id))

    @routes.get("/sagas/{order_id}/repairs/{repair_id:path}", tags=["repairs"], responses=refused(404))
    async def repair(order_id: OrderId, repair_id: RepairId, wait_s: WaitS = 0) -> SagaRepair:
        """What came of one request."""

        async def of_this_name() -> SagaRepair | None:
            order = await known_order(reader, order_id)
            return next((SagaRepair.of(order, done) for done in order.repairs if done.id == repair_id), None)

        found = await once_readable(of_this_name, wait_s)
        if found is None:
            raise Problem(404, "Unknown repair", NOT_YET_READABLE)
        return found


def _asking(routes: APIRouter, reader: Reader, publisher: Publisher) -> None:
    async def ask(order_id: str, wish: Wish, request: Request, response: Response) -> Asked:
        await known_order(reader, order_id)
        await publisher.publish(request)
        url = f"/sagas/{order_id}/repairs/{quote(wish.repair_id, safe='')}"
        return accepted(Asked(status_url=url, repair_id=wish.repair_id), response)

    @routes.post(
        "/sagas/{order_id}/retry", status_code=status.HTTP_202_ACCEPTED, tags=["repairs"], responses=taken(404)
    )
    async def retry(order_id: OrderId, wish: Annotated[Retrying, AsJson], response: Response) -> Asked:
        """Ask again, now, for what nobody has answered, and for what was told to wait."""
        return await ask(order_id, wish, RetryStep(**_names(order_id, wish), step=wish.step), response)

    @routes.post("/sagas/{order_id}/skip", status_code=status.HTTP_202_ACCEPTED, tags=["repairs"], responses=taken(404))
    async def skip(order_id: OrderId, wish: Annotated[Skipping, AsJson], response: Response) -> Asked:
        """Treat a step as done though nobody said so, or its undo, if that is what nobody answers."""
        return await ask(order_id, wish, SkipStep(**_names(order_id, wish), step=wish.step), response)

    @routes.post(
        "/sagas/{order_id}/compensate", status_code=status.HTTP_202_ACCEPTED, tags=["repairs"], responses=taken(404)
    )
    async def compensate(order_id: OrderId, wish: Annotated[Wish, AsJson], response: Response) -> Asked:
        """Turn the order back, and undo what was done for it."""
        return await ask(order_id, wish, CompensateOrder(**_names(order_id, wish)), response)


def _names(order_id: str, wish: Wish) -> dict[str, str]:
    """What each request says."""
    return {"repair_id": wish.repair_id, "order_id": order_id, "reason": wish.reason, "requested_by": wish.by}
