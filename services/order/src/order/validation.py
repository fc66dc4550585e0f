"""What an order must be beyond the types of its fields, and every reason why it is not, all at once."""

import json
from hashlib import blake2b
from typing import Annotated

from contracts.message import MOST_UNITS, Amount, Channel, Name, Number, OrderId, Reason, Revision, Value
from contracts.order import OrderLine, OrderPlaced
from contracts.reasons import Unreadable, reasons_of
from contracts.record import Received
from contracts.strict_json import TOO_LARGE, refuse_ambiguous, refuse_oversized
from pydantic import Field, ValidationError

from order.state import MalformedCancellation, MalformedOrder

NOTHING_TO_SHIP = Reason(
    path="lines", code="nothing_to_ship", message="the order has no lines: there is nothing to ship"
)


class _Identity(Value):
    """Which order it is."""

    channel: Channel
    number: Number


class _Placing(Value):
    """Which placing of it."""

    revision: Revision = 1


class _Cancelling(Value):
    """Which order is to be undone."""

    order_id: OrderId


class _Asking(Value):
    """Who asks for that."""

    requested_by: Name


class _Sums(Value):
    """What must add up."""

    lines: Annotated[tuple[OrderLine, ...], Field(max_length=2000)]
    shipping_charge: Amount = 0
    total: Amount


def reasons_against(order: OrderPlaced | _Sums) -> tuple[Reason, ...]:
    """What is wrong with an order although its fields are well-formed; nothing if it makes sense."""
    reasons = []
    due = sum(line.quantity * line.unit_price for line in order.lines) + order.shipping_charge
    if due != order.total:
        message = f"the lines and the shipping charge come to {due}, not to {order.total}"
        reasons.append(Reason(path="total", code="total_mismatch", message=message))
    # Messages add some of them up, and must be able to say how many.
    units = sum(line.quantity for line in order.lines)
    if units > MOST_UNITS:
        message = f"{units} units are too many for one order; {MOST_UNITS} are the most"
        reasons.append(Reason(path="lines", code="too_many_units", message=message))
    return tuple(reasons)


def read(body: bytes) -> OrderPlaced:
    """Read an order from JSON. Raises Unreadable with all reasons, be they of one field or of several together."""
    refuse_oversized(body)
    try:
        order = OrderPlaced.model_validate_json(body)
    except ValidationError as error:
        raise Unreadable(_all_reasons(reasons_of(error), body)) from None
    refuse_ambiguous(body)
    if reasons := reasons_against(order):
        raise Unreadable(reasons)
    return order


def salvage(record: Received, reasons: tuple[Reason, ...]) -> MalformedOrder | MalformedCancellation | None:
    """What a record that should have been an OrderPlaced or a CancelOrder says about which order it is.

    None where it does not say that: then it is a dead letter, as is whatever has the wrong headers, is too large to be
    looked at, or says twice which order it is.
    """
    if any(_is_about_all_of_it(reason) for reason in reasons):
        return None
    body = record.value or b""
    match dict(record.headers).get("ce_type"):
        case b"OrderPlaced":
            return _malformed_order(body, reasons)
        case b"CancelOrder":
            return _malformed_cancellation(body, reasons)
        case _:
            return None


def _malformed_order(body: bytes, reasons: tuple[Reason, ...]) -> MalformedOrder | None:
    identity = _identity(body)
    if identity is None:
        return None
    return MalformedOrder(
        channel=identity.channel,
        number=identity.number,
        revision=_revision(body),
        reasons=_all_reasons(reasons, body),
        digest=blake2b(body, digest_size=16).hexdigest(),
    )


def _malformed_cancellation(body: bytes, reasons: tuple[Reason, ...]) -> MalformedCancellation | None:
    try:
        order_id = _Cancelling.model_validate_json(body).order_id
    except ValidationError:
        return None
    if _stands_twice(body, "order_id"):
        return None
    requested_by = _requested_by(body) or order_id.partition(":")[0]
    return MalformedCancellation(order_id=order_id, requested_by=requested_by, reasons=reasons)


def _requested_by(body: bytes) -> str | None:
    try:
        requested_by = _Asking.model_validate_json(body).requested_by
    except ValidationError:
        return None
    return None if _stands_twice(body, "requested_by") else requested_by


OF_THE_BODY = {"extra_forbidden", "duplicate_key"}
"""What is wrong with a field of the body even where it has the name of a header."""


def _is_about_all_of_it(reason: Reason) -> bool:
    is_of_a_header = reason.path.startswith("ce_") and reason.code not in OF_THE_BODY
    return is_of_a_header or reason.code == TOO_LARGE


def order_id_of(body: bytes) -> str | None:
    """Which order a body is about that is not an order, as far as it says so."""
    identity = _identity(body)
    return f"{identity.channel}:{identity.number}" if identity is not None else None


def _identity(body: bytes) -> _Identity | None:
    try:
        identity = _Identity.model_validate_json(body)
    except ValidationError:
        return None
    return None if _stands_twice(body, "channel", "number", "revision") else identity


def _stands_twice(body: bytes, *fields: str) -> bool:
    """Whether one of the fields is there twice: another reader may take the other one."""
    names = [name for name, _ in json.loads(body, object_pairs_hook=list, parse_int=str, parse_float=str)]
    return any(names.count(name) > 1 for name in fields)


def _revision(body: bytes) -> int:
    try:
        return _Placing.model_validate_json(body).revision
    except ValidationError:
        return 1


def _all_reasons(reasons: tuple[Reason, ...], body: bytes) -> tuple[Reason, ...]:
    """The reasons that single fields gave, and those of the well-formed fields together."""
    named = tuple(
        NOTHING_TO_SHIP if (reason.path, reason.code) == ("lines", "too_short") else reason for reason in reasons
    )
    try:
        return (*named, *reasons_against(_Sums.model_validate_json(body)))
    except ValidationError:
        return named
