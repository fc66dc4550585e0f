"""The payment provider and the carrier as they are outside: what they did is done, whoever knows of it."""

from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chassis.decision import Call
from chassis.service import Gateway
from contracts.message import Currency
from payment.gateway import Simulator as PaymentSimulator
from payment.state import Accepted, Payment, PaymentCall
from shipping.gateway import Simulator as CarrierSimulator
from shipping.state import Booked, BookParcels, Cancelled, CancelParcels, Shipment

from oms.audit.finding import Finding
from oms.simulate.line import Line, Reply

NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked for and done."""

    call: Call
    answer: object


class Party:
    """Somebody outside who does what is asked once for each idempotency key, and gives the same answer again."""

    def __init__(self, simulator: Gateway) -> None:
        self._simulator = simulator
        self.done: dict[str, Done] = {}
        """By idempotency key, in the order in which it was done."""

    def take(self, call: Call, reply: Reply) -> None:
        """Do what is asked, and answer."""
        if call.id not in self.done:
            # As if it were asked again: that the simulator loses a first answer changes nothing of what is done.
            self.done[call.id] = Done(call, _at_once(self._simulator.perform(call.model_copy(update={"tries": 1}))))
        try:
            _at_once(self._simulator.perform(call))
        except TimeoutError as lost:
            reply(lost)
        else:
            reply(self.done[call.id].answer)


def bank() -> Party:
    return Party(PaymentSimulator(slow=NO_TIME, capture_failures=2))


def carrier() -> Party:
    return Party(CarrierSimulator("GB", Currency("GBP"), slow=NO_TIME))


class Asking:
    """A service's gateway to somebody outside, over the line of one process."""

    def __init__(self, party: Party, line: Line) -> None:
        self._party = party
        self._line = line

    async def perform(self, call: Call) -> object:
        return await self._line.ask(lambda reply: self._party.take(call, reply), _broken)


def _broken() -> Exception:
    return ConnectionError("the line to the provider broke")


def _at_once(work: Coroutine[Any, Any, object]) -> object:
    """What a coroutine comes to that waits for nothing."""
    try:
        while True:
            work.send(None)
    except StopIteration as done:
        return done.value


def check_money(provider: Party, payments: Iterable[Payment]) -> Iterator[Finding]:
    """What the provider did other than the payment service remembers: a charge made twice, money still held."""
    known = {payment.id: (payment.held, payment.captured, payment.refunded) for payment in payments}
    moved: dict[str, list[int]] = {}
    held: dict[str, int] = {}
    for done in provider.done.values():
        if not isinstance(done.call, PaymentCall) or not isinstance(done.answer, Accepted):
            continue
        call = done.call
        sums = moved.setdefault("/".join(call.id.split("/")[:2]), [0, 0, 0])
        match call.operation:
            case "authorize":
                held[done.answer.reference] = call.amount
                sums[0] += call.amount
            case "capture":
                sums[0] -= held.pop(call.authorization_id, 0)
                sums[1] += call.amount
            case "void":
                sums[0] -= held.pop(call.authorization_id, 0)
            case "refund":
                sums[2] += call.amount
    for id_, sums in moved.items():
        if known.get(id_) != tuple(sums):
            said = f"the provider holds, captured, and gave back {sums}; the payment service knows of {known.get(id_)}"
            yield Finding("money", f"provider/{id_}", id_.split("/", 1)[0], said)


def check_parcels(party: Party, shipments: Iterable[Shipment]) -> Iterator[Finding]:
    """What the carrier has other than the shipping service remembers: a parcel booked twice, or never called off."""
    wanted = {it.id: len(it.parcels) if it.state in {"booked", "dispatched", "delivered"} else 0 for it in shipments}
    booked: dict[str, set[str]] = {}
    for done in party.done.values():
        numbers = booked.setdefault("/".join(done.call.id.split("/")[:3]), set())
        if isinstance(done.answer, Booked) and isinstance(done.call, BookParcels):
            numbers.update(parcel.tracking_number for parcel in done.answer.parcels)
        elif isinstance(done.answer, Cancelled) and isinstance(done.call, CancelParcels):
            numbers.difference_update(done.call.tracking_numbers)
    for id_, numbers in booked.items():
        if len(numbers) != wanted.get(id_):
            said = f"the carrier has {len(numbers)} parcels booked; the shipping service wants {wanted.get(id_)}"
            yield Finding("once", f"carrier/{id_}", id_.split("/", 1)[0], said)


Build = Callable[[], Party]
PARTIES: dict[str, Build] = {"payment": bank, "shipping": carrier}
"""Whom each service asks outside."""
