"""What the order service does about each input: it checks what is placed, and leaves the rest to the saga."""

from collections.abc import Iterable
from datetime import datetime

from chassis.decision import AlarmRang, Decision, Documents, Input, id_of
from chassis.service import Decide
from contracts.message import Reason, SagaStep
from contracts.order import (
    CancellationRefused,
    CancelOrder,
    CompensateOrder,
    OrderPlaced,
    OrderRepair,
    PlacementRefused,
    RetryStep,
    SkipStep,
)

from order.commands import order_validated
from order.definition import Policy
from order.interpreter import Turn
from order.repair import Request, repair, repair_refused, why_not_turn_back
from order.saga import definition_of
from order.state import EarlierRevision, Ending, Happening, MalformedCancellation, MalformedOrder, Order, Refusal
from order.timeline import deadline_passed, happening
from order.validation import reasons_against

UNKNOWN_ORDER = Reason(path="order_id", code="unknown_order", message="nobody placed such an order")
MOST_ALSO = 20
"""The most people remembered who ask for an undo that is already under way."""
MOST_EARLIER = 20
"""The most earlier revisions that an order remembers; the oldest are forgotten."""


def needs(message: Input, _: Documents) -> Iterable[str]:
    match message:
        case OrderPlaced() | MalformedOrder() | CancelOrder() | MalformedCancellation() | OrderRepair() | SagaStep():
            return (Order.key_of(message.order_id),)
        case AlarmRang(document=key):
            return (key,)
        case _:
            return ()


def decider(policy: Policy) -> Decide:
    """`decide` under this policy."""

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        match message:
            case SagaStep():
                return _hear(documents.get(Order, message.order_id), message, policy, now)
            case OrderPlaced() | MalformedOrder():
                return _place(documents.get(Order, message.order_id), message, policy, now)
            case CancelOrder() | MalformedCancellation():
                return _cancel(documents.get(Order, message.order_id), message, policy, now)
            case RetryStep() | SkipStep() | CompensateOrder():
                return _repair(documents.get(Order, message.order_id), message, policy, now)
            case AlarmRang(document=key):
                return _ring(documents.get(Order, id_of(key)), policy, now)
            case _:
                return Decision()

    return decide


# Placing.


def why_not_place(order: Order | None, placement: OrderPlaced | MalformedOrder) -> Reason | None:
    """Why a placing is refused, if it is; a repeat of the present one is not, and changes nothing."""
    revision, at = placement.revision, order.revision if order is not None else 0
    if order is not None and revision == at:
        if placement == order.placed:
            return None
        return Reason(path="revision", code="other_content", message=f"revision {at} was placed with other content")
    if revision != at + 1:
        return Reason(path="revision", code="out_of_turn", message=f"revision {at + 1} is next")
    if order is None or order.status == "rejected":
        return None
    code = f"already_{order.status}" if order.ended else "still_running"
    return Reason(path="revision", code=code, message=f"only a rejected order is placed again; this is {order.status}")


def _place(order: Order | None, placement: OrderPlaced | MalformedOrder, policy: Policy, now: datetime) -> Decision:
    if refusal := why_not_place(order, placement):
        # What cannot be read may have been given another revision than it was to have, and be refused because of that.
        reason = placement.reasons[0] if isinstance(placement, MalformedOrder) else refusal
        refused = PlacementRefused(order_id=placement.order_id, revision=placement.revision, reason=reason)
        return _refused(order, refused, now)
    if order is not None and order.revision == placement.revision:
        return Decision()
    turn = Turn(_begun(order, placement, policy, now), policy, now)
    reasons = placement.reasons if isinstance(placement, MalformedOrder) else reasons_against(placement)
    if reasons:
        turn.turn_back(Ending(status="rejected", reasons=reasons, by="validation"))
    else:
        turn.said.append(order_validated(turn.order))
        turn.begin()
    return _decision(turn, happening(now, placement, turn.said))


def _begun(order: Order | None, placement: OrderPlaced | MalformedOrder, policy: Policy, now: datetime) -> Order:
    """The order with nothing done for it yet.

    Of its earlier revisions it keeps why they were rejected, and what is being undone because it was done too late.
    """
    new = Order(
        id=placement.order_id,
        received_ms=int(now.timestamp() * 1000),
        revision=placement.revision,
        placed=placement,
        status="reserving",
        definition=policy.definition,
        route=policy.routes.to(placement.shipping_address.country) if isinstance(placement, OrderPlaced) else (),
    )
    if order is None:
        return new
    reasons = order.ending.reasons if order.ending else ()
    ended = EarlierRevision(revision=order.revision, ended_at=order.timeline[-1].at, reasons=reasons)
    return new.but(
        received_ms=order.received_ms,
        version=order.version,
        earlier=(*order.earlier[1 - MOST_EARLIER :], ended),
        tasks=tuple(task for task in order.tasks if task.state == "undoing"),
        repairs=order.repairs,
    )


# Cancelling.


def why_not_cancel(order: Order, who: str) -> Reason | None:
    """Why a cancellation is refused, if it is; one by somebody for whom it is done is not, and changes nothing."""
    is_done = order.status == "cancelled" and order.ending is not None and who in order.ending.wanted_by
    return None if is_done else why_not_turn_back(order)


def _cancel(
    order: Order | None, request: CancelOrder | MalformedCancellation, policy: Policy, now: datetime
) -> Decision:
    if isinstance(request, MalformedCancellation):
        return _refuse(order, request, request.reasons[0], now)
    if order is None:
        return _refuse(order, request, UNKNOWN_ORDER, now)
    if refusal := why_not_cancel(order, request.requested_by):
        return _refuse(order, request, refusal, now)
    if order.ended:
        return Decision()
    turn = Turn(order, policy, now)
    if order.ending is None:
        reason = Reason(path="", code="cancel_requested", message=request.reason)
        turn.turn_back(Ending(status="cancelled", reasons=(reason,), by=request.requested_by, requested=True))
    else:
        turn.remark = f"{request.requested_by}: {request.reason} (it is being undone already)"
        also = tuple(dict.fromkeys((*order.ending.also, request.requested_by)))[:MOST_ALSO]
        turn.order = order.but(ending=order.ending.model_copy(update={"also": also}))
    return _decision(turn, happening(now, request, turn.said, turn.remark))


def _refuse(
    order: Order | None, request: CancelOrder | MalformedCancellation, reason: Reason, now: datetime
) -> Decision:
    revision = order.revision if order is not None else 1
    refused = CancellationRefused(
        order_id=request.order_id, revision=revision, reason=reason, requested_by=request.requested_by
    )
    return _refused(order, refused, now)


def _refused(order: Order | None, said: PlacementRefused | CancellationRefused, now: datetime) -> Decision:
    """The order goes on as it was, and remembers what was refused: whoever asked over HTTP looks for it there."""
    if order is None:
        return Decision(messages=(said,))
    return Decision((order.changed(now, refused=Refusal.of(said, now)),), (said,))


# What a person decides.


def _repair(order: Order | None, request: Request, policy: Policy, now: datetime) -> Decision:
    if order is None:
        return Decision(messages=(repair_refused(request, 1, UNKNOWN_ORDER),))
    if any(known.id == request.repair_id for known in order.repairs):
        return Decision()
    turn = Turn(order, policy, now)
    repair(turn, request, now)
    return _decision(turn, happening(now, request, turn.said, turn.remark))


# The saga.


def _hear(order: Order | None, answer: SagaStep, policy: Policy, now: datetime) -> Decision:
    if order is None or (heard := definition_of(order).answers.get(type(answer))) is None:
        return Decision()
    turn = Turn(order, policy, now)
    turn.hear(*heard, answer)
    if turn.order is order:
        return Decision()
    return _decision(turn, happening(now, answer, turn.said, turn.remark))


def _ring(order: Order | None, policy: Policy, now: datetime) -> Decision:
    if order is None:
        return Decision()
    turn = Turn(order, policy, now)
    turn.ring()
    if turn.order is order:
        return Decision()
    ending = turn.order.ending
    detail = turn.remark if ending is None or ending is order.ending else ending.reasons[0].message
    return _decision(turn, deadline_passed(now, turn.said, detail) if detail else None)


def _decision(turn: Turn, latest: Happening | None) -> Decision:
    return Decision((turn.closed(latest),), tuple(turn.said))
