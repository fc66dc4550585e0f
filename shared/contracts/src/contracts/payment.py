"""The messages of the payment service."""

from contracts.message import Amount, Currency, Name, Reference, SagaStep, Text


class AuthorizePayment(SagaStep):
    """Ask the provider to hold the money."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    payment_token: Reference
    """The provider's token for the customer's means of payment; never card data."""


class CapturePayment(SagaStep):
    """Take the money that is held; retried until it is done."""

    amount: Amount
    """In the currency's minor unit; at most what was authorized."""


class VoidPayment(SagaStep):
    """Undo an authorization, whether it was made, is under way, or has yet to arrive."""


class RefundPayment(SagaStep):
    """Give back money that was captured."""

    amount: Amount
    """In the currency's minor unit; at most what was captured and not yet refunded."""
    reason: Name
    """Why."""


class PaymentAuthorized(SagaStep):
    """The provider holds the money."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""
    authorization_id: Reference
    """The provider's name for the authorization."""


class PaymentDeclined(SagaStep):
    """The provider does not hold the money."""

    code: Reference
    """The provider's code, such as `insufficient_funds`; `voided` when it was undone before it began."""
    message: Text
    """The same for people."""


class PaymentCaptured(SagaStep):
    """The money is ours."""

    amount: Amount
    """In the currency's minor unit."""
    currency: Currency
    """ISO 4217 code."""


class PaymentVoided(SagaStep):
    """Nothing is held any more."""


class PaymentRefunded(SagaStep):
    """The money went back."""

    amount: Amount
    """In the currency's minor unit; 0 when nothing had been captured."""
    currency: Currency
    """ISO 4217 code."""
