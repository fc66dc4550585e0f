"""What an owner passes over before it knows of the last entry of the owner before it, it hears again."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace

from chassis.decision import Call, CallAnswered, Decision, Document, Documents, Input
from chassis.service import Service
from chassis.testing.world import LIMITS, World, calling
from contracts.order import CancelOrder
from contracts.payment import PaymentVoided, VoidPayment
from contracts.topics import REPAIRS


class Tale(Document):
    """A call, then a command, then its answer; an answer to what was not asked is passed over, as sagas do."""

    kind = "tale"
    order_id: str
    asked: int = 0
    voided: int = 0


def needs(message: Input, _: Documents) -> Iterable[str]:
    match message:
        case CallAnswered(document=key):
            return [key]
        case CancelOrder() | PaymentVoided():
            return [Tale.key_of(message.order_id)]
        case _:
            return []


def decide(documents: Documents, message: Input, _: datetime) -> Decision:
    match message:
        case CancelOrder(order_id=order_id):
            return Decision((Tale(id=order_id, order_id=order_id, calls=(Call(id=order_id),)),))
        case CallAnswered(call=call):
            tale = documents.get(Tale, call.id)
            assert tale is not None
            return Decision((tale.but(calls=(), asked=1),), (VoidPayment(order_id=tale.id, revision=1, attempt=1),))
        case PaymentVoided(order_id=order_id):
            tale = documents.get(Tale, order_id)
            return Decision((tale.but(voided=tale.voided + 1),)) if tale is not None and tale.asked else Decision()
        case _:
            return Decision()


@dataclass
class Bank:
    takes_s: float

    async def perform(self, _: Call) -> object:
        await asyncio.sleep(self.takes_s)
        return "yes"


async def test_an_answer_to_what_a_zombie_said_last_is_not_lost(toys: SimpleNamespace, world: World) -> None:
    bank = Bank(takes_s=0.1)
    topics = ("order.intake", "payment.events", REPAIRS.name)
    service = calling(Service("order", topics, (Tale,), needs=needs, decide=decide), bank)
    world.start(toys.payer)
    [order_id] = toys.orders_on(world, 0, 1)
    zombie = world.start(service, limits=replace(LIMITS, checkpoint_interval_s=30))
    appended = 0

    async def freeze_before_the_second_entry(step: str) -> None:
        nonlocal appended
        appended += step == "append"
        if step == "append" and appended == 2:
            zombie.freeze()

    zombie.before = freeze_before_the_second_entry
    world.send(toys.ask(order_id, "please"))
    await asyncio.sleep(5)

    bank.takes_s = 8  # until then the new owner knows of nothing that was asked
    owner = world.start(service)
    await asyncio.sleep(1)
    zombie.feed.close()
    zombie.partition.stop()
    zombie.thaw()  # it journals and publishes what it has begun, and is answered
    await asyncio.sleep(5)
    assert len(world.topics.all("payment.events")) == 1
    await asyncio.sleep(20)

    assert owner.partition.state == "running"
    tale = world.read(service, Tale, order_id)
    assert tale is not None
    assert (tale.asked, tale.voided) == (1, 1)


async def test_an_owner_that_is_cut_off_from_kafka_leaves_the_partition_to_its_successor(
    toys: SimpleNamespace, world: World
) -> None:
    [order_id] = toys.orders_on(world, 0, 1)
    zombie = world.start(toys.counter)
    await asyncio.sleep(5)
    world.send(toys.ask(order_id, "not saved yet"))
    await asyncio.sleep(0.1)

    async def cut_off(_: Collection[str]) -> Mapping[str, int]:
        await asyncio.sleep(40)
        raise ConnectionError("Kafka does not answer")

    zombie.feed.ends = cut_off  # type: ignore[method-assign] # in memory, nobody is ever cut off
    zombie.feed.close()
    owner = world.start(toys.counter)
    for number in range(60):
        await asyncio.sleep(10)
        world.send(toys.ask(order_id, f"ask {number}"))
    await asyncio.sleep(5)

    assert zombie.partition.state == "recovering"
    assert owner.partition.state == "running"
    assert (zombie.count("throughline_fenced_total"), owner.count("throughline_fenced_total")) == (1, 0)
    assert owner.steps.count("claim") == 1
    assert len(world.read(toys.counter, toys.Tally, order_id).heard) == 61
