"""The HTTP API: where the money of each order is. It only reads: payments move by the saga's commands alone."""

from datetime import datetime
from typing import Annotated

from chassis.decision import Trouble
from chassis.paging import Page, Paging
from chassis.ports import Publisher, Reader
from chassis.problem import Problem
from chassis.shown import Shown
from contracts.message import OrderId
from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field

from payment.state import Declined, Payment, State


class PaymentShown(Shown):
    """The money for one placing of an order. All amounts are in the currency's minor unit."""

    order_id: str
    revision: int
    attempt: int
    """The attempt at the payment that this is about; 0 when it was undone before it began."""
    state: State
    since: datetime
    """When it came into this state."""
    currency: str
    amount: int
    """What was to be authorized."""
    held: int
    """What the provider holds for us now."""
    captured: int
    """What was captured, over all attempts."""
    refunded: int
    """What was given back, over all attempts."""
    authorization_id: str
    """The provider's name for the authorization; empty until it is made."""
    declined: Declined | None
    """Why the provider does not hold the money."""
    to_be_undone: Annotated[bool, BeforeValidator(bool)] = Field(validation_alias="voids")
    """Whether what is left of it is being voided or given back."""
    stuck: Trouble | None = Field(validation_alias="trouble")
    """What the provider has not done yet, although it must; it is asked again and again."""


class PaymentsShown(Shown):
    order_id: str
    payments: list[PaymentShown]


class PaymentPage(Page):
    payments: list[PaymentShown]


def router(reader: Reader, _: Publisher) -> APIRouter:
    routes = APIRouter(tags=["payments"])

    @routes.get("/payments/{order_id}")
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
        stuck: Annotated[bool, Query(description="only those that the provider has failed at least once")] = False,
    ) -> PaymentPage:
        """Payments in the order of their ids."""
        where: dict[str, object] = {}
        if state is not None:
            where["state"] = state
        if stuck:
            where["trouble.times"] = {"$gte": 1}
        found, after = await paging.page(reader, Payment, where)
        return PaymentPage(payments=[PaymentShown.model_validate(payment) for payment in found], next=after)

    return routes
