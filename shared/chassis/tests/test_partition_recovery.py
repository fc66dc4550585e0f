"""Whatever dies, and wherever: the documents are the same, no message is lost, and what comes twice is an echo."""

import asyncio
from datetime import datetime
from types import SimpleNamespace

from chassis.decision import Decision, Documents, Input
from chassis.world import World
from contracts.payment import PaymentVoided

SETTLED_S = 20


def voided(order_id: str, attempt: int) -> PaymentVoided:
    return PaymentVoided(order_id=order_id, revision=1, attempt=attempt)


async def test_a_link_goes_on_without_a_gap_after_messages_that_changed_nothing(
    toys: SimpleNamespace, world: World
) -> None:
    """The position moves past an ignored message with the next entry; the number heard on its link must, too."""
    ignored, counted = toys.orders_on(world, 0, 2)

    class Deaf(toys.Counter):
        def decide(self, documents: Documents, message: Input, now: datetime) -> Decision:
            return Decision() if message.order_id == ignored else super().decide(documents, message, now)

    deaf = toys.counter_with(needs=Deaf().needs, decide=Deaf().decide)
    one = world.start(deaf)
    await asyncio.sleep(0.1)
    world.send(voided(ignored, 1), source="payment/0@a", sequence=1)
    await asyncio.sleep(0.1)
    world.send(voided(counted, 1), source="payment/1@b", sequence=1)
    await asyncio.sleep(0.1)
    one.crash()
    two = world.start(deaf)
    world.send(voided(counted, 2), source="payment/0@a", sequence=2)
    await asyncio.sleep(SETTLED_S)
    assert two.partition.state == "running"
    assert world.read(deaf, toys.Tally, counted).heard == ("voided 1", "voided 2")
