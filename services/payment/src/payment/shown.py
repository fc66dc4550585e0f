"""What the HTTP API shows of payments."""

from datetime import datetime
from typing import Annotated

from chassis.backoff import Failing
from chassis.http.paging import Page
from chassis.http.shown import Shown
from pydantic import BeforeValidator, Field

from payment.state import Capture, Declined, State


def _id_of(capture: Capture | None) -> str:
    return capture.capture_id if capture is not None else ""


class PaymentShown(Shown):
    """The money for one placing of an order. All amounts are in the currency's minor unit."""

    order_id: str
    revision: int
    attempt: int
    """The attempt at the payment that this is about; 0 when it was undone before it began."""
    state: State
    since: datetime
    """When it came into this state."""
    currency: str
    amount: int
    """What was to be authorized."""
    held: int
    """What the provider holds for us now."""
    captured: int
    """What was captured, over all attempts."""
    refunded: int
    """What was given back, over all attempts."""
    authorization_id: str
    """The provider's name for the authorization; empty until it is made."""
    capture_id: Annotated[str, BeforeValidator(_id_of)] = Field(validation_alias="capture")
    """The provider's name for the capture of this attempt; empty until it is done."""
    declined: Declined | None
    """Why the provider does not hold the money."""
    to_be_undone: Annotated[bool, BeforeValidator(bool)] = Field(validation_alias="voids")
    """Whether what is left of it is being voided or given back."""
    failing: Failing | None
    """What the provider has not done yet, although it must; it is asked again and again."""


class PaymentsShown(Shown):
    order_id: str
    payments: list[PaymentShown]


class PaymentPage(Page):
    payments: list[PaymentShown]
