"""Two toy services on a world in memory, in virtual time: one counts what channels ask for, the other answers it.

What the counter does with a CancelOrder is written in its reason: `ignore …` does nothing, `bug …` raises, `needs a
bug` raises before it, `call …` asks the gateway, `alarm 5` wants to be woken in five seconds and `alarm never` not any
more, `deaf` does not clear its alarm, `heavy 3` makes a document of three megabytes, `unwritable` one that is no JSON,
`loud` says what is too large for Kafka. Everything else is only counted. Whatever is counted is told to the payer,
which answers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn

import pytest
import structlog
from chassis.decision import AlarmRang, Call, CallAnswered, Decision, Document, Documents, Input, Unknown
from chassis.service import Gateway, Service
from chassis.testing.virtual_time import VirtualTimeLoop
from chassis.testing.world import World, calling
from contracts.message import Message, Reason
from contracts.order import CancelOrder, OrderRejected
from contracts.payment import PaymentVoided, VoidPayment
from contracts.record import Received
from contracts.topics import REPAIRS

RETRY_S = 5
AT_LENGTH = Reason(path="", code="long", message="x" * 1000)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}


class Tally(Document):
    """What an order heard, in order."""

    kind = "tally"
    order_id: str
    heard: tuple[str, ...] = ()
    asked: int = 0
    weight: str = ""


class Voids(Document):
    kind = "voids"
    order_id: str
    attempts: tuple[int, ...] = ()


class Counter:
    """The pure core of the service called `order`."""

    def needs(self, message: Input, _: Documents) -> Iterable[str]:
        if isinstance(message, CancelOrder) and message.reason.startswith("needs a bug"):
            raise RuntimeError("a bug in needs")
        if isinstance(message, AlarmRang | CallAnswered):
            return [message.document]
        return [Tally.key_of(message.order_id)]

    def decide(self, documents: Documents, message: Input, now: datetime) -> Decision:
        if isinstance(message, AlarmRang):
            tally = documents.get(Tally, message.document.split("/", 1)[1])
            return self._rang(tally) if tally else Decision()
        if isinstance(message, CallAnswered):
            return self._answered(documents, message, now)
        tally = documents.get(Tally, message.order_id) or Tally(id=message.order_id, order_id=message.order_id)
        if isinstance(message, PaymentVoided):
            return Decision((self._heard(tally, f"voided {message.attempt}"),))
        return self._asked(tally, message, now)

    def _rang(self, tally: Tally) -> Decision:
        if any(what.startswith("deaf") for what in tally.heard):
            return Decision((self._heard(tally, "rang"),))
        return Decision((self._heard(tally, "rang").but(alarm=None),))

    def _asked(self, tally: Tally, message: CancelOrder, now: datetime) -> Decision:
        what, _, rest = message.reason.partition(" ")
        if what == "ignore" or message.reason in tally.heard:
            return Decision()
        if what == "bug":
            raise RuntimeError(message.reason)
        tally = self._heard(tally, message.reason).but(asked=tally.asked + 1)
        if what == "alarm":
            tally = tally.but(alarm=now + timedelta(seconds=float(rest)) if rest != "never" else None)
        if what == "call":
            tally = tally.but(calls=(*tally.calls, Call(id=f"{tally.id}/{message.reason}")))
        if what == "heavy":
            tally = tally.but(weight="x" * int(rest) * 1_000_000)
        if what == "unwritable":
            tally = tally.but(weight=object())
        if what == "loud":
            return Decision((tally,), (OrderRejected(order_id=tally.id, revision=1, reasons=(AT_LENGTH,) * 2100),))
        return Decision((tally,), (VoidPayment(order_id=tally.id, revision=1, attempt=tally.asked),))

    def _answered(self, documents: Documents, message: CallAnswered, now: datetime) -> Decision:
        tally = documents.get(Tally, message.document.split("/", 1)[1])
        if tally is None:
            return Decision()
        others = tuple(call for call in tally.calls if call.id != message.call.id)
        if isinstance(message.answer, Unknown):
            again = message.call.model_copy(
                update={"tries": message.call.tries + 1, "not_before": now + timedelta(seconds=RETRY_S)}
            )
            return Decision((self._heard(tally, "unknown").but(calls=(*others, again)),))
        return Decision((self._heard(tally, f"answered {message.answer}").but(calls=others),))

    @staticmethod
    def _heard(tally: Tally, what: str) -> Tally:
        return tally.but(heard=(*tally.heard, what))


class Payer:
    """The pure core of the service called `payment`."""

    @staticmethod
    def needs(message: Input, _: Documents) -> Iterable[str]:
        return [Voids.key_of(message.order_id)] if isinstance(message, VoidPayment) else []

    @staticmethod
    def decide(documents: Documents, message: Input, _: datetime) -> Decision:
        if not isinstance(message, VoidPayment):
            return Decision()
        order_id = message.order_id
        voids = documents.get(Voids, order_id) or Voids(id=order_id, order_id=order_id)
        voided = PaymentVoided(order_id=order_id, revision=1, attempt=message.attempt)
        return Decision((voids.but(attempts=(*voids.attempts, message.attempt)),), (voided,))


class Toys:
    """What a test of the engine is made of."""

    Tally = Tally
    Voids = Voids
    Counter = Counter
    counter = Service(
        "order",
        ("order.intake", "payment.events", REPAIRS.name),
        (Tally,),
        needs=Counter().needs,
        decide=Counter().decide,
    )
    payer = Service("payment", ("payment.commands", REPAIRS.name), (Voids,), needs=Payer.needs, decide=Payer.decide)

    LETTERS = "order.intake.dead-letter"

    @staticmethod
    def counter_with(*, gateway: Gateway | None = None, **parts: object) -> Service:
        counter = Toys.counter if gateway is None else calling(Toys.counter, gateway)
        return replace(counter, **parts)  # type: ignore[arg-type] # the parts are the test's to choose

    @staticmethod
    def orders_on(world: World, partition: int, count: int) -> list[str]:
        """Ids of orders that live on this partition."""
        found: list[str] = []
        number = 0
        while len(found) < count:
            order_id = f"shop:{number}"
            if world.log.partition_of(order_id) == partition:
                found.append(order_id)
            number += 1
        return found

    @staticmethod
    def ask(order_id: str, reason: str) -> Message:
        return CancelOrder(order_id=order_id, reason=reason, requested_by="Ann")

    @staticmethod
    def read_ask(record: Received) -> CancelOrder:
        return CancelOrder.model_validate_json(record.value or b"")


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Thousands of crashes would be told at length."""

    def drop(*_: object) -> NoReturn:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture
def toys() -> type[Toys]:
    return Toys


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()
