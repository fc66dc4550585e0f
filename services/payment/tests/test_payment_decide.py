"""What the payment service answers, and what it asks its provider, message by message."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from chassis.backoff import Backoff
from chassis.decision import AlarmRang, Call, CallAnswered, Unknown
from chassis.testing.stage import NOON, Rehearsal
from contracts.message import Message, StepOutside
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
from payment.decide import decider, needs
from payment.state import Accepted, Declined, Payment, PaymentCall

FIRST, LONGEST = timedelta(seconds=1), timedelta(seconds=60)
TOKEN = "tok_ok"  # noqa: S105 - a token of the simulator
REFUSED = Declined(code="try_again_later", message="not now")


def names(attempt: int = 1) -> dict[str, Any]:
    return {"order_id": "web:1001", "revision": 1, "attempt": attempt}


def authorize(attempt: int = 1, amount: int = 500) -> AuthorizePayment:
    return AuthorizePayment.model_validate(
        {**names(attempt), "amount": amount, "currency": "EUR", "payment_token": TOKEN}
    )


def capture(attempt: int = 1, amount: int = 500) -> CapturePayment:
    return CapturePayment(**names(attempt), amount=amount)


def void(attempt: int = 1) -> VoidPayment:
    return VoidPayment(**names(attempt))


def accept(call: Call) -> Accepted:
    return Accepted(reference=f"ref-{call.id}")


def decline(_: Call) -> Declined:
    return Declined(code="insufficient_funds", message="not enough money")


def refuse(_: Call) -> Declined:
    return REFUSED


def lose(_: Call) -> Unknown:
    return Unknown("no answer")


class Stage(Rehearsal):
    def __init__(self) -> None:
        super().__init__(needs, decider(Backoff(FIRST, LONGEST)))

    @property
    def payment(self) -> Payment:
        payment = self.get(Payment, "web:1001/1")
        assert payment is not None
        return payment

    @property
    def call(self) -> PaymentCall:
        (call,) = self.payment.calls
        return call

    @property
    def state(self) -> str:
        return self.payment.state

    @property
    def asked(self) -> str:
        return self.call.operation

    @property
    def money(self) -> tuple[int, int, int]:
        return self.payment.held, self.payment.captured, self.payment.refunded

    def authorized(self) -> "Stage":
        self.take(authorize())
        self.answer(accept)
        return self

    def captured(self) -> "Stage":
        self.authorized().take(capture())
        self.answer(accept)
        return self


@pytest.fixture
def stage() -> Stage:
    return Stage()


def said(model: type[Message], attempt: int = 1, **fields: object) -> Message:
    return model.model_validate({**names(attempt), **fields})


AUTHORIZED = said(PaymentAuthorized, amount=500, currency="EUR", authorization_id="ref-web:1001/1/1/authorize")
CAPTURED = said(PaymentCaptured, amount=500, currency="EUR", capture_id="ref-web:1001/1/1/capture")


def declined(code: str, attempt: int = 1) -> Mapping[str, object]:
    return {**names(attempt), "code": code}


def kinds(messages: tuple[Message, ...]) -> list[type[Message]]:
    return [type(message) for message in messages]


def code_of(messages: tuple[Message, ...]) -> Mapping[str, object]:
    (message,) = messages
    assert isinstance(message, PaymentDeclined)
    return message.model_dump(exclude={"message"})


# Authorizing.


def test_asks_the_provider_to_hold_the_money(stage: Stage) -> None:
    assert stage.take(authorize()) == ()
    assert stage.state == "authorizing"
    assert stage.call == PaymentCall(
        id="web:1001/1/1/authorize", operation="authorize", amount=500, currency="EUR", payment_token=TOKEN
    )


def test_says_that_the_money_is_held(stage: Stage) -> None:
    stage.take(authorize())
    assert stage.answer(accept) == (AUTHORIZED,)
    assert stage.state == "authorized"
    assert stage.money == (500, 0, 0)
    assert stage.calls == ()


def test_forgets_the_token_once_the_provider_has_answered(stage: Stage) -> None:
    stage.authorized()
    assert TOKEN not in stage.payment.model_dump_json()


def test_says_why_the_provider_declines(stage: Stage) -> None:
    stage.take(authorize())
    assert code_of(stage.answer(decline)) == declined("insufficient_funds")
    assert stage.state == "declined"
    assert stage.money == (0, 0, 0)


def test_asks_again_with_the_same_key_when_the_outcome_is_unknown(stage: Stage) -> None:
    stage.take(authorize())
    before = stage.call
    assert stage.answer(lose) == ()
    assert stage.call == before.model_copy(update={"tries": 1, "not_before": NOON + FIRST})
    assert stage.answer(accept) == (AUTHORIZED,)


def test_waits_twice_as_long_after_each_failure_up_to_the_longest(stage: Stage) -> None:
    stage.take(authorize())
    waits = []
    for _ in range(9):
        stage.answer(lose)
        assert stage.call.not_before is not None
        waits.append((stage.call.not_before - stage.now).total_seconds())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_answer_that_is_none_is_an_unknown_outcome(stage: Stage) -> None:
    stage.take(authorize())
    assert stage.answer(lambda _: {"status": "ok"}) == ()
    assert stage.call.tries == 1


def test_reports_since_when_and_why_the_provider_fails(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(lose)
    stage.advance(timedelta(minutes=5))
    stage.answer(lose)
    failing = stage.payment.failing
    assert failing is not None
    assert (failing.since, failing.times, failing.why) == (NOON, 2, "no answer")
    stage.answer(accept)
    assert stage.payment.failing is None


def test_repeats_the_outcome_to_whoever_asks_again(stage: Stage) -> None:
    stage.take(authorize())
    assert stage.take(authorize()) == ()
    stage.answer(accept)
    assert stage.take(authorize(amount=9)) == (AUTHORIZED,)
    assert stage.calls == ()


def test_repeats_why_it_was_declined(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(decline)
    assert code_of(stage.take(authorize())) == declined("insufficient_funds")


def test_a_second_answer_to_the_same_call_changes_nothing(stage: Stage) -> None:
    stage.take(authorize())
    answered = CallAnswered(stage.payment.key, stage.call, accept(stage.call))
    assert stage.take(answered) == (AUTHORIZED,)
    before = stage.payment
    assert stage.take(answered) == ()
    assert stage.payment == before


def test_an_answer_for_a_payment_that_nobody_knows_changes_nothing(stage: Stage) -> None:
    call = PaymentCall(id="x", operation="void", amount=1, currency="EUR")
    assert stage.take(CallAnswered("payments/web:9/1", call, accept(call))) == ()
    assert stage.take(AlarmRang("payments/web:9/1")) == ()
    assert stage.documents == {}


# Attempts.


def test_a_new_attempt_begins_after_a_decline(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(decline)
    stage.take(authorize(2))
    assert stage.call.id == "web:1001/1/2/authorize"
    assert stage.answer(accept)[0].model_dump(include={"attempt"}) == {"attempt": 2}


def test_a_new_attempt_begins_after_a_void(stage: Stage) -> None:
    stage.authorized().take(void())
    stage.answer(accept)
    stage.take(authorize(2))
    stage.answer(accept)
    assert stage.state == "authorized"
    assert stage.payment.attempt == 2


def test_a_new_attempt_waits_until_the_one_before_is_undone(stage: Stage) -> None:
    stage.authorized().take(void())
    assert stage.take(authorize(2), authorize(2)) == ()
    assert stage.asked == "void"
    assert stage.answer(accept) == (said(PaymentVoided),)
    assert stage.call.id == "web:1001/1/2/authorize"


def test_a_new_attempt_that_waits_is_dropped_when_it_is_voided_too(stage: Stage) -> None:
    stage.authorized().take(void(), authorize(2), void(2))
    assert stage.answer(accept) == (said(PaymentVoided), said(PaymentVoided, 2))
    assert stage.calls == ()


@pytest.mark.parametrize("reached", [Stage.authorized, Stage.captured])
def test_never_holds_the_money_twice_for_one_order(stage: Stage, reached: Callable[[Stage], Stage]) -> None:
    reached(stage)
    assert code_of(stage.take(authorize(2))) == declined("not_undone", 2)
    assert stage.calls == ()


def test_an_earlier_attempt_is_superseded(stage: Stage) -> None:
    stage.take(authorize(2))
    assert code_of(stage.take(authorize(1))) == declined("superseded")


# Voiding.


def test_gives_up_what_is_held(stage: Stage) -> None:
    stage.authorized()
    assert stage.take(void()) == ()
    assert stage.call.id == "web:1001/1/1/void"
    assert stage.call.authorization_id == "ref-web:1001/1/1/authorize"
    assert stage.money == (500, 0, 0)
    assert stage.answer(accept) == (said(PaymentVoided),)
    assert stage.money == (0, 0, 0)
    assert stage.state == "voided"


def test_a_void_that_overtakes_its_authorization_leaves_a_tombstone(stage: Stage) -> None:
    assert stage.take(void()) == (said(PaymentVoided),)
    assert code_of(stage.take(authorize())) == declined("voided")
    assert stage.calls == ()


def test_a_void_during_the_authorization_waits_for_its_outcome_and_undoes_it(stage: Stage) -> None:
    stage.take(authorize())
    assert stage.take(void()) == ()
    assert stage.answer(lose) == ()
    assert stage.asked == "authorize"
    assert stage.answer(accept) == ()
    assert stage.asked == "void"
    assert stage.answer(accept) == (said(PaymentVoided),)


def test_a_void_during_an_authorization_that_is_declined_has_nothing_to_undo(stage: Stage) -> None:
    stage.take(authorize(), void())
    assert stage.answer(decline) == (said(PaymentVoided),)
    assert stage.calls == ()


def test_a_void_after_a_decline_has_nothing_to_undo(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(decline)
    assert stage.take(void()) == (said(PaymentVoided),)


def test_a_void_is_answered_once_the_money_is_free_however_often_it_is_asked_for(stage: Stage) -> None:
    stage.authorized().take(void())
    assert stage.take(void()) == ()
    assert stage.answer(accept) == (said(PaymentVoided),)
    assert stage.take(void()) == (said(PaymentVoided),)


def test_a_void_undoes_earlier_attempts_with_its_own(stage: Stage) -> None:
    stage.authorized()
    assert stage.take(void(2)) == ()
    assert stage.answer(accept) == (said(PaymentVoided, 2),)
    assert stage.money == (0, 0, 0)


def test_a_late_void_of_an_earlier_attempt_leaves_the_later_one_alone(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(decline)
    stage.take(authorize(2))
    stage.answer(accept)
    assert stage.take(void()) == (said(PaymentVoided),)
    assert stage.money == (500, 0, 0)
    assert stage.calls == ()


def test_a_refused_void_is_asked_again_under_a_new_key(stage: Stage) -> None:
    stage.authorized().take(void())
    assert stage.answer(refuse) == ()
    assert (stage.call.id, stage.call.round) == ("web:1001/1/1/void/2", 2)
    stage.answer(refuse)
    assert stage.call.id == "web:1001/1/1/void/3"
    assert stage.payment.failing is not None
    assert stage.payment.failing.why == "try_again_later: not now"
    assert stage.answer(accept) == (said(PaymentVoided),)


# Capturing.


def test_takes_the_money(stage: Stage) -> None:
    assert stage.authorized().take(capture()) == ()
    assert stage.call.id == "web:1001/1/1/capture"
    assert stage.answer(accept) == (CAPTURED,)
    assert stage.money == (0, 500, 0)
    assert stage.state == "captured"


def test_takes_less_than_is_held(stage: Stage) -> None:
    stage.authorized().take(capture(amount=200))
    stage.answer(accept)
    assert stage.money == (0, 200, 0)


def test_never_takes_more_than_is_held(stage: Stage) -> None:
    stage.authorized()
    assert code_of(stage.take(capture(amount=501))) == declined("exceeds_authorization")
    assert stage.calls == ()


def test_captures_once_however_often_and_under_however_many_attempts_it_is_asked(stage: Stage) -> None:
    stage.authorized().take(capture(), capture(), capture(2))
    assert len(stage.calls) == 1
    again = said(PaymentCaptured, 2, amount=500, currency="EUR", capture_id="ref-web:1001/1/1/capture")
    assert stage.answer(accept) == (CAPTURED, again)
    assert stage.take(capture(2, amount=1)) == (again,)
    assert stage.money == (0, 500, 0)


def test_asks_for_a_capture_again_until_it_is_done(stage: Stage) -> None:
    stage.authorized().take(capture())
    ids = []
    for reply in (refuse, lose, refuse, lose):
        ids.append(stage.call.id.removeprefix("web:1001/1/1/"))
        assert stage.answer(reply) == ()
    assert ids == ["capture", "capture/2", "capture/2", "capture/3"]
    assert stage.state == "capturing"
    assert stage.answer(accept)[0].model_dump(include={"capture_id"}) == {"capture_id": "ref-web:1001/1/1/capture/3"}
    assert stage.money == (0, 500, 0)


def at_once(command: StepOutside) -> StepOutside:
    return command.model_copy(update={"at_once": True})


def test_asks_at_once_when_a_person_wants_that(stage: Stage) -> None:
    stage.authorized().take(capture())
    stage.answer(refuse)
    before = stage.call
    assert before.not_before == NOON + FIRST
    assert stage.take(capture()) == ()
    assert stage.call == before
    assert stage.take(at_once(capture())) == ()
    assert stage.payment.failing is not None
    assert stage.call == before.model_copy(update={"not_before": stage.payment.failing.since})
    assert stage.payment.failing.again_at == NOON
    before = stage.call
    assert stage.take(at_once(capture())) == ()
    assert stage.call is before  # it may be under way, and is not begun a second time


def test_asks_for_a_void_at_once_when_a_person_wants_that(stage: Stage) -> None:
    stage.authorized().take(void())
    stage.answer(lose)
    assert stage.take(at_once(void())) == ()
    assert (stage.call.not_before, stage.call.tries) == (NOON, 1)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ((), "not_authorized"),
        ((authorize(),), "not_authorized"),
        ((void(),), "voided"),
        ((authorize(), void()), "voided"),
    ],
)
def test_captures_nothing_that_is_not_held(stage: Stage, before: tuple[Message, ...], code: str) -> None:
    stage.take(*before)
    calls = stage.calls
    assert code_of(stage.take(capture())) == declined(code)
    assert stage.calls == calls


def test_captures_nothing_after_a_decline(stage: Stage) -> None:
    stage.take(authorize())
    stage.answer(decline)
    assert code_of(stage.take(capture())) == declined("insufficient_funds")


def test_a_void_during_a_capture_gives_the_money_back(stage: Stage) -> None:
    stage.authorized().take(capture(), void())
    assert stage.answer(lose) == ()
    assert stage.answer(accept) == (CAPTURED,)
    assert stage.call.id == "web:1001/1/1/undo"
    assert stage.answer(accept) == (
        said(PaymentRefunded, amount=500, currency="EUR", refund_id="ref-web:1001/1/1/undo"),
        said(PaymentVoided),
    )
    assert stage.money == (0, 500, 500)


def test_a_void_during_a_capture_that_is_refused_gives_up_what_is_held(stage: Stage) -> None:
    stage.authorized().take(capture(), void())
    assert stage.answer(refuse) == ()
    assert stage.asked == "void"
    *not_taken, voided = stage.answer(accept)
    assert code_of(tuple(not_taken)) == declined("voided")
    assert voided == said(PaymentVoided)
    assert stage.money == (0, 0, 0)


def refused_capture(stage: Stage) -> PaymentCall:
    """The next round of a capture that was refused, which waits for its time."""
    stage.authorized().take(capture())
    stage.answer(refuse)
    assert (stage.call.id, stage.call.not_before) == ("web:1001/1/1/capture/2", NOON + FIRST)
    return stage.call


@pytest.mark.parametrize("command", [void(), at_once(void())])
def test_a_void_before_the_next_round_of_a_refused_capture_gives_up_what_is_held_at_once(
    stage: Stage, command: Message
) -> None:
    refused_capture(stage)
    assert stage.take(command) == ()
    assert (stage.state, stage.call.id, stage.payment.failing) == ("voiding", "web:1001/1/1/void", None)
    *not_taken, voided = stage.answer(accept)
    assert code_of(tuple(not_taken)) == declined("voided")
    assert voided == said(PaymentVoided)
    assert (stage.money, stage.calls) == ((0, 0, 0), ())


@pytest.mark.parametrize(
    "asked_for",
    [
        lambda stage: stage.advance(FIRST),
        lambda stage: stage.answer(lose),
        lambda stage: stage.take(at_once(capture())),
    ],
    ids=["its time has come", "its answer got lost", "a person wanted it at once"],
)
def test_a_void_waits_for_a_round_that_may_have_been_asked_for(
    stage: Stage, asked_for: Callable[[Stage], object]
) -> None:
    refused_capture(stage)
    asked_for(stage)
    stage.take(void())
    assert stage.call.id == "web:1001/1/1/capture/2"


def test_a_round_that_another_owner_asked_for_before_the_void_is_learned_and_undone(stage: Stage) -> None:
    put_off = refused_capture(stage)
    stage.take(void())
    assert stage.answer(refuse) == ()  # for it was captured
    assert (stage.call.id, stage.call.tries) == (put_off.id, 1)
    assert stage.take(void()) == ()
    assert stage.call.id == put_off.id
    assert stage.answer(accept) == (
        said(PaymentCaptured, amount=500, currency="EUR", capture_id="ref-web:1001/1/1/capture/2"),
    )
    assert kinds(stage.answer(accept)) == [PaymentRefunded, PaymentVoided]
    assert stage.money == (0, 500, 500)


def test_a_void_that_is_refused_although_nothing_was_captured_is_asked_again(stage: Stage) -> None:
    refused_capture(stage)
    stage.take(void())
    ids = []
    for _ in range(3):
        ids.append(stage.call.id.removeprefix("web:1001/1/1/"))
        assert stage.answer(refuse) == ()
    assert ids == ["void", "capture/2", "void"]
    assert stage.call.id == "web:1001/1/1/void/2"
    assert kinds(stage.answer(accept)) == [PaymentDeclined, PaymentVoided]
    assert stage.money == (0, 0, 0)


def test_a_void_after_a_capture_gives_everything_back(stage: Stage) -> None:
    assert stage.captured().take(void()) == ()
    assert (stage.state, stage.call.id, stage.call.amount) == ("refunding", "web:1001/1/1/undo", 500)
    assert stage.answer(accept) == (
        said(PaymentRefunded, amount=500, currency="EUR", refund_id="ref-web:1001/1/1/undo"),
        said(PaymentVoided),
    )
    assert stage.state == "voided"
    assert stage.money == (0, 500, 500)


def test_a_refused_refund_is_asked_again_until_it_is_done(stage: Stage) -> None:
    stage.captured().take(void())
    stage.answer(refuse)
    assert stage.call.id == "web:1001/1/1/undo/2"
    stage.answer(accept)
    assert stage.money == (0, 500, 500)


# Nothing to pay.


def test_what_costs_nothing_is_paid_for_without_the_provider(stage: Stage) -> None:
    authorized = said(PaymentAuthorized, amount=0, currency="EUR", authorization_id="nothing-due")
    captured = said(PaymentCaptured, amount=0, currency="EUR", capture_id="nothing-due")
    assert stage.take(authorize(amount=0)) == (authorized,)
    assert stage.take(authorize(amount=0)) == (authorized,)
    assert stage.take(capture(amount=0)) == (captured,)
    assert stage.take(capture(amount=0)) == (captured,)
    assert stage.state == "captured"
    assert stage.take(void()) == (said(PaymentVoided),)
    assert stage.calls == ()
    assert stage.money == (0, 0, 0)


def test_nothing_that_is_held_is_let_go_without_the_provider(stage: Stage) -> None:
    stage.take(authorize(amount=0))
    assert stage.take(void()) == (said(PaymentVoided),)
    assert stage.state == "voided"
    assert stage.calls == ()


def test_to_take_nothing_of_what_is_held_is_to_let_go_of_it(stage: Stage) -> None:
    assert stage.authorized().take(capture(amount=0)) == ()
    assert (stage.asked, stage.call.amount) == ("void", 500)
    captured = said(PaymentCaptured, amount=0, currency="EUR", capture_id="ref-web:1001/1/1/void")
    assert stage.answer(accept) == (captured,)
    assert stage.take(capture()) == (captured,)
    assert stage.money == (0, 0, 0)
    assert stage.take(void()) == (said(PaymentVoided),)


def test_what_is_undone_while_nothing_of_it_is_taken_is_let_go_once(stage: Stage) -> None:
    stage.authorized().take(capture(amount=0))
    assert stage.take(void()) == ()
    declined_, voided = stage.answer(accept)
    assert code_of((declined_,)) == declined("voided")
    assert voided == said(PaymentVoided)
    assert stage.calls == ()


# What is kept.


def test_revisions_are_paid_apart(stage: Stage) -> None:
    stage.captured()
    stage.take(authorize().model_copy(update={"revision": 2}))
    assert set(stage.documents) == {"payments/web:1001/1", "payments/web:1001/2"}
    assert stage.calls[0][1].id == "web:1001/2/1/authorize"


def test_knows_since_when_it_is_as_it_is(stage: Stage) -> None:
    stage.take(authorize())
    stage.advance(timedelta(seconds=3))
    stage.answer(lose)
    assert stage.payment.since == NOON
    stage.answer(accept)
    assert stage.payment.since == NOON + timedelta(seconds=3)


def test_every_call_of_a_life_has_its_own_key(stage: Stage) -> None:
    keys: list[str] = []
    for attempt in (1, 2):
        for command in (authorize(attempt), capture(attempt), void(attempt)):
            stage.take(command)
            keys.append(stage.call.id)
            stage.answer(accept)
    assert stage.money == (0, 1000, 1000)
    assert len(set(keys)) == len(keys) == 6
