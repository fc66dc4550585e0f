"""How the simulated provider behaves, alone and behind the service."""

from datetime import timedelta
from typing import Any

import pytest
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
from payment.decide import decider, needs
from payment.gateway import CAPTURE_FAILS, OK, SLOW, TIMEOUT, Simulator
from payment.state import Accepted, Declined, PaymentCall

NAMES: dict[str, Any] = {"order_id": "web:1001", "revision": 1, "attempt": 1}
CAPTURE = CapturePayment(**NAMES, amount=500)
VOID = VoidPayment(**NAMES)


def simulator() -> Simulator:
    return Simulator(slow=timedelta(0), capture_failures=2)


def authorize_with(token: str) -> AuthorizePayment:
    return AuthorizePayment.model_validate({**NAMES, "amount": 500, "currency": "EUR", "payment_token": token})


def call_with(token: str, tries: int = 0) -> PaymentCall:
    return PaymentCall(
        id="web:1001/1/1/authorize",
        operation="authorize",
        amount=500,
        currency="EUR",
        payment_token=token,
        tries=tries,
    )


async def lives(*commands: Message) -> tuple[list[Message], list[PaymentCall]]:
    """What is said when the simulator answers everything that it is asked, and what it was asked."""
    stage = Rehearsal(needs, decider(Backoff(timedelta(seconds=1), timedelta(seconds=60))))
    said: list[Message] = []
    asked: list[PaymentCall] = []
    for command in commands:
        said.extend(stage.take(command))
        while stage.calls:
            ((key, call),) = stage.calls
            assert isinstance(call, PaymentCall)
            asked.append(call)
            try:
                answer: object = await simulator().perform(call)
            except TimeoutError:
                answer = Unknown("timed out")
            said.extend(stage.take(CallAnswered(key, call, answer)))
    return said, asked


async def test_holds_takes_and_gives_back_money() -> None:
    said, asked = await lives(authorize_with(OK), CAPTURE, VOID)
    outcomes = (PaymentAuthorized, PaymentCaptured, PaymentRefunded, PaymentVoided)
    assert tuple(type(message) for message in said) == outcomes
    assert [call.operation for call in asked] == ["authorize", "capture", "refund"]


async def test_declines_with_the_code_in_the_token() -> None:
    ((declined,), _) = await lives(authorize_with("tok_declined_insufficient_funds"))
    assert isinstance(declined, PaymentDeclined)
    assert declined.code == "insufficient_funds"
    assert declined.message == "the provider declined: insufficient funds"


@pytest.mark.parametrize("token", ["tok_declined_", "tok_", "visa", "tok_okay", "tok_declined"])
async def test_declines_a_token_that_it_does_not_know(token: str) -> None:
    answer = await simulator().perform(call_with(token))
    assert answer == Declined(code="invalid_token", message="the provider does not know this payment token")


@pytest.mark.parametrize(
    ("after", "operations"), [((CAPTURE, VOID), ["authorize", "capture", "refund"]), ((VOID,), ["authorize", "void"])]
)
async def test_an_answer_that_timed_out_is_learned_by_asking_again_with_the_same_key(
    after: tuple[Message, ...], operations: list[str]
) -> None:
    _, asked = await lives(authorize_with(TIMEOUT), *after)
    assert [call.operation for call in asked if call.tries == 0] == operations
    assert [call.tries for call in asked] == [0, 1] * len(operations)
    assert len({call.id for call in asked}) == len(operations)


async def test_a_capture_that_fails_at_first_is_done_in_the_end() -> None:
    said, asked = await lives(authorize_with(CAPTURE_FAILS), CAPTURE)
    assert tuple(type(message) for message in said) == (PaymentAuthorized, PaymentCaptured)
    assert [call.id.removeprefix("web:1001/1/1/") for call in asked] == [
        "authorize",
        "capture",
        "capture/2",
        "capture/3",
    ]


async def test_is_slow_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("payment.gateway.asyncio.sleep", sleep)
    slow = Simulator(slow=timedelta(seconds=2), capture_failures=0)
    assert isinstance(await slow.perform(call_with(SLOW)), Accepted)
    assert isinstance(await slow.perform(call_with(OK)), Accepted)
    with pytest.raises(TimeoutError):
        await slow.perform(call_with(TIMEOUT))
    assert slept == [2, 2]


@pytest.mark.parametrize("token", [OK, "tok_declined_stolen_card", CAPTURE_FAILS, SLOW])
async def test_answers_the_same_key_the_same_also_after_a_restart(token: str) -> None:
    first = await simulator().perform(call_with(token))
    assert await simulator().perform(call_with(token, tries=3)) == first


async def test_refuses_a_call_that_is_none_of_its_own() -> None:
    with pytest.raises(TypeError):
        await simulator().perform(Call(id="x"))
