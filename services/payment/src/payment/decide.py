"""How a payment moves: a command says what is wanted, an answer says what is true, and `_proceed` goes from the one to
the other, one call at a time.
"""

from collections.abc import Iterable
from datetime import datetime

from chassis.backoff import Backoff, at_once
from chassis.decision import CallAnswered, Decision, Documents, Input, Unknown, id_of
from chassis.service import Decide
from contracts.message import Currency, Message
from contracts.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    VoidPayment,
)

from payment.state import (
    Accepted,
    Capture,
    Declined,
    Operation,
    Payment,
    PaymentCall,
    State,
    Wanted,
    payment_id,
)

Command = AuthorizePayment | CapturePayment | VoidPayment
Result = tuple[Payment, tuple[Message, ...]]
"""The payment as it is now, and what is said about it."""

UNDER_WAY: dict[Operation, State] = {
    "authorize": "authorizing",
    "capture": "capturing",
    "void": "voiding",
    "refund": "refunding",
}

VOIDED = Declined(code="voided", message="the authorization was undone")
SUPERSEDED = Declined(code="superseded", message="a later attempt took the place of this one")
NOT_UNDONE = Declined(code="not_undone", message="an earlier attempt at this payment has not been undone")
NOT_AUTHORIZED = Declined(code="not_authorized", message="no authorization holds the money")
TOO_MUCH = Declined(code="exceeds_authorization", message="less than this was authorized")
NOTHING_DUE = "nothing-due"
"""Stands for the provider's reference where there was nothing to ask it for."""


def needs(message: Input, _: Documents) -> Iterable[str]:
    match message:
        case CallAnswered(document=key):
            return (key,)
        case AuthorizePayment() | CapturePayment() | VoidPayment():
            return (Payment.key_of(payment_id(message.order_id, message.revision)),)
        case _:
            return ()


def decider(backoff: Backoff) -> Decide:
    """`decide` with this way to ask the provider again."""

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        match message:
            case CallAnswered(document=key):
                before = documents.get(Payment, id_of(key))
                if before is None:
                    return Decision()
                payment, said = _hear(before, message, backoff, now)
            case AuthorizePayment() | CapturePayment() | VoidPayment():
                known = documents.get(Payment, payment_id(message.order_id, message.revision))
                before = known or Payment.blank(message, now)
                payment, said = _obey(before, message, now)
                if message.at_once and not said:
                    calls, failing = at_once(payment.calls, payment.failing, now)
                    payment = payment.but(calls=calls, failing=failing)
            case _:
                return Decision()
        payment, more = _proceed(payment)
        if payment.state != before.state:
            payment = payment.but(since=now)
        return Decision((payment,) if payment != before else (), said + more)

    return decide


# What is wanted.


def _obey(payment: Payment, command: Command, now: datetime) -> Result:
    match command:
        case AuthorizePayment():
            return _authorize(payment, command)
        case CapturePayment():
            return _capture(payment, command)
        case VoidPayment():
            return _void(payment, command, now)


def _authorize(payment: Payment, command: AuthorizePayment) -> Result:
    if command.attempt <= payment.voided:
        return payment, _declined(payment, command.attempt, VOIDED)
    if command.attempt == payment.attempt:
        return payment, _outcome(payment)
    if command.attempt < payment.attempt:
        return payment, _declined(payment, command.attempt, SUPERSEDED)
    if payment.next is not None and payment.next.attempt == command.attempt:
        return payment, ()
    if payment.next is None and (payment.unwanted or payment.state == "declined"):
        return payment.but(next=Wanted.of(command)), ()
    return payment, _declined(payment, command.attempt, NOT_UNDONE)


def _outcome(payment: Payment) -> tuple[Message, ...]:
    """What became of the authorization, said again to whoever asks again."""
    if payment.declined is not None:
        return _declined(payment, payment.attempt, payment.declined)
    return _authorized(payment) if payment.authorization_id else ()


def _capture(payment: Payment, command: CapturePayment) -> Result:
    """One authorization is captured once, however often and under how many attempts that is asked for."""
    capture = payment.capture
    if payment.unwanted:
        return payment, _declined(payment, command.attempt, VOIDED if payment.voided else NOT_AUTHORIZED)
    if payment.declined is not None or not payment.authorization_id:
        return payment, _declined(payment, command.attempt, payment.declined or NOT_AUTHORIZED)
    if capture is None and command.amount > payment.held:
        return payment, _declined(payment, command.attempt, TOO_MUCH)
    if capture is None:
        return payment.but(capture=Capture(amount=command.amount, waiting=(command.attempt,))), ()
    if capture.capture_id:
        return payment, (_captured(payment, command.attempt, capture),)
    waiting = tuple(sorted({*capture.waiting, command.attempt}))
    return payment.but(capture=capture.model_copy(update={"waiting": waiting})), ()


def _void(payment: Payment, command: VoidPayment, now: datetime) -> Result:
    """Undo this attempt and any before it; it is answered when nothing is held, which for an old one is so already."""
    if command.attempt < payment.attempt:
        return payment, (PaymentVoided(**payment.names(command.attempt)),)
    voided = max(payment.voided, command.attempt)
    waits = payment.next if payment.next is not None and payment.next.attempt > voided else None
    undoing = payment.but(voided=voided, voids=tuple(sorted({*payment.voids, command.attempt})), next=waits)
    return _void_first(undoing, now), ()


def _void_first(payment: Payment, now: datetime) -> Payment:
    """Void before the next round of a refused capture: the money is still held, and need not be taken to be given back.

    The round may be asked for all the same, just now or by an owner whose clock is ahead. If it comes second, it finds
    nothing held; if it came first, the void is refused, and the round's outcome is learned.
    """
    for call in payment.calls:
        if call.operation == "capture" and call.tries == 0 and call.not_before is not None and call.not_before > now:
            return payment.but(state="authorized", calls=(), failing=None, put_off=call)
    return payment


# What is true.


def _hear(payment: Payment, answered: CallAnswered, backoff: Backoff, now: datetime) -> Result:
    call = next((call for call in payment.calls if call.id == answered.call.id), None)
    if call is None:
        return payment, ()
    match answered.answer:
        case Accepted(reference=reference):
            return _accepted(payment.but(calls=(), failing=None), call, reference)
        case Declined() as declined if call.operation == "authorize":
            done = payment.but(calls=(), failing=None, state="declined", declined=declined)
            return done, () if payment.unwanted else _declined(payment, payment.attempt, declined)
        case Declined() if call.operation == "capture" and payment.unwanted:
            # It was refused, so the money is still held, and voiding it is cheaper than taking it and giving it back.
            return payment.but(calls=(), failing=None, state="authorized"), ()
        case Declined(code=code, message=message):
            return _later(*_next_round(payment, call), f"{code}: {message}", backoff, now), ()
        case unknown:
            why = unknown.reason if isinstance(unknown, Unknown) else f"no answer is made of {type(unknown).__name__}"
            return _later(payment, call.same_again, why, backoff, now), ()


def _next_round(payment: Payment, call: PaymentCall) -> tuple[Payment, PaymentCall]:
    """What is asked for after a refusal: the same, unless a void may be refused for a capture that nobody heard of."""
    if payment.put_off is None:
        return payment, call.anew
    return payment.but(state="capturing", put_off=None), payment.put_off.same_again


def _later(payment: Payment, call: PaymentCall, why: str, backoff: Backoff, now: datetime) -> Payment:
    """Ask again after a while. There is no last time: money is neither forgotten nor kept."""
    waiting, failing = backoff.later(call, payment.failing, why, now)
    return payment.but(calls=(waiting,), failing=failing)


def _accepted(payment: Payment, call: PaymentCall, reference: str) -> Result:
    match call.operation:
        case "authorize":
            held = payment.but(state="authorized", authorization_id=reference, held=call.amount)
            return held, () if payment.unwanted else _authorized(held)
        case "void" if payment.unwanted:
            said = tuple(word for attempt in payment.waiting for word in _declined(payment, attempt, VOIDED))
            return payment.but(state="voided", held=0, capture=None, put_off=None), said
        case "capture" | "void":
            # To let go of everything is how nothing of it is taken.
            amount = call.amount if call.operation == "capture" else 0
            capture = Capture(amount=amount, waiting=(), capture_id=reference)
            taken = payment.but(state="captured", held=0, captured=payment.captured + amount, capture=capture)
            return taken, tuple(_captured(taken, attempt, capture) for attempt in payment.waiting)
        case "refund":
            undone = payment.but(state="voided", refunded=payment.refunded + call.amount)
            return undone, (_refunded(undone, call.amount, reference),)


# From what is true to what is wanted.


def _proceed(payment: Payment) -> Result:
    """Take every step that needs no call, then make the call that comes next, if any."""
    said: tuple[Message, ...] = ()
    while not payment.calls:
        more: tuple[Message, ...] = ()
        owed = payment.captured - payment.refunded
        takes_nothing = payment.capture is not None and payment.capture.amount == 0
        if payment.state == "authorized" and (payment.unwanted or takes_nothing):
            payment, more = _ask(payment, "void", f"{payment.call_prefix}/void", payment.held)
        elif payment.state == "authorized" and payment.capture is not None:
            payment, more = _ask(payment, "capture", f"{payment.call_prefix}/capture", payment.capture.amount)
        elif payment.unwanted and owed:
            payment, more = _ask(payment, "refund", f"{payment.call_prefix}/undo", owed)
        elif payment.voids:
            more = tuple(PaymentVoided(**payment.names(attempt)) for attempt in payment.voids)
            payment = payment.but(state="voided", voids=())
        elif payment.next is not None:
            payment, more = _begin(payment, payment.next)
        else:
            break
        said += more
    return payment, said


def _begin(payment: Payment, wanted: Wanted) -> Result:
    begun = payment.but(
        attempt=wanted.attempt,
        amount=wanted.amount,
        currency=wanted.currency,
        authorization_id="",
        declined=None,
        capture=None,
        next=None,
    )
    return _ask(begun, "authorize", f"{begun.call_prefix}/authorize", begun.amount, payment_token=wanted.payment_token)


def _ask(payment: Payment, operation: Operation, id_: str, amount: int, payment_token: str = "") -> Result:
    """Call the provider, unless it is about no money: providers refuse an amount of zero, and nothing is to be done."""
    call = PaymentCall(
        id=id_,
        operation=operation,
        amount=amount,
        currency=payment.currency,
        payment_token=payment_token,
        authorization_id=payment.authorization_id,
    )
    if amount == 0:
        return _accepted(payment, call, NOTHING_DUE)
    return payment.but(state=UNDER_WAY[operation], calls=(call,)), ()


# What is said.


def _declined(payment: Payment, attempt: int, why: Declined) -> tuple[Message, ...]:
    return (PaymentDeclined(**payment.names(attempt), code=why.code, message=why.message),)


def _authorized(payment: Payment) -> tuple[Message, ...]:
    return (
        PaymentAuthorized(
            **payment.names(payment.attempt),
            amount=payment.amount,
            currency=Currency(payment.currency),
            authorization_id=payment.authorization_id,
        ),
    )


def _captured(payment: Payment, attempt: int, capture: Capture) -> Message:
    return PaymentCaptured(
        **payment.names(attempt),
        amount=capture.amount,
        currency=Currency(payment.currency),
        capture_id=capture.capture_id,
    )


def _refunded(payment: Payment, amount: int, reference: str) -> Message:
    return PaymentRefunded(
        **payment.names(payment.attempt),
        amount=amount,
        currency=Currency(payment.currency),
        refund_id=reference,
    )
