"""The messages of the payment service."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_extra_types.payment import PaymentCardNumber

from contracts.message import Amount, Currency, Reference, SagaStep, StepOutside, Text

TOKEN_IN_TEXT = re.compile(r"payment_token[^0-9A-Za-z]*([0-9][0-9\s._:-]{12,})")
"""What may be a card number where a token should be, in JSON or in anything else. No repetition is nested in another or
starts with what the one before it may end with, so that even a hostile body is searched in linear time."""


def _refuse_card_number(token: object) -> object:
    """Keep card data out: what looks like a card number is refused, and the error does not repeat it."""
    if isinstance(token, str) and re.fullmatch(r"[0-9]{13,19}", digits := re.sub(r"[\s._:-]", "", token)):
        try:
            PaymentCardNumber.validate_luhn_check_digit(digits)
        except PydanticCustomError:
            return token  # no card number has a wrong check digit
        raise PydanticCustomError(
            "card_number", "this is written like a card number; send the payment provider's token for it"
        )
    return token


PaymentToken = Annotated[
    Reference, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"), BeforeValidator(_refuse_card_number)
]


def refuse_card_number_in(body: bytes) -> None:
    """Look for card data in a body that cannot be read. Raises PydanticCustomError."""
    for found in TOKEN_IN_TEXT.finditer(body.decode(errors="replace")):
        _refuse_card_number(found[1])


class AuthorizePayment(StepOutside):
    """Ask the provider to hold the money."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    payment_token: PaymentToken
    """The provider's token for the customer's means of payment; never card data."""


class CapturePayment(StepOutside):
    """Take the money that is held; retried until it is done."""

    amount: Amount
    """In the currency's minor unit; at most what was authorized."""


class VoidPayment(StepOutside):
    """Undo an authorization, whether it was made, is under way, or has yet to arrive; what was captured goes back."""


class PaymentAuthorized(SagaStep):
    """The provider holds the money."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    authorization_id: Reference
    """The provider's name for the authorization."""


class PaymentDeclined(SagaStep):
    """What was asked for was not done: the money is not held, or, for a capture, not taken."""

    code: Reference
    """The provider's code, such as `insufficient_funds`, or one of ours, such as `voided` for what is undone."""
    message: Text
    """The same for people."""


class PaymentCaptured(SagaStep):
    """The money is ours."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    capture_id: Text = ""
    """The provider's name for this movement of money: if it is said again, the money has not moved again."""


class PaymentVoided(SagaStep):
    """Nothing is held any more."""


class PaymentRefunded(SagaStep):
    """What was captured went back, because it was undone."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    refund_id: Text = ""
    """The provider's name for this movement of money, as with a capture."""
