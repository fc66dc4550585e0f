"""Versions of services that serve side by side, as in a rolling upgrade: of order an old and a new saga, of payment an
old and a new message. They differ by no more than what `docs/operating.md` allows to be mixed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import contracts.payment
import order.decide
from chassis.decision import Decision, Documents, Input
from chassis.service import Decide, Service
from contracts.message import Amount, Currency, Message, SagaStep
from contracts.order import OrderCompleted, OrderValidated
from contracts.topics import TOPIC_OF
from order.definition import Definition
from order.saga import DEFINITIONS, FIRST
from order.state import Order

from oms.audit.finding import Finding
from oms.history.logged import History
from oms.simulate.plan import Roll
from oms.simulate.shop import POLICY, SERVICES

NEXT = 2
"""The number of the saga's next definition."""
*BEFORE, LAST = FIRST.stages
CAPTURE, ISSUE = (replace(LAST, steps=(step,)) for step in LAST.steps)
SECOND = Definition((*BEFORE, replace(CAPTURE, then=lambda _: ()), ISSUE))
"""It has one stage more: stock is issued once the money is there."""


class PaymentCaptured(SagaStep):
    """The money is ours; how the provider names this movement of it was not said at first."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""


def _as_before(decide: Decide) -> Decide:
    """How the payment service decided when it did not name captures yet."""

    def decide_as_before(documents: Documents, message: Input, now: datetime) -> Decision:
        decision = decide(documents, message, now)
        return Decision(decision.documents, tuple(map(_nameless, decision.messages)))

    return decide_as_before


def _nameless(message: Message) -> Message:
    if isinstance(message, contracts.payment.PaymentCaptured):
        return PaymentCaptured.model_validate(message.model_dump(exclude={"capture_id"}))
    return message


ORDER, PAYMENT = SERVICES["order"], SERVICES["payment"]
VERSIONS: dict[str, dict[object, Service]] = {
    "order": {
        Roll.OLD: ORDER,
        Roll.NEW: replace(ORDER, decide=order.decide.decider(replace(POLICY, definition=NEXT))),
    },
    "payment": {
        Roll.OLD: replace(PAYMENT, decide=_as_before(PAYMENT.decide)),
        Roll.NEW: PAYMENT,
    },
}
"""Of each service that has two. Both of order know both definitions: they are told which one new orders begin with."""


@contextmanager
def all_known() -> Iterator[None]:
    """Have both versions in one process, where in reality each has its own."""
    DEFINITIONS[NEXT] = SECOND
    TOPIC_OF[PaymentCaptured] = TOPIC_OF[contracts.payment.PaymentCaptured]
    try:
        yield
    finally:
        del DEFINITIONS[NEXT], TOPIC_OF[PaymentCaptured]


def check_definition(history: History, document: Order) -> Iterator[Finding]:
    """What an order went through other than the definition that its revision began with: it stays with that to its end.

    Nothing of this is asked of `decide`, which may be mistaken about it.
    """
    validated = [message for _, message in history.of(OrderValidated) if message.revision == document.revision]
    began = {message.definition for message in validated}
    if not began:
        return
    if began != {document.definition}:
        said = f"it is on the definition {document.definition}, but began with {began}"
        yield Finding("endings", f"order/{document.key}", document.id, said)
        return
    last = len(DEFINITIONS[document.definition].stages) - 1
    is_complete = any(history.of(OrderCompleted))
    if document.stage > last or (is_complete and document.stage != last):
        said = f"it is at stage {document.stage}, but its definition {document.definition} ends with stage {last}"
        yield Finding("endings", f"order/{document.key}", document.id, said)
