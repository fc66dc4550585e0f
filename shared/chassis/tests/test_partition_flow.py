"""Much at once, little memory, slow neighbours: a partition neither loses nor invents anything."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from chassis.world import LIMITS, World


async def test_documents_are_not_dropped_from_memory_under_a_batch_that_uses_them(
    toys: SimpleNamespace, world: World
) -> None:
    """A checkpoint makes documents clean, and so droppable, while a batch that counts on them waits for another."""
    here = toys.orders_on(world, 0, 8)
    process = world.start(toys.counter, limits=replace(LIMITS, documents_in_memory=0))
    loading = asyncio.Event()
    go_on = asyncio.Event()

    async def hold(step: str) -> None:
        if step == "load" and loading.is_set():
            await go_on.wait()

    process.before = hold
    for order_id in here[:4]:
        world.send(toys.ask(order_id, "first"))
    await asyncio.sleep(0.5)
    loading.set()
    for order_id in here:
        world.send(toys.ask(order_id, "second"))
    await asyncio.sleep(5)
    go_on.set()
    await asyncio.sleep(5)
    assert process.count("throughline_bugs_total") == 0
    assert [world.read(toys.counter, toys.Tally, order_id).heard for order_id in here] == [
        *[("first", "second")] * 4,
        *[("second",)] * 4,
    ]
