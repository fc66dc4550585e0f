"""Lists of orders: what is asked for as a query, and where a page ends."""

import base64
import binascii
from datetime import datetime
from typing import Annotated

from chassis.problem import Problem
from contracts.message import Reason
from pydantic import Field, TypeAdapter

from order.state import Order, Status

NEWEST_FIRST = (("received_ms", -1), ("id", 1))
MILLISECONDS = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])
"""The store knows no larger number."""


def where(
    status: Status | None, channel: str | None, customer: str | None, since: datetime | None, cursor: str | None
) -> dict[str, object]:
    """The query. Raises Problem for a cursor that is none of ours."""
    asked: dict[str, object] = {"status": status, "placed.channel": channel, "placed.customer.id": customer}
    query = {field: value for field, value in asked.items() if value is not None}
    if since is not None:
        query["received_ms"] = {"$gte": int(since.timestamp() * 1000)}
    if cursor is not None:
        received_ms, order_id = place_of(cursor)
        query["$or"] = [
            {"received_ms": {"$lt": received_ms}},
            {"received_ms": received_ms, "id": {"$gt": order_id}},
        ]
    return query


def cursor_after(order: Order) -> str:
    """Names the place after this order; it stays where it is whatever comes in."""
    return cursor_of(order.received_ms, order.id)


def cursor_of(moment_ms: int, order_id: str) -> str:
    """Names a place in a list that is sorted by moments, and then by orders."""
    return base64.urlsafe_b64encode(f"{moment_ms}/{order_id}".encode()).decode()


def place_of(cursor: str) -> tuple[int, str]:
    """The place that a cursor names. Raises Problem for one that is none of ours."""
    try:
        moment_ms, _, order_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition("/")
        return MILLISECONDS.validate_strings(moment_ms), order_id
    except (ValueError, binascii.Error):
        reason = Reason(path="cursor", code="unknown_cursor", message="this is no `next` of a page before")
        raise Problem(422, "Invalid request", reasons=(reason,)) from None
