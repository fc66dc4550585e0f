"""A version of the payment service with a bug: it fails on every capture."""

from datetime import datetime

import payment.main
from chassis.backoff import Backoff
from chassis.decision import Decision, Documents, Input
from chassis.service import Decide
from contracts.payment import CapturePayment

good = payment.main.decider


def decider(backoff: Backoff) -> Decide:
    decide = good(backoff)

    def failing(documents: Documents, message: Input, now: datetime) -> Decision:
        if isinstance(message, CapturePayment):
            raise KeyError("authorization")
        return decide(documents, message, now)

    return failing


payment.main.decider = decider
payment.main.main()
