"""Does what the plan says to the system that runs, and mends it again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import time

from pymongo.errors import PyMongoError

from oms.chaos.plan import Fault
from oms.fleet import Instance
from oms.stack.local import LocalStack
from oms.stack.mongo import Node
from oms.stack.process import Child, until
from oms.system import System

PRIMARY_WITHIN_S = 60.0
FULL_WITHIN_S = 70.0


class Unbroken(Exception):  # noqa: N818 - named for the state
    """A fault could not be brought about, so that nothing was tried."""


class Breaker:
    """Breaks and mends; each fault returns the moment from which on there was nothing left to wait for but recovery.

    That is the kill for what is killed, since others may go on at once, and the mending for what lasts.
    """

    def __init__(self, system: System, stack: LocalStack) -> None:
        self._fleet = system.fleet
        self._stack = stack
        self._faults: dict[str, Callable[[Fault], Awaitable[float]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "restart": self._restart,
            "scale-up": self._scale_up,
            "scale-down": self._scale_down,
            "broker": self._broker,
            "primary-kill": self._kill_primary,
            "primary-freeze": self._freeze_primary,
            "disk": self._fill_disk,
            "redis": self._redis,
            "network": self._network,
        }

    async def commit(self, fault: Fault) -> float:
        """Break it, and mend it after its time. Raises Unbroken, StackError."""
        return await self._faults[fault.kind](fault)

    def dead(self) -> list[Child]:
        """What should run and does not."""
        return [child for child in (*self._stack.children, *self._fleet.instances) if not child.alive]

    # Services.

    def _instance(self, fault: Fault) -> Instance:
        return self._fleet.of(fault.service)[fault.instance]

    async def _kill(self, fault: Fault) -> float:
        instance = self._instance(fault)
        instance.kill()
        killed = time()
        instance.spawn()
        return killed

    async def _freeze(self, fault: Fault) -> float:
        return await _frozen(self._instance(fault), fault.length_s)

    async def _restart(self, fault: Fault) -> float:
        instance = self._instance(fault)
        await instance.stop()
        await instance.start()
        return time()

    async def _scale_up(self, fault: Fault) -> float:
        await self._fleet.add(fault.service).start()
        return time()

    async def _scale_down(self, fault: Fault) -> float:
        instance = self._fleet.of(fault.service)[-1]
        await instance.stop()
        self._fleet.instances.remove(instance)
        return time()

    async def _network(self, fault: Fault) -> float:
        relay = self._stack.relays[fault.service]
        relay.cut()
        try:
            await asyncio.sleep(fault.length_s)
        finally:
            relay.mend()
        return time()

    # Engines.

    async def _broker(self, fault: Fault) -> float:
        self._stack.kafka.kill()
        await asyncio.sleep(fault.length_s)
        await self._stack.kafka.start()
        return time()

    async def _redis(self, _: Fault) -> float:
        self._stack.redis.kill()
        killed = time()
        await self._stack.redis.start()
        return killed

    async def _kill_primary(self, fault: Fault) -> float:
        primary = await self._primary()
        primary.kill()
        killed = time()
        await asyncio.sleep(fault.length_s)
        await primary.start()
        return killed

    async def _freeze_primary(self, fault: Fault) -> float:
        return await _frozen(await self._primary(), fault.length_s)

    async def _fill_disk(self, fault: Fault) -> float:
        """MongoDB ends when it cannot write; with room again it is started again."""
        node = await self._primary_with_a_disk()
        if node.disk is None:
            raise Unbroken("no MongoDB node has a disk of its own")
        node.disk.fill()
        try:
            ended = await self._cannot_write(node)
            await asyncio.sleep(fault.length_s)
        finally:
            node.disk.clear()
        await node.start()
        return ended

    @staticmethod
    async def _cannot_write(node: Node) -> float:
        """Wait until the node has ended, and say when.

        It lives on what room its journal's files have left, until it writes its data, once a minute; now is sooner.
        """

        async def ended() -> bool:
            return not node.alive

        async with node.client() as client:
            with suppress(PyMongoError):
                await client.admin.command("fsync")
        if not await until(ended, FULL_WITHIN_S):
            raise Unbroken(f"MongoDB did not notice within {FULL_WITHIN_S:.0f} s that its disk was full")
        return time()

    async def _primary_with_a_disk(self) -> Node:
        node = self._stack.mongo.nodes[-1]

        async def leads() -> bool:
            if await self._stack.mongo.primary() is node:
                return True
            async with node.client() as client:
                try:
                    await client.admin.command("replSetStepUp")
                except PyMongoError:
                    await asyncio.sleep(1)  # it lags, or another one is being elected
            return False

        if not await until(leads, PRIMARY_WITHIN_S):
            raise Unbroken(f"the MongoDB node with a disk of its own was not elected within {PRIMARY_WITHIN_S:.0f} s")
        return node

    async def _primary(self) -> Node:
        primary: Node | None = None

        async def leads() -> bool:
            nonlocal primary
            primary = await self._stack.mongo.primary()
            return primary is not None

        if not await until(leads, PRIMARY_WITHIN_S) or primary is None:
            raise Unbroken(f"MongoDB had no primary for {PRIMARY_WITHIN_S:.0f} s")
        return primary


async def _frozen(child: Child, seconds: float) -> float:
    child.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        child.resume()
    return time()
