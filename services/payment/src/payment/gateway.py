"""The payment provider, and a simulator of it.

A gateway is any object with `async perform(call: PaymentCall) -> Accepted | Declined`. It passes `call.id` to its
provider as the idempotency key. Declined is for what the provider definitely did not do; what it finds done already, as
when an authorization that is to be voided has run out, is Accepted. To void what was captured is Declined, and so is to
capture what was voided: where the owner of a partition changes, both may be asked for. Whatever else happens is raised,
or left to the time-out: the outcome is then unknown, and the same call comes again. No call is about an amount of 0.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from chassis.decision import Call

from payment.state import Accepted, Declined, PaymentCall

OK = "tok_ok"
DECLINED = "tok_declined_"
SLOW = "tok_slow"
TIMEOUT = "tok_timeout"
CAPTURE_FAILS = "tok_capture_fails"

BEHAVIORS = {OK: "ok", SLOW: "slow", TIMEOUT: "timeout", CAPTURE_FAILS: "capture_fails"}


@dataclass(frozen=True, slots=True)
class Simulator:
    """A provider that behaves as the payment token says.

    A real provider remembers what it did for each idempotency key. This one needs no memory to do the same: its answer
    follows from the call alone, so the same key has the same answer and the same reference, also after a restart or in
    another instance. The charges are therefore the distinct references: every time a reference is given again it is the
    same movement of money. How the customer's token behaves after the authorization is written into its reference.
    """

    slow: timedelta
    """How long `tok_slow` takes to answer, and `tok_timeout` to break off."""
    capture_failures: int
    """How often `tok_capture_fails` refuses to capture before it does."""

    async def perform(self, call: Call) -> Accepted | Declined:
        """Answer a PaymentCall. Raises TimeoutError where the answer got lost, TypeError for any other call."""
        if not isinstance(call, PaymentCall):
            raise TypeError(f"{type(call).__name__} is no PaymentCall")
        if call.operation == "authorize":
            code = call.payment_token.removeprefix(DECLINED)
            if code and code != call.payment_token:
                return Declined(code=code, message=f"the provider declined: {code.replace('_', ' ')}")
            behavior = BEHAVIORS.get(call.payment_token)
        else:
            behavior = call.authorization_id.removeprefix("sim_").rpartition("_")[0]
        match behavior:
            case None:
                return Declined(code="invalid_token", message="the provider does not know this payment token")
            case "slow":
                await asyncio.sleep(self.slow.total_seconds())
            case "timeout" if call.tries == 0:
                # The provider did it, and the answer got lost: whoever asks again learns what was done.
                await asyncio.sleep(self.slow.total_seconds())
                raise TimeoutError
            case "capture_fails" if call.operation == "capture" and call.round <= self.capture_failures:
                return Declined(code="try_again_later", message="the provider cannot capture now")
        digest = hashlib.sha256(call.id.encode()).hexdigest()[:24]
        return Accepted(reference=f"sim_{behavior}_{digest}")
