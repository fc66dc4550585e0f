"""Whatever is asked in whatever order, and whatever gets lost on the way, no parcel is booked twice or forgotten."""

from datetime import date, timedelta
from typing import Any, ClassVar

from chassis.backoff import Backoff
from chassis.decision import AlarmRang, CallAnswered, Unknown
from chassis.testing.stage import Rehearsal
from contracts.message import CountryAlpha2, Currency, Message, Reason
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
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from shipping.decide import Policy, decider, needs
from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Collected, Refused, Shipment

ID = "web:1001/1/1"
KEY = f"shipments/{ID}"
ANN = Recipient(name="Ann", street="High Street 1", city="Leeds", country=CountryAlpha2("GB"))


class Carrier:
    """A strict carrier with a memory: it never does a thing twice, and knows what stands at its gate."""

    def __init__(self, *, is_early: bool = False) -> None:
        self.booked: set[str] = set()
        self.bookings = 0
        self._done: dict[str, Booked | Refused | Cancelled | Collected] = {}
        self._is_early = is_early

    def ask(self, call: BookParcels | CancelParcels, willing: bool) -> Booked | Refused | Cancelled | Collected:
        if call.id not in self._done:
            self._done[call.id] = self._do(call) if willing else Refused(reason=Reason(path="", code="no", message=""))
        return self._done[call.id]

    def _do(self, call: BookParcels | CancelParcels) -> Booked | Cancelled | Collected:
        if isinstance(call, CancelParcels):
            assert set(call.tracking_numbers) == self.booked
            if self._is_early:
                return Collected()
            self.booked.clear()
            return Cancelled()
        self.bookings += 1
        parcels = tuple(
            TrackedParcel(
                location=parcel.location,
                carrier="Parcel Post",
                tracking_number=f"{call.id}/{parcel.location}",
                cost=1,
                currency=Currency("GBP"),
                estimated_delivery=date(2026, 1, 6),
            )
            for parcel in call.parcels
        )
        self.booked.update(parcel.tracking_number for parcel in parcels)
        return Booked(parcels=parcels)


class Histories(RuleBasedStateMachine):
    NAMES: ClassVar[dict[str, Any]] = {"order_id": "web:1001", "revision": 1, "attempt": 1}

    def __init__(self) -> None:
        super().__init__()
        seconds = timedelta(seconds=1)
        self.stage = Rehearsal(needs, decider(Policy(Backoff(seconds, 60 * seconds), 5 * seconds, 10 * seconds)))
        self.carrier = Carrier()
        self.answered: list[CallAnswered] = []
        self.create_waits = self.cancel_waits = self.cancelled = self.left = False

    @property
    def shipment(self) -> Shipment | None:
        return self.stage.get(Shipment, ID)

    @property
    def call(self) -> BookParcels | CancelParcels | None:
        return self.shipment.calls[0] if self.shipment is not None and self.shipment.calls else None

    def hear(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            match message:
                case ShipmentCancelled():
                    self.cancelled, self.create_waits, self.cancel_waits = True, False, False
                    assert not self.carrier.booked
                case ShipmentCreated(parcels=parcels):
                    self.create_waits = False
                    assert not self.cancelled
                    assert {parcel.tracking_number for parcel in parcels} == self.carrier.booked
                case ShipmentDispatched() | ShipmentDelivered():
                    self.left, self.cancel_waits = True, False
                    assert not self.cancelled
                    assert self.carrier.booked
                case _:
                    assert isinstance(message, ShipmentRefused)
                    self.create_waits = False

    @initialize(booked=st.booleans(), is_early=st.booleans())
    def begin(self, booked: bool, is_early: bool) -> None:
        """Start with a booking half of the time, since random commands seldom get far."""
        self.carrier = Carrier(is_early=is_early)
        if booked:
            self.create()
            self.answer(willing=True)

    # What comes from the saga, in any order and any number of times, and from the clock.

    @rule(at_once=st.booleans())
    def create(self, at_once: bool = False) -> None:
        self.create_waits = True
        parcels = (Parcel(location="LEEDS", units=3), Parcel(location="YORK", units=1))
        names = self.NAMES | {"at_once": at_once}
        self.hear(self.stage.take(CreateShipment(**names, recipient=ANN, method="standard", parcels=parcels)))

    @rule(at_once=st.booleans())
    def cancel(self, at_once: bool) -> None:
        self.cancel_waits = True
        self.hear(self.stage.take(CancelShipment(**self.NAMES, at_once=at_once)))

    @rule(seconds=st.integers(1, 8))
    def wait(self, seconds: int) -> None:
        self.hear(self.stage.advance(timedelta(seconds=seconds)))

    @rule()
    def ring_out_of_turn(self) -> None:
        before = self.shipment
        assert self.stage.take(AlarmRang(KEY)) == ()
        assert self.shipment == before

    # What comes from the carrier, or gets lost on the way there or back.

    @precondition(lambda self: self.call is not None)
    @rule(willing=st.booleans())
    def answer(self, willing: bool) -> None:
        assert self.call is not None
        self._answer(self.carrier.ask(self.call, willing))

    @precondition(lambda self: self.call is not None)
    @rule(done=st.booleans(), willing=st.booleans())
    def lose_the_answer(self, done: bool, willing: bool) -> None:
        assert self.call is not None
        if done:
            self.carrier.ask(self.call, willing)
        self._answer(Unknown("lost"))

    @precondition(lambda self: self.call is not None)
    @rule(willing=st.booleans())
    def crash_before_the_answer_is_journaled(self, willing: bool) -> None:
        """The call will be made again as it was; the document is read back from where it is stored."""
        assert self.call is not None
        self.carrier.ask(self.call, willing)
        self.stage.documents = {
            key: Shipment.model_validate_json(document.model_dump_json())
            for key, document in self.stage.documents.items()
        }

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def hear_an_old_answer_again(self, data: st.DataObject) -> None:
        """An answer to a call that is no longer pending changes nothing."""
        echo = data.draw(st.sampled_from(self.answered))
        if self.call is None or echo.call.id != self.call.id:
            before = self.shipment
            assert self.stage.take(echo) == ()
            assert self.shipment == before

    def _answer(self, answer: object) -> None:
        assert self.call is not None
        answered = CallAnswered(KEY, self.call, answer)
        self.answered.append(answered)
        self.hear(self.stage.take(answered))

    # What must always hold.

    @invariant()
    def nothing_is_booked_twice(self) -> None:
        assert self.carrier.bookings <= 1

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        """Without a call under way, everybody who asked has been answered, and what stands at the gate is wanted."""
        shipment = self.shipment
        if shipment is None or shipment.calls:
            return
        assert Shipment.model_validate_json(shipment.model_dump_json()) == shipment
        assert shipment.failing is None
        assert not self.create_waits
        assert not self.cancel_waits
        assert {parcel.tracking_number for parcel in shipment.parcels} == self.carrier.booked or self.cancelled

    @invariant()
    def vans_move_only_what_is_wanted(self) -> None:
        shipment = self.shipment
        if shipment is not None:
            assert (shipment.alarm is not None) == (shipment.state in {"booked", "dispatched"})

    def teardown(self) -> None:
        """Once the carrier does what it is asked, everything comes to an end."""
        for _ in range(5):
            if self.call is not None:
                self._answer(self.carrier.ask(self.call, willing=True))
        assert self.call is None
        self.nothing_waits_for_nothing()
        self.hear(self.stage.advance(timedelta(hours=1)))
        assert self.shipment is None or self.shipment.alarm is None
        assert bool(self.carrier.booked) == self.left


Histories.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
