"""The carrier, and a simulator of it.

A gateway is any object with `async perform(call)`, which answers BookParcels with Booked or Refused, and CancelParcels
with Cancelled, Collected or Refused. It passes `call.id` to its carrier as the idempotency key. Refused is for what the
carrier definitely will not do. Whatever else goes wrong is raised, or left to the time-out: the outcome is then
unknown, and the same call comes again.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import date, timedelta

from chassis.decision import Call
from contracts.message import Currency, Reason
from contracts.shipping import Parcel, Recipient, ShippingMethod, TrackedParcel

from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Collected, Refused

SLOW = "slow lane"
"""In the street: the carrier takes its time."""
LOST = "lost lane"
"""In the street: the carrier books, but its first answer gets lost."""
EARLY = "early lane"
"""In the street: the parcels are fetched at once, and cannot be called off."""
NOWHERE = "00000"
"""A postal code that no carrier finds."""
NOT_SERVED = frozenset({"AQ", "KP"})
"""Countries that no carrier goes to."""
PO_BOX = re.compile(r"\bp\.?\s*o\.?\s*box\b", re.IGNORECASE)

SATURDAY = 5
USUAL, FETCHED_AT_ONCE = "TL", "TE"
"""What tracking numbers begin with."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a carrier asks for a parcel, in the currency's minor unit, and how many working days it needs."""

    carrier: str
    base: int
    per_unit: int
    days: int


RATES: dict[tuple[ShippingMethod, bool], Rate] = {
    ("standard", False): Rate("Parcel Post", base=395, per_unit=10, days=3),
    ("standard", True): Rate("Parcel Post", base=1195, per_unit=25, days=7),
    ("express", False): Rate("Swift Express", base=895, per_unit=20, days=1),
    ("express", True): Rate("Swift Express", base=2995, per_unit=50, days=3),
    ("pickup", False): Rate("Store Counter", base=0, per_unit=0, days=1),
    ("pickup", True): Rate("Store Counter", base=0, per_unit=0, days=1),
}
"""By method, and by whether the recipient lives abroad."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A carrier that behaves as the address says.

    A real carrier remembers what it booked for each idempotency key. This one needs no memory to do the same: its
    answer follows from the call alone, so the same key has the same tracking numbers, also after a restart or in
    another instance.
    """

    home_country: str
    """Parcels to any other country go abroad."""
    currency: Currency
    """What the rates are in."""
    slow: timedelta
    """How long it takes its time, and how long it takes to break off."""

    async def perform(self, call: Call) -> Booked | Refused | Cancelled | Collected:
        """Answer a call. Raises TimeoutError if the answer got lost, TypeError for a call that is not a carrier's."""
        match call:
            case BookParcels():
                return await self._book(call)
            case CancelParcels():
                is_early = any(number.startswith(FETCHED_AT_ONCE) for number in call.tracking_numbers)
                return Collected() if is_early else Cancelled()
            case _:
                raise TypeError(f"{type(call).__name__} is not a carrier's call")

    async def _book(self, call: BookParcels) -> Booked | Refused:
        street = call.recipient.street.lower()
        if SLOW in street or (LOST in street and call.tries == 0):
            await asyncio.sleep(self.slow.total_seconds())
        if LOST in street and call.tries == 0:
            raise TimeoutError
        refusal = _refusal(call.recipient, call.method)
        if refusal is not None:
            return Refused(reason=refusal)
        rate = RATES[call.method, call.recipient.country != self.home_country]
        return Booked(
            parcels=tuple(
                self._booked(parcel, f"{call.id}/{place}", rate, call) for place, parcel in enumerate(call.parcels)
            )
        )

    def _booked(self, parcel: Parcel, name: str, rate: Rate, call: BookParcels) -> TrackedParcel:
        service = FETCHED_AT_ONCE if EARLY in call.recipient.street.lower() else USUAL
        return TrackedParcel(
            location=parcel.location,
            carrier=rate.carrier,
            tracking_number=tracking_number(name, self.home_country, service),
            cost=rate.base + rate.per_unit * parcel.units,
            currency=self.currency,
            estimated_delivery=working_days_after(call.ready_on, rate.days),
        )


def _refusal(recipient: Recipient, method: ShippingMethod) -> Reason | None:
    if method == "pickup":
        return None
    if recipient.country in NOT_SERVED:
        return Reason(path="recipient.country", code="no_service", message="no carrier goes to this country")
    if recipient.postal_code == NOWHERE:
        return Reason(
            path="recipient.postal_code", code="undeliverable_address", message="no carrier finds this postal code"
        )
    if method == "express" and PO_BOX.search(recipient.street):
        return Reason(
            path="recipient.street", code="no_express_to_po_box", message="a van cannot hand over to a PO box"
        )
    return None


def tracking_number(name: str, country: str, service: str = USUAL) -> str:
    """A number as postal operators write them: two letters, digits, a check digit, the country.

    Theirs (UPU S10) have eight digits before the check digit. These have sixteen, because they are drawn from a hash
    and must not meet; the check digit has the same weights, used twice.
    """
    serial = f"{int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10**16:016}"
    total = sum(weight * int(digit) for weight, digit in zip((8, 6, 4, 2, 3, 5, 9, 7) * 2, serial, strict=True))
    check = {10: 0, 11: 5}.get(11 - total % 11, 11 - total % 11)
    return f"{service}{serial}{check}{country}"


def working_days_after(day: date, days: int) -> date:
    """The day this many days later, not counting Saturdays and Sundays."""
    while days > 0:
        day += timedelta(days=1)
        days -= day.weekday() < SATURDAY
    return day
