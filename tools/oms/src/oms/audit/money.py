"""For every order, what was captured and not given back is what is owed: the total of a completed order, else nothing.

And an order is captured at most once, and nothing stays held for one that came to its end. Where a person took a
step of the payment as done, or as undone, what is owed is for people to know.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from contracts.order import OrderCompleted, OrderValidated
from contracts.payment import PaymentAuthorized, PaymentCaptured, PaymentRefunded, PaymentVoided

from oms.audit.finding import Finding
from oms.history.logged import Ending, History, Logged

M = TypeVar("M", PaymentCaptured, PaymentRefunded)
STEPS_OF_PAYMENT = frozenset({"authorize", "capture"})


def money(history: History) -> Iterator[Finding]:
    """What is wrong with the money of one order."""
    captures, refunds = captured(history), refunded(history)
    for logged, message in captures[1:]:
        yield _finding(history, logged, f"captures {message.amount} from an order that was captured before")
    given_back = 0
    for logged, refund in refunds:
        given_back += refund.amount
        if given_back > sum(capture.amount for _, capture in captures):
            yield _finding(history, logged, f"brings to {given_back} what is given back of less that was captured")
            break
    for revision, (logged, ending) in history.endings().items():
        yield from _at_the_end(history, revision, logged, ending)


def captured(history: History) -> list[tuple[Logged, PaymentCaptured]]:
    """The captures, each once: whoever asks again is told again, under the provider's same name for it."""
    return _each_once([*history.of(PaymentCaptured)], lambda message: message.capture_id)


def refunded(history: History) -> list[tuple[Logged, PaymentRefunded]]:
    """The refunds, each once."""
    return _each_once([*history.of(PaymentRefunded)], lambda message: message.refund_id)


def _each_once(told: list[tuple[Logged, M]], name_of: Callable[[M], str]) -> list[tuple[Logged, M]]:
    """What moved, as it was told first. Where one version names it and another does not, the attempt is the same."""
    names = {(m.revision, m.attempt): name_of(m) for _, m in reversed(told) if name_of(m)}
    each: dict[object, tuple[Logged, M]] = {}
    for logged, message in told:
        attempt = (message.revision, message.attempt)
        each.setdefault(name_of(message) or names.get(attempt, attempt), (logged, message))
    return list(each.values())


def _at_the_end(history: History, revision: int, end: Logged, ending: Ending) -> Iterator[Finding]:
    if history.skipped(revision) & STEPS_OF_PAYMENT:
        return
    captures = [message for _, message in captured(history) if message.revision == revision]
    taken = sum(message.amount for message in captures)
    returned = sum(message.amount for _, message in refunded(history) if message.revision == revision)
    owed = 0
    if isinstance(ending, OrderCompleted):
        owed = next((m.total for _, m in history.of(OrderValidated) if m.revision == revision), 0)
        if ending.captured != owed:
            yield _finding(history, end, f"says that {ending.captured} were captured, but the total is {owed}")
    if taken - returned != owed:
        yield _finding(history, end, f"ends an order that owes {owed}, but {taken} - {returned} were taken")
    if not captures:
        yield from _held(history, revision)


def _held(history: History, revision: int) -> Iterator[Finding]:
    """What was authorized for a placing that has ended, and was neither captured nor voided."""
    voided = max((m.attempt for _, m in history.of(PaymentVoided) if m.revision == revision), default=0)
    for logged, message in history.of(PaymentAuthorized):
        if message.revision == revision and message.attempt > voided:
            yield _finding(history, logged, f"holds {message.amount} for an order that has ended")


def _finding(history: History, logged: Logged, what: str) -> Finding:
    return Finding("money", logged.place, history.order_id, f"the message here {what}")
