"""The HTTP API: where the money of each order is. It only reads: payments move by the saga's commands alone."""

from typing import Annotated

from chassis.http.openapi import refused
from chassis.http.paging import Paging
from chassis.http.problem import Problem
from chassis.ports import Publisher, Reader
from contracts.message import OrderId
from fastapi import APIRouter, Query

from payment.shown import PaymentPage, PaymentShown, PaymentsShown
from payment.state import Payment, State


def router(reader: Reader, _: Publisher) -> APIRouter:
    routes = APIRouter(tags=["payments"])

    @routes.get("/payments/{order_id}", responses=refused(404))
    async def payments_of(order_id: OrderId) -> PaymentsShown:
        """The payments of an order, one a revision."""
        found = await reader.find(Payment, {"order_id": order_id}, sort=(("revision", 1),), limit=1000)
        if not found:
            raise Problem(404, "Unknown order", f"No payment was asked for {order_id}.")
        return PaymentsShown(order_id=order_id, payments=[PaymentShown.model_validate(payment) for payment in found])

    @routes.get("/payments")
    async def payments(
        paging: Paging,
        state: State | None = None,
        failing: Annotated[bool, Query(description="only those that the provider has failed at least once")] = False,
    ) -> PaymentPage:
        """Payments in the order of their ids."""
        where: dict[str, object] = {}
        if state is not None:
            where["state"] = state
        if failing:
            where["failing.times"] = {"$gte": 1}
        found, after = await paging.page(reader, Payment, where)
        return PaymentPage(payments=[PaymentShown.model_validate(payment) for payment in found], next=after)

    return routes
