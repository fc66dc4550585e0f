"""How parcels are booked, called off, dispatched and delivered, message by message."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.backoff import Backoff, at_once
from chassis.decision import AlarmRang, Call, CallAnswered, Decision, Documents, Input, Unknown, id_of
from chassis.service import Decide
from contracts.message import Message, Reason, names_of
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
    TrackedParcel,
)

from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Collected, Refused, Shipment, shipment_id

Result = tuple[Shipment, tuple[Message, ...]]
"""The shipment as it is now, and what is said about it."""

CANCELLED = Reason(path="", code="cancelled", message="the shipment was cancelled")


@dataclass(frozen=True, slots=True)
class Policy:
    """How the carrier is asked again, and how long its simulated vans take."""

    backoff: Backoff
    dispatch_after: timedelta
    """From the booking until the van leaves; until then it can be called off."""
    deliver_after: timedelta
    """From there until the last parcel is handed over."""


def needs(message: Input, _: Documents) -> Iterable[str]:
    match message:
        case CreateShipment() | CancelShipment():
            return (Shipment.key_of(shipment_id(message)),)
        case CallAnswered(document=key) | AlarmRang(document=key):
            return (key,)
        case _:
            return ()


def decider(policy: Policy) -> Decide:
    """`decide` under this policy."""

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        match message:
            case CreateShipment() | CancelShipment():
                known = documents.get(Shipment, shipment_id(message))
            case CallAnswered(document=key) | AlarmRang(document=key):
                known = documents.get(Shipment, id_of(key))
            case _:
                return Decision()
        if known is None:
            return _begin(message, now)
        after, said = _take(known, message, policy, now)
        if after.state != known.state:
            after = after.but(since=now)
        return Decision((after,) if after != known else (), said)

    return decide


def _begin(message: Input, now: datetime) -> Decision:
    match message:
        case CreateShipment():
            return Decision((Shipment.book(message, now),))
        case CancelShipment():
            tombstone = Shipment.begin(message, "cancelled", now).but(cancel_wanted=True)
            return Decision((tombstone,), (ShipmentCancelled(**names_of(tombstone)),))
        case _:
            return Decision()


def _take(known: Shipment, message: Input, policy: Policy, now: datetime) -> Result:
    match message:
        case CreateShipment() | CancelShipment():
            after, said = (known, _outcome(known)) if isinstance(message, CreateShipment) else _cancel(known)
            if said or not message.at_once:
                return after, said
            calls, failing = at_once(after.calls, after.failing, now)
            return after.but(calls=calls, failing=failing), ()
        case CallAnswered():
            return _hear(known, message, policy, now)
        case _:
            return _go_on(known, policy, now)


def _outcome(known: Shipment) -> tuple[Message, ...]:
    """What became of the booking, said again to whoever asks again."""
    if known.cancel_wanted:
        return (ShipmentRefused(**names_of(known), reason=CANCELLED),)
    if known.refusal is not None:
        return (ShipmentRefused(**names_of(known), reason=known.refusal),)
    return (ShipmentCreated(**names_of(known), parcels=known.parcels),) if known.parcels else ()


def _cancel(known: Shipment) -> Result:
    match known.state:
        case "booking":
            return known.but(cancel_wanted=True), ()
        case "booked":
            return known.cancel(), ()
        case "cancelling":
            return known, ()
        case "refused" | "cancelled":
            return known, (ShipmentCancelled(**names_of(known)),)
        case "dispatched" | "delivered":
            # The parcels are gone, and saying that they are not would be a lie: what is true is said again.
            return known, _whereabouts(known)


def _whereabouts(known: Shipment) -> tuple[Message, ...]:
    if known.delivered_at is not None:
        return (ShipmentDelivered(**names_of(known), delivered_at=known.delivered_at),)
    if known.dispatched_at is not None:
        return (ShipmentDispatched(**names_of(known), dispatched_at=known.dispatched_at),)
    return ()


def _hear(known: Shipment, answered: CallAnswered, policy: Policy, now: datetime) -> Result:
    call = next((call for call in known.calls if call.id == answered.call.id), None)
    if call is None:
        return known, ()
    done = known.but(calls=(), failing=None)
    again: Call
    match call, answered.answer:
        case BookParcels(), Booked(parcels=parcels) if len(parcels) == len(call.parcels):
            return _booked(done, parcels, policy, now)
        case BookParcels(), Refused(reason=reason):
            return _refused(done, reason)
        case CancelParcels(), Cancelled():
            return done.but(state="cancelled"), (ShipmentCancelled(**names_of(known)),)
        case CancelParcels(), Collected():
            return _collected(done, policy, now)
        case CancelParcels(), Refused(reason=reason):
            again, why = call.anew, f"{reason.code}: {reason.message}"
        case _, answer:
            again = call.same_again
            why = answer.reason if isinstance(answer, Unknown) else f"{type(answer).__name__} is not an answer to this"
    return _later(known, again, why, policy, now), ()


def _booked(known: Shipment, parcels: tuple[TrackedParcel, ...], policy: Policy, now: datetime) -> Result:
    booked = known.but(state="booked", parcels=parcels)
    if known.cancel_wanted:
        return booked.cancel(), ()
    return booked.but(alarm=now + policy.dispatch_after), (ShipmentCreated(**names_of(known), parcels=parcels),)


def _refused(known: Shipment, reason: Reason) -> Result:
    if known.cancel_wanted:
        return known.but(state="cancelled"), (ShipmentCancelled(**names_of(known)),)
    return known.but(state="refused", refusal=reason), (ShipmentRefused(**names_of(known), reason=reason),)


def _collected(known: Shipment, policy: Policy, now: datetime) -> Result:
    """What was to be called off goes its way; if that was wanted before the booking, nobody knows its parcels yet."""
    gone, said = _leave(known.but(cancel_wanted=False), policy, now)
    return gone, (ShipmentCreated(**names_of(known), parcels=known.parcels), *said)


def _later(known: Shipment, call: Call, why: str, policy: Policy, now: datetime) -> Shipment:
    """Ask again after a while. There is no last time: a parcel is neither forgotten nor booked twice."""
    waiting, failing = policy.backoff.later(call, known.failing, why, now)
    return known.but(calls=(waiting,), failing=failing)


def _go_on(known: Shipment, policy: Policy, now: datetime) -> Result:
    """The simulated van leaves, and later has handed over the last parcel."""
    if known.alarm is None or now < known.alarm:
        return known, ()
    if known.state == "booked":
        return _leave(known, policy, now)
    after = known.but(state="delivered", delivered_at=now, alarm=None)
    return after, _whereabouts(after)


def _leave(known: Shipment, policy: Policy, now: datetime) -> Result:
    after = known.but(state="dispatched", dispatched_at=now, alarm=now + policy.deliver_after)
    return after, _whereabouts(after)
