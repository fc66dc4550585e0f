"""Whatever is asked in whatever order, and whatever gets lost on the way, no money is doubled, forgotten or kept."""

from datetime import timedelta
from typing import Any, ClassVar

from chassis.backoff import Backoff
from chassis.decision import Call, CallAnswered, Unknown
from chassis.testing.stage import Rehearsal
from contracts.message import Message
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
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from payment.decide import decider, needs
from payment.state import Accepted, Declined, Payment, PaymentCall

ATTEMPTS = st.integers(1, 3)
AMOUNTS = st.sampled_from([0, 1, 40, 100])
LONGEST = timedelta(seconds=60)
"""Between two requests for the same."""


class Bank:
    """A strict provider with a memory: it refuses to be asked for what makes no sense, and never does a thing twice."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        """What is held, by authorization."""
        self.captured: dict[str, int] = {}
        self.refunded: dict[str, int] = {}
        self.voided: set[str] = set()
        self.unheard: set[str] = set()
        """The authorizations of which somebody was told something that is not known to who goes on."""
        self._done: dict[str, tuple[dict[str, Any], Accepted | Declined]] = {}

    def ask(self, call: PaymentCall, willing: bool, heard: bool = True) -> Accepted | Declined:
        assert call.amount > 0, "the bank is asked for nothing"
        if not heard:
            self.unheard.add(call.authorization_id)
        request = call.model_dump(exclude={"id", "tries", "not_before"})
        if call.id in self._done:
            before, answer = self._done[call.id]
            assert request == before, "one key was used for two requests"
            return answer
        answer = self._do(call) if willing else Declined(code="no", message="the bank says no")
        self._done[call.id] = request, answer
        return answer

    def _do(self, call: PaymentCall) -> Accepted | Declined:
        authorization = call.authorization_id
        match call.operation:
            case "authorize":
                assert not self.held, "money is held twice"
                authorization = f"auth-{call.id}"
                self.held[authorization] = call.amount
                return Accepted(reference=authorization)
            case "capture" | "void" if authorization in self.voided | self.captured.keys():
                assert authorization in self.unheard
                return Declined(code="gone", message="it is not held any more")
            case "capture":
                assert call.amount <= self.held.pop(authorization)
                self.captured[authorization] = call.amount
            case "void":
                del self.held[authorization]
                self.voided.add(authorization)
            case "refund":
                self.refunded[authorization] = self.refunded.get(authorization, 0) + call.amount
                assert self.refunded[authorization] <= self.captured[authorization]
        return Accepted(reference=f"ref-{call.id}")


class Histories(RuleBasedStateMachine):
    NAMES: ClassVar[dict[str, Any]] = {"order_id": "web:1001", "revision": 1}

    def __init__(self) -> None:
        super().__init__()
        self.stage = Rehearsal(needs, decider(Backoff(timedelta(seconds=1), LONGEST)))
        self.bank = Bank()
        self.answered: list[CallAnswered] = []
        self.put_off: dict[str, PaymentCall] = {}
        """Rounds of a capture that were not due when a void came: none is asked for, unless the void is refused."""
        self.voids_asked: set[int] = set()
        self.voids_said: set[int] = set()
        self.captures_asked: set[int] = set()
        self.captures_answered: set[int] = set()
        self.taken: dict[str, int] = {}
        self.given: dict[str, int] = {}

    @property
    def payment(self) -> Payment | None:
        return self.stage.get(Payment, "web:1001/1")

    @property
    def call(self) -> PaymentCall | None:
        return self.payment.calls[0] if self.payment is not None and self.payment.calls else None

    def hear(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            match message:
                case PaymentVoided(attempt=attempt):
                    self.voids_said.add(attempt)
                    assert attempt in self.voids_asked
                    self.check_nothing_is_left_of(attempt)
                case PaymentAuthorized(attempt=attempt, amount=amount, authorization_id=authorization):
                    assert attempt not in self.voids_said
                    assert authorization == (f"auth-web:1001/1/{attempt}/authorize" if amount else "nothing-due")
                case PaymentCaptured(attempt=attempt, amount=amount, capture_id=reference):
                    self.captures_answered.add(attempt)
                    assert self.taken.setdefault(reference, amount) == amount
                case PaymentRefunded(amount=amount, refund_id=reference):
                    assert self.given.setdefault(reference, amount) == amount
                case _:
                    assert isinstance(message, PaymentDeclined)
                    self.captures_answered.add(message.attempt)

    def check_nothing_is_left_of(self, voided: int) -> None:
        """When a void is answered, the provider holds nothing of that attempt or those before, and kept nothing."""
        for attempt in range(1, voided + 1):
            authorization = f"auth-web:1001/1/{attempt}/authorize"
            assert authorization not in self.bank.held
            assert self.bank.captured.get(authorization, 0) == self.bank.refunded.get(authorization, 0)

    @initialize(steps=st.integers(0, 3))
    def begin(self, steps: int) -> None:
        """Start anywhere along the happy path, since random commands seldom get far."""
        if steps > 0:
            self.authorize(1, 100)
            self.finish()
        if steps > 1:
            self.capture(1, 100, at_once=False)
            self.answer(willing=False)
        if steps > 2:
            self.finish()

    # What comes from the saga, in any order and any number of times.

    @rule(attempt=ATTEMPTS, amount=AMOUNTS)
    def authorize(self, attempt: int, amount: int) -> None:
        fields = {**self.NAMES, "attempt": attempt, "amount": amount, "currency": "EUR", "payment_token": "tok"}
        self.hear(self.stage.take(AuthorizePayment.model_validate(fields)))

    @rule(attempt=ATTEMPTS, amount=AMOUNTS, at_once=st.booleans())
    def capture(self, attempt: int, amount: int, at_once: bool) -> None:
        self.captures_asked.add(attempt)
        self.captures_answered.discard(attempt)
        self.hear(self.stage.take(CapturePayment(**self.NAMES, attempt=attempt, amount=amount, at_once=at_once)))

    @rule(attempt=ATTEMPTS, at_once=st.booleans())
    def void(self, attempt: int, at_once: bool) -> None:
        call, payment = self.call, self.payment
        self.voids_asked.add(attempt)
        self.voids_said.discard(attempt)
        self.hear(self.stage.take(VoidPayment(**self.NAMES, attempt=attempt, at_once=at_once)))
        if call is None or payment is None or call.operation != "capture" or attempt < payment.attempt:
            return
        if call.tries == 0 and call.not_before is not None and call.not_before > self.stage.now:
            self.put_off[call.id] = call

    @rule()
    def time_passes(self) -> None:
        """Whatever is to be asked again is due now."""
        self.stage.advance(LONGEST)

    # What comes from the provider, or gets lost on the way there or back.

    @precondition(lambda self: self.call is not None)
    @rule(willing=st.booleans())
    def answer(self, willing: bool) -> None:
        self._answer(*self._ask(willing))

    @precondition(lambda self: self.call is not None)
    @rule(done=st.booleans(), willing=st.booleans())
    def lose_the_answer(self, done: bool, willing: bool) -> None:
        assert self.call is not None
        if done:
            self._ask(willing)
        self._answer(self.call, Unknown("lost"))

    @precondition(lambda self: self.call is not None)
    @rule(willing=st.booleans())
    def crash_before_the_answer_is_journaled(self, willing: bool) -> None:
        """The call will be made again as it was; the document is read back from where it is stored."""
        self._ask(willing, heard=False)
        self.stage.documents = {
            key: Payment.model_validate_json(document.model_dump_json())
            for key, document in self.stage.documents.items()
        }

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def hear_an_old_answer_again(self, data: st.DataObject) -> None:
        """An answer to a call that is no longer pending changes nothing."""
        echo = data.draw(st.sampled_from(self.answered))
        if self.call is None or echo.call.id != self.call.id:
            before = self.payment
            assert self.stage.take(echo) == ()
            assert self.payment == before

    @precondition(lambda self: self.put_off)
    @rule(willing=st.booleans())
    def an_earlier_owner_asks_for_what_was_put_off(self, willing: bool) -> None:
        """Its clock is ahead; what it hears is not heard by anybody else."""
        _, call = self.put_off.popitem()
        self.bank.ask(call, willing, heard=False)

    def _ask(self, willing: bool, heard: bool = True) -> tuple[PaymentCall, Accepted | Declined]:
        """The call that is under way, and what the provider says to it."""
        call = self.call
        assert call is not None
        assert call.id not in self.put_off, "money is taken only to be given back"
        answer = self.bank.ask(call, willing, heard)
        if call.operation == "void" and isinstance(answer, Declined):
            self.put_off.clear()
        return call, answer

    def _answer(self, call: Call, answer: object) -> None:
        answered = CallAnswered("payments/web:1001/1", call, answer)
        self.answered.append(answered)
        self.hear(self.stage.take(answered))

    # What must always hold.

    @invariant()
    def the_books_agree(self) -> None:
        """What the document says is what the provider did, but for the one call whose outcome is not yet known."""
        payment = self.payment
        if payment is None:
            assert not self.bank.held
            return
        assert Payment.model_validate_json(payment.model_dump_json()) == payment
        assert sum(self.taken.values()) == payment.captured
        assert sum(self.given.values()) == payment.refunded
        assert 0 <= payment.refunded <= payment.captured
        if not payment.calls:
            assert sum(self.bank.held.values()) == payment.held
            assert sum(self.bank.captured.values()) == payment.captured
            assert sum(self.bank.refunded.values()) == payment.refunded

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        """Without a call under way, everything that was wanted is done."""
        payment = self.payment
        if payment is not None and not payment.calls:
            assert payment.failing is None
            assert payment.next is None
            assert payment.voids == ()
            assert not payment.unwanted or payment.state == "voided"
            assert self.voids_asked == self.voids_said
            assert self.captures_asked <= self.captures_answered

    def teardown(self) -> None:
        """Once the provider does what it is asked, everything comes to an end."""
        self.finish()
        self.the_books_agree()
        self.nothing_waits_for_nothing()

    def finish(self) -> None:
        for _ in range(20):
            if self.call is None:
                break
            self._answer(*self._ask(willing=True))
        assert self.call is None


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
