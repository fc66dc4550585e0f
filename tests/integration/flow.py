"""A system of its own, in which orders of every sort flow for a while; then all of them end, and are audited."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oms.audit.auditing import audit
from oms.audit.auditor import Verdict
from oms.bench.orders import spread, stock
from oms.chaos.load import LINES, Load
from oms.chaos.watch import Watch
from oms.progress import UNHEARD
from oms.stack.local import Ports
from oms.stack.process import until
from oms.system import Plan, System, running
from order.settings import Settings

from tests.integration.services import QUICK

RATE = 6.0
SOME = 12
"""How many orders more are waited for at a time."""
PATIENCE_S = 240.0
"""Far more than anything takes on a machine at rest."""


class Flow:
    """The orders of one channel."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._placed = 0
        self._news = asyncio.Event()

    def placed(self, order_id: str) -> None:
        self._watch.placed(order_id)
        self._placed += 1
        self._news.set()

    async def goes_on(self) -> None:
        """Wait until some more orders were placed."""
        wanted = self._placed + SOME
        while self._placed < wanted:
            self._news.clear()
            await self._news.wait()

    async def _is_over(self) -> bool:
        return not self._watch.tally.open

    async def have_all_ended(self) -> None:
        assert await until(self._is_over, PATIENCE_S), self._watch.tally.open


@asynccontextmanager
async def own_system() -> AsyncIterator[System]:
    """Everything, on free ports, with more on its shelves than anybody will order."""
    async with running(Plan(Ports.free(), http_port=0, settings=QUICK), lambda _: None) as system:
        await stock(system.addresses.kafka, spread(LINES).plenty())
        yield system


@asynccontextmanager
async def orders(system: System, channel: str) -> AsyncIterator[Flow]:
    """Orders keep coming until the block ends; then all of them come to their end."""
    watch = Watch(system.addresses.kafka)
    flow = Flow(watch)
    load = Load(system.addresses.kafka, RATE, flow.placed, channel)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch.run())
        await watch.begun.wait()
        placing = group.create_task(load.run())
        yield flow
        load.stop()
        await placing
        await flow.have_all_ended()
        watching.cancel()


async def audited(system: System) -> Verdict:
    return await audit(system.addresses.kafka, system.addresses.mongo, Settings().policy, UNHEARD)
