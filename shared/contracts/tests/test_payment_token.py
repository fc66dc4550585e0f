import json

import pytest
from contracts.order import OrderPlaced
from contracts.payment import AuthorizePayment, PaymentToken
from contracts.reasons import reasons_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

TOKEN: TypeAdapter[str] = TypeAdapter(PaymentToken)

CARD_NUMBERS = ("4111111111111111", "378282246310005", "6011 1111 1111 1117", "5555-5555-5555-4444", "4222222222222")


def body(token: str) -> bytes:
    return json.dumps(
        {
            "order_id": "web:1001",
            "revision": 1,
            "attempt": 1,
            "amount": 100,
            "currency": "EUR",
            "payment_token": token,
        }
    ).encode()


@pytest.mark.parametrize("number", CARD_NUMBERS)
def test_refuses_a_card_number_and_does_not_repeat_it(number: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        AuthorizePayment.model_validate_json(body(number))
    (reason,) = reasons_of(refusal.value)
    assert (reason.path, reason.code) == ("payment_token", "card_number")
    assert number not in reason.message
    assert number not in str(refusal.value)


def test_refuses_a_card_number_in_an_order() -> None:
    with pytest.raises(ValidationError) as refusal:
        OrderPlaced.model_validate_json(b'{"payment_token": "4111111111111111"}')
    assert ("payment_token", "card_number") in {(reason.path, reason.code) for reason in reasons_of(refusal.value)}
    assert "4111111111111111" not in str(refusal.value)


@given(
    st.integers(min_value=10**11, max_value=10**18 - 1),
    st.sampled_from(["", "-", " ", ".", ":", "_"]),
    st.integers(min_value=2, max_value=6),
)
def test_refuses_every_number_with_a_right_check_digit(number: int, separator: str, group: int) -> None:
    digits = [int(digit) for digit in f"{number}0"]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    check = -(doubled + sum(digits[-3::-2])) % 10
    card = f"{number}{check}"
    written = separator.join(card[start : start + group] for start in range(0, len(card), group))
    with pytest.raises(ValidationError):
        TOKEN.validate_python(written)


@pytest.mark.parametrize(
    "token", ["tok_ok", "tok_declined_insufficient_funds", "4111111111111112", "pm_1Nx:7.b-9", "1"]
)
def test_takes_tokens(token: str) -> None:
    assert AuthorizePayment.model_validate_json(body(token)).payment_token == token
