"""The five services as processes of their own, on the engines of the tests."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from oms.fleet import Addresses, Fleet

QUICK = {
    "PICK_AFTER_S": "0.01",
    "PACK_AFTER_S": "0.01",
    "RETRY_FIRST_S": "0.5",
    "DISPATCH_AFTER_S": "1",
    "DELIVER_AFTER_S": "0.5",
    "SIMULATOR_SLOW_S": "0.5",
    "SESSION_TIMEOUT_S": "6",
}
"""The simulated world takes little time, and Kafka gives up a killed instance as soon as it may."""


class Services:
    """Runs one set of services at a time, because all sets share topics, groups and databases.

    Another set, with other settings, begins where the one before it stopped.
    """

    def __init__(self, addresses: Addresses, logs: Path) -> None:
        self._addresses = addresses
        self._logs = logs
        self._settings: Mapping[str, str] = {}
        self._sets = 0
        self._fleet: Fleet | None = None

    @property
    def fleet(self) -> Fleet:
        assert self._fleet is not None, "no services run yet"
        return self._fleet

    async def run(self, settings: Mapping[str, str]) -> None:
        """Have one instance of each service running with these settings; who reads nothing that changes goes on."""
        changed = {name for name, _ in settings.items() ^ self._settings.items()}
        before = self._fleet
        if before is None or not self._is_whole(before):
            await self.stop()
            kept = {}
        else:
            kept = {one.service: one for one in before.instances if not changed & _read_by(one.service)}
            if len(kept) == len(before.instances):
                return
            async with asyncio.TaskGroup() as group:
                for one in before.instances:
                    if one.service not in kept:
                        group.create_task(one.stop())
        self._sets += 1
        logs = self._logs / f"services-{self._sets}"
        self._settings = settings
        self._fleet = Fleet(self._addresses, logs, first_port=0, settings={**QUICK, **settings})
        new = [one for one in self._fleet.instances if one.service not in kept]
        self._fleet.instances = [kept.get(one.service, one) for one in self._fleet.instances]
        async with asyncio.TaskGroup() as group:
            for one in new:
                group.create_task(one.start())

    @staticmethod
    def _is_whole(fleet: Fleet) -> bool:
        return len(fleet.instances) == 5 and all(instance.alive for instance in fleet.instances)

    async def stop(self) -> None:
        if self._fleet is not None:
            await self._fleet.stop()
            self._fleet = None

    @asynccontextmanager
    async def paused(self, service: str) -> AsyncIterator[None]:
        """A service hears nothing and says nothing until the block ends (SIGSTOP)."""
        instances = self.fleet.of(service)
        for instance in instances:
            instance.pause()
        try:
            yield
        finally:
            for instance in instances:
                instance.resume()

    @asynccontextmanager
    async def replaced(self, service: str, program: Path) -> AsyncIterator[None]:
        """Another version of a service runs in the place of its first instance until the block ends."""
        instance = self.fleet.of(service)[0]
        good = instance.command
        try:
            await instance.stop()
            instance.command = [sys.executable, str(program)]
            await instance.start()
            yield
        finally:
            await instance.stop()
            instance.command = good
            await instance.start()

    async def crash(self, service: str) -> None:
        """Kill the first instance of a service (SIGKILL), and start it again."""
        instance = self.fleet.of(service)[0]
        instance.kill()
        await instance.start()


def _read_by(service: str) -> set[str]:
    """The environment variables that a service reads."""
    return {name.upper() for name in import_module(f"{service}.settings").Settings.model_fields}
