"""What the payment service remembers: one document for each placing of an order, and the call that it waits for."""

from datetime import datetime
from typing import ClassVar, Literal, Self

from chassis.backoff import Failing
from chassis.decision import Call, Document
from contracts.message import Reference, SagaNames, SagaStep, Text, Value
from contracts.payment import AuthorizePayment

Operation = Literal["authorize", "capture", "void", "refund"]
State = Literal[
    "authorizing",
    "authorized",
    "declined",
    "capturing",
    "captured",
    "refunding",
    "voiding",
    "voided",
]


class PaymentCall(Call):
    """What the provider is asked to do."""

    operation: Operation
    amount: int
    """In the currency's minor unit."""
    currency: str
    """ISO 4217 code."""
    payment_token: str = ""
    """To authorize only: it is forgotten when the authorization is answered."""
    authorization_id: str = ""
    """The provider's name for the authorization that is captured, voided or refunded."""


class Accepted(Value):
    """The provider did it."""

    reference: Reference
    """The provider's name for what it did."""


class Declined(Value):
    """The provider did not do it, and will not if it is asked the same again."""

    code: Reference
    """The provider's code, such as `insufficient_funds`."""
    message: Text
    """The same for people."""


class Wanted(Value):
    """An authorization that begins when the attempt before it is undone."""

    attempt: int
    amount: int
    currency: str
    payment_token: str

    @classmethod
    def of(cls, command: AuthorizePayment) -> Self:
        return cls(
            attempt=command.attempt,
            amount=command.amount,
            currency=command.currency,
            payment_token=command.payment_token,
        )


class Capture(Value):
    """The one capture of an authorization."""

    amount: int
    """In the currency's minor unit."""
    waiting: tuple[int, ...]
    """The attempts of the commands that are still to be answered."""
    capture_id: str = ""
    """The provider's name for it; empty until it is done."""


class Payment(Document):
    """The money for one placing of an order. Only one attempt at it is under way at a time.

    What is wanted comes by commands (`capture`, `voided`, `next`), what is true comes by the provider's
    answers (`state`, `held`, `captured`, `refunded`), and at most one call is under way from the one to the other.
    """

    kind: ClassVar[str] = "payments"

    order_id: str
    """The order, as `<channel>:<number>`."""
    revision: int
    """Which placing of the order this is."""
    calls: tuple[PaymentCall, ...] = ()
    """The call that is under way, if any."""
    state: State = "voided"
    since: datetime
    """When it came into this state."""
    attempt: int = 0
    """The AuthorizePayment that all of this is about; 0 before there is one."""
    amount: int = 0
    """What is to be authorized, in the currency's minor unit."""
    currency: str = ""
    """ISO 4217 code; empty before the first attempt."""
    authorization_id: str = ""
    """The provider's name for the authorization; empty until it is made."""
    declined: Declined | None = None
    """Why the provider does not hold the money."""
    held: int = 0
    """What the provider holds for us now."""
    captured: int = 0
    """What was captured, over all attempts."""
    refunded: int = 0
    """What was given back, over all attempts."""
    capture: Capture | None = None
    put_off: PaymentCall | None = None
    """The next round of a refused capture, while a void goes before it: another owner may have asked for it already."""
    voided: int = 0
    """The highest attempt that is undone, or to be undone: it and those before it are not wanted any more."""
    voids: tuple[int, ...] = ()
    """The attempts of the VoidPayments that are still to be answered."""
    next: Wanted | None = None
    failing: Failing | None = None

    @classmethod
    def blank(cls, command: SagaStep, now: datetime) -> Self:
        """The payment of an order of which nothing is known yet."""
        return cls(
            id=payment_id(command.order_id, command.revision),
            order_id=command.order_id,
            revision=command.revision,
            since=now,
        )

    def names(self, attempt: int) -> SagaNames:
        return {"order_id": self.order_id, "revision": self.revision, "attempt": attempt}

    @property
    def unwanted(self) -> bool:
        """Whether the attempt that this is about is to be undone, or there is none."""
        return self.attempt <= self.voided

    @property
    def waiting(self) -> tuple[int, ...]:
        """The attempts of the CapturePayments that are still to be answered."""
        return self.capture.waiting if self.capture is not None else ()

    @property
    def call_prefix(self) -> str:
        """Names the attempt, before the operation, in the ids of its calls."""
        return f"{self.id}/{self.attempt}"


def payment_id(order_id: str, revision: int) -> str:
    return f"{order_id}/{revision}"


DOCUMENTS: tuple[type[Document], ...] = (Payment,)
"""Every kind of document that this service keeps."""
