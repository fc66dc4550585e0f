"""What a person may decide about an order that does not go on by itself, and when that makes no sense."""

from datetime import datetime

from contracts.message import Reason
from contracts.order import (
    CompensateOrder,
    OrderRepairRefused,
    OrderTurnedBack,
    RetryStep,
    SkipStep,
    StepRetried,
    StepSkipped,
)

from order.commands import ALREADY_SHIPPED
from order.interpreter import Turn
from order.saga import definition_of, is_known
from order.state import COMPENSATED, Ending, Order, Repair, Task

Request = RetryStep | SkipStep | CompensateOrder

MOST_REPAIRS = 50
"""The most requests that an order remembers: what comes again under the name of one of them changes nothing."""


def why_not_turn_back(order: Order) -> Reason | None:
    """Why nobody can have an order undone any more, if that is so, as far as this version knows the order's saga."""
    if order.ended:
        return Reason(path="order_id", code=f"already_{order.status}", message=f"the order is {order.status} already")
    if order.ending is None and is_known(order) and order.stage >= definition_of(order).pivot:
        return ALREADY_SHIPPED
    return None


def why_not_repair(order: Order, request: Request) -> Reason | None:
    """Why a request does not fit what the order is, if it does not."""
    match request:
        case RetryStep(step=step):
            return None if _to_retry(order, step) else _nothing_waits(step)
        case SkipStep(step=step):
            return _why_not_skip(order, step)
        case CompensateOrder():
            return why_not_compensate(order)


def why_not_compensate(order: Order) -> Reason | None:
    """Why nobody needs to have an order turned back, or cannot, if that is so."""
    undoing = Reason(path="order_id", code="already_undoing", message="the order is being undone already")
    return why_not_turn_back(order) or (undoing if order.ending is not None else None)


def _why_not_skip(order: Order, step: str) -> Reason | None:
    tasks = _to_skip(order, step)
    if not tasks:
        return _nothing_waits(step)
    if is_skippable(order, tasks[0]):
        return None
    message = f"what follows is built on the answer to the step {step!r}: retry it, or compensate the order"
    return Reason(path="step", code="not_skippable", message=message)


def is_skippable(order: Order, task: Task) -> bool:
    """Whether a person may take it as done: an undo always, a command where it is known that nothing is built on its
    answer.
    """
    return task.state == "undoing" or (is_known(order) and definition_of(order).steps[task.step].skip is not None)


def repair(turn: Turn, request: Request, now: datetime) -> None:
    """Do what is asked for, or refuse it; a person's decision is on the log before what follows from it."""
    order = turn.order
    refusal = why_not_repair(order, request)
    done = Repair(
        id=request.repair_id,
        request=type(request).__name__,
        step=(not isinstance(request, CompensateOrder) and request.step) or "",
        by=request.requested_by,
        reason=request.reason,
        refusal=refusal,
        at=now,
    )
    turn.order = order.but(repairs=(*order.repairs[1 - MOST_REPAIRS :], done))
    turn.remark = f"{request.requested_by}: {request.reason}"
    if refusal is not None:
        turn.remark += f" (refused: {refusal.message})"
        turn.said.append(repair_refused(request, order.revision, refusal))
        return
    names = {
        **request.model_dump(include={"repair_id", "order_id", "reason", "requested_by"}),
        "revision": order.revision,
    }
    match request:
        case RetryStep(step=step):
            tasks = _to_retry(order, step)
            turn.said.append(StepRetried(**names, steps=tuple(dict.fromkeys(task.step for task in tasks))))
            for task in tasks:
                turn.hurry(task)
        case SkipStep(step=step):
            tasks = _to_skip(order, step)
            turn.said.append(StepSkipped(**names, step=step, is_undo=tasks[0].state == "undoing"))
            turn.skip(*tasks)
        case CompensateOrder():
            turn.said.append(OrderTurnedBack(**names))
            reason = Reason(path="", code=COMPENSATED, message=request.reason)
            turn.turn_back(Ending(status="cancelled", reasons=(reason,), by=request.requested_by, requested=True))


def repair_refused(request: Request, revision: int, refusal: Reason) -> OrderRepairRefused:
    return OrderRepairRefused(
        **request.model_dump(include={"repair_id", "order_id", "reason", "requested_by"}),
        revision=revision,
        request=type(request).__name__,
        refusal=refusal,
    )


def _to_retry(order: Order, step: str | None) -> tuple[Task, ...]:
    """What nobody answers, and what was told to wait: that the wait is over may be what never arrived."""
    unanswered = order.unanswered(step)
    # What waits for its turn to be undone has no deadline.
    waiting = [task for task in order.tasks if task.state == "waiting" and task.deadline and step in {None, task.step}]
    return (*unanswered, *waiting)


def _to_skip(order: Order, step: str) -> tuple[Task, ...]:
    """The undos of a step that nobody answers; if there are none, its commands."""
    waiting = order.unanswered(step)
    return tuple(task for task in waiting if task.state == "undoing") or waiting


def _nothing_waits(step: str | None) -> Reason:
    what = "no step" if step is None else f"no step {step!r}"
    return Reason(path="step", code="nothing_waits", message=f"{what} waits for an answer")
