"""What the shipping service answers, and what it asks the carrier, message by message."""

from datetime import date, timedelta
from typing import Any

import pytest
from chassis.backoff import Backoff
from chassis.decision import AlarmRang, Call, CallAnswered, Unknown
from chassis.testing.stage import NOON, Rehearsal
from contracts.message import CountryAlpha2, Currency, Message, Reason, StepOutside
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    Parcel,
    Recipient,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
    TrackedParcel,
)
from shipping.decide import Policy, decider, needs
from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Collected, Refused, Shipment

FIRST, DISPATCH, DELIVER = timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=10)
POLICY = Policy(Backoff(FIRST, timedelta(seconds=60)), DISPATCH, DELIVER)

ANN = Recipient(name="Ann", street="High Street 1", city="Leeds", postal_code="LS1 1AA", country=CountryAlpha2("GB"))
NO_SUCH_PLACE = Reason(path="recipient.postal_code", code="undeliverable_address", message="no such place")
KEY = "shipments/web:1001/1/1"


def names(attempt: int = 1) -> dict[str, Any]:
    return {"order_id": "web:1001", "revision": 1, "attempt": attempt}


def create(attempt: int = 1) -> CreateShipment:
    parcels = (Parcel(location="LEEDS", units=3), Parcel(location="YORK", units=1))
    return CreateShipment(**names(attempt), recipient=ANN, method="express", parcels=parcels)


def cancel(attempt: int = 1) -> CancelShipment:
    return CancelShipment(**names(attempt))


def tracked(location: str) -> TrackedParcel:
    return TrackedParcel(
        location=location,
        carrier="Swift Express",
        tracking_number=f"TN-{location}",
        cost=895,
        currency=Currency("GBP"),
        estimated_delivery=date(2026, 1, 6),
    )


PARCELS = (tracked("LEEDS"), tracked("YORK"))


def carry(call: Call) -> Booked | Cancelled:
    return Booked(parcels=PARCELS) if isinstance(call, BookParcels) else Cancelled()


def refuse(_: Call) -> Refused:
    return Refused(reason=NO_SUCH_PLACE)


def collect(call: Call) -> Booked | Collected:
    return Booked(parcels=PARCELS) if isinstance(call, BookParcels) else Collected()


def lose(_: Call) -> Unknown:
    return Unknown("no answer")


class Stage(Rehearsal):
    def __init__(self) -> None:
        super().__init__(needs, decider(POLICY))

    @property
    def shipment(self) -> Shipment:
        shipment = self.get(Shipment, "web:1001/1/1")
        assert shipment is not None
        return shipment

    @property
    def state(self) -> str:
        return self.shipment.state

    @property
    def call(self) -> BookParcels | CancelParcels:
        (call,) = self.shipment.calls
        return call

    def booked(self) -> "Stage":
        self.take(create())
        self.answer(carry)
        return self


@pytest.fixture
def stage() -> Stage:
    return Stage()


CREATED = ShipmentCreated(**names(), parcels=PARCELS)
CANCELLED = ShipmentCancelled(**names())
DISPATCHED = ShipmentDispatched(**names(), dispatched_at=NOON + DISPATCH)
DELIVERED = ShipmentDelivered(**names(), delivered_at=NOON + DISPATCH + DELIVER)


def code_of(messages: tuple[Message, ...]) -> str:
    (message,) = messages
    assert isinstance(message, ShipmentRefused)
    return message.reason.code


# Booking.


def test_asks_the_carrier_to_take_the_parcels_on(stage: Stage) -> None:
    assert stage.take(create()) == ()
    assert stage.state == "booking"
    assert stage.call == BookParcels(
        id="web:1001/1/1/book", recipient=ANN, method="express", parcels=create().parcels, ready_on=NOON.date()
    )


def test_says_the_tracking_numbers_once_the_carrier_has_the_parcels(stage: Stage) -> None:
    stage.take(create())
    assert stage.answer(carry) == (CREATED,)
    assert stage.state == "booked"
    assert stage.calls == ()


def test_says_why_the_carrier_refuses(stage: Stage) -> None:
    stage.take(create())
    assert stage.answer(refuse) == (ShipmentRefused(**names(), reason=NO_SUCH_PLACE),)
    assert stage.shipment.alarm is None
    assert stage.calls == ()


def test_asks_again_with_the_same_key_when_the_outcome_is_unknown(stage: Stage) -> None:
    stage.take(create())
    before = stage.call
    assert stage.answer(lose) == ()
    assert stage.call == before.model_copy(update={"tries": 1, "not_before": NOON + FIRST})
    failing = stage.shipment.failing
    assert failing is not None
    assert (failing.since, failing.times, failing.why, failing.call) == (NOON, 1, "no answer", "web:1001/1/1/book")
    assert stage.answer(carry) == (CREATED,)
    assert stage.shipment.failing is None


@pytest.mark.parametrize("answer", [Booked(parcels=PARCELS[:1]), Cancelled(), "yes", None])
def test_an_answer_that_makes_no_sense_is_an_unknown_outcome(stage: Stage, answer: object) -> None:
    stage.take(create())
    assert stage.answer(lambda _: answer) == ()
    assert stage.call.tries == 1


def test_repeats_what_became_of_it_to_whoever_asks_again(stage: Stage) -> None:
    stage.take(create())
    assert stage.take(create()) == ()
    stage.answer(carry)
    assert stage.take(create()) == (CREATED,)
    stage.advance(DISPATCH + DELIVER)
    assert stage.take(create()) == (CREATED,)


@pytest.mark.parametrize("command", [create(), cancel()])
def test_asks_for_a_booking_at_once_when_a_person_wants_that(stage: Stage, command: StepOutside) -> None:
    stage.take(create())
    stage.answer(lose)
    assert stage.take(command) == ()
    assert stage.call.not_before == NOON + FIRST
    assert stage.take(command.model_copy(update={"at_once": True})) == ()
    assert (stage.call.not_before, stage.call.tries) == (NOON, 1)
    assert stage.shipment.failing is not None
    assert stage.shipment.failing.again_at == NOON


def test_calls_off_at_once_when_a_person_wants_that(stage: Stage) -> None:
    stage.booked().take(cancel())
    stage.answer(refuse)
    assert stage.take(cancel().model_copy(update={"at_once": True})) == ()
    assert (stage.call.id, stage.call.not_before) == ("web:1001/1/1/cancel/2", NOON)


def test_repeats_a_refusal(stage: Stage) -> None:
    stage.take(create())
    stage.answer(refuse)
    assert code_of(stage.take(create())) == "undeliverable_address"


def test_attempts_are_booked_apart(stage: Stage) -> None:
    stage.take(create(), create(2))
    assert [call.id for _, call in stage.calls] == ["web:1001/1/1/book", "web:1001/1/2/book"]


# Cancelling.


def test_calls_a_booking_off(stage: Stage) -> None:
    stage.booked()
    assert stage.take(cancel()) == ()
    assert stage.call == CancelParcels(id="web:1001/1/1/cancel", tracking_numbers=("TN-LEEDS", "TN-YORK"))
    assert stage.answer(carry) == (CANCELLED,)
    assert stage.state == "cancelled"


def test_a_cancel_that_overtakes_its_booking_leaves_a_tombstone(stage: Stage) -> None:
    assert stage.take(cancel()) == (CANCELLED,)
    assert code_of(stage.take(create())) == "cancelled"
    assert stage.calls == ()


def test_a_cancel_during_the_booking_waits_for_its_outcome_and_undoes_it(stage: Stage) -> None:
    stage.take(create())
    assert stage.take(cancel()) == ()
    assert stage.answer(lose) == ()
    assert stage.answer(carry) == ()
    assert stage.call.operation == "cancel"
    assert stage.answer(carry) == (CANCELLED,)


def test_a_cancel_during_a_booking_that_is_refused_has_nothing_to_undo(stage: Stage) -> None:
    stage.take(create(), cancel())
    assert stage.answer(refuse) == (CANCELLED,)
    assert stage.calls == ()


def test_a_cancel_after_a_refusal_has_nothing_to_undo(stage: Stage) -> None:
    stage.take(create())
    stage.answer(refuse)
    assert stage.take(cancel()) == (CANCELLED,)


def test_a_cancel_is_answered_once_nothing_is_booked_however_often_it_is_asked_for(stage: Stage) -> None:
    stage.booked().take(cancel())
    assert stage.take(cancel()) == ()
    assert stage.answer(carry) == (CANCELLED,)
    assert stage.take(cancel()) == (CANCELLED,)


def test_a_booking_that_is_being_called_off_is_refused_to_whoever_asks_for_it(stage: Stage) -> None:
    stage.take(create(), cancel())
    assert code_of(stage.take(create())) == "cancelled"
    stage.answer(carry)
    assert code_of(stage.take(create())) == "cancelled"
    stage.answer(carry)
    assert code_of(stage.take(create())) == "cancelled"


def test_a_refused_cancel_is_asked_again_under_a_new_key(stage: Stage) -> None:
    stage.booked().take(cancel())
    assert stage.answer(refuse) == ()
    assert stage.call.id == "web:1001/1/1/cancel/2"
    assert stage.shipment.failing is not None
    assert stage.shipment.failing.why == "undeliverable_address: no such place"
    assert stage.answer(lose) == ()
    assert stage.call.id == "web:1001/1/1/cancel/2"
    assert stage.answer(carry) == (CANCELLED,)


def test_no_van_leaves_with_parcels_that_are_being_called_off(stage: Stage) -> None:
    stage.booked().take(cancel())
    assert stage.advance(timedelta(days=1)) == ()
    assert stage.answer(carry) == (CANCELLED,)


def test_what_has_left_cannot_be_called_off(stage: Stage) -> None:
    stage.booked().advance(DISPATCH)
    assert stage.take(cancel()) == (DISPATCHED,)
    stage.advance(DELIVER)
    assert stage.take(cancel()) == (DELIVERED,)
    assert stage.calls == ()


@pytest.mark.parametrize("before", [(create(),), (create(), cancel())], ids=["booked", "booking"])
def test_what_the_carrier_has_already_is_on_its_way_though_it_was_called_off(
    stage: Stage, before: tuple[Message, ...]
) -> None:
    stage.take(*before)
    stage.answer(collect)
    stage.take(cancel())
    dispatched = ShipmentDispatched(**names(), dispatched_at=NOON)
    assert stage.answer(collect) == (CREATED, dispatched)
    assert (stage.state, stage.shipment.cancel_wanted, stage.shipment.failing) == ("dispatched", False, None)
    assert stage.take(cancel()) == (dispatched,)
    assert stage.take(create()) == (CREATED,)
    assert stage.advance(DELIVER) == (ShipmentDelivered(**names(), delivered_at=NOON + DELIVER),)


# The way to the recipient.


def test_the_van_leaves_and_the_parcels_arrive(stage: Stage) -> None:
    stage.booked()
    assert stage.advance(DISPATCH - timedelta(milliseconds=1)) == ()
    assert stage.advance(timedelta(milliseconds=1)) == (DISPATCHED,)
    assert stage.state == "dispatched"
    assert stage.advance(DELIVER) == (DELIVERED,)
    assert stage.state == "delivered"
    assert stage.shipment.alarm is None


def test_an_alarm_that_rings_early_or_twice_changes_nothing(stage: Stage) -> None:
    stage.booked()
    assert stage.take(AlarmRang(KEY)) == ()
    stage.advance(DISPATCH)
    assert stage.take(AlarmRang(KEY)) == ()
    stage.advance(DELIVER)
    assert stage.take(AlarmRang(KEY)) == ()


def test_a_second_answer_to_the_same_call_changes_nothing(stage: Stage) -> None:
    stage.take(create())
    answered = CallAnswered(KEY, stage.call, carry(stage.call))
    assert stage.take(answered) == (CREATED,)
    before = stage.shipment
    assert stage.take(answered) == ()
    assert stage.shipment == before


def test_an_answer_for_a_shipment_that_nobody_knows_changes_nothing(stage: Stage) -> None:
    call = CancelParcels(id="x", tracking_numbers=())
    assert stage.take(CallAnswered(KEY, call, Cancelled()), AlarmRang(KEY)) == ()
    assert stage.documents == {}


def test_knows_since_when_it_is_as_it_is(stage: Stage) -> None:
    stage.take(create())
    stage.advance(timedelta(seconds=3))
    stage.answer(lose)
    assert stage.shipment.since == NOON
    stage.answer(carry)
    assert stage.shipment.since == NOON + timedelta(seconds=3)
