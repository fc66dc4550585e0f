"""Where sides are measured: one Kafka, one MongoDB and one Redis, which one side after the other has to itself."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from contracts.topics import PARTITIONS, SERVICES
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from oms.bench.floor import READY, WITHOUT_STORAGE
from oms.fleet import Addresses, Fleet, Instance
from oms.setup import OURS, create_topics
from oms.stack.errors import StackError, first_stack_error
from oms.stack.local import LocalStack
from oms.stack.process import Child, until

SETTINGS = {"PICK_AFTER_S": "0", "PACK_AFTER_S": "0", "DISPATCH_AFTER_S": "86400"}
"""The simulated pickers take no time, so that what is timed is ours; and the van leaves on another day, so that what is
counted is what an order takes until it is completed."""
GONE_WITHIN_S = 30.0
KEPT_DATABASES = {"admin", "config", "local"}


class Kind(StrEnum):
    """Who works the orders off."""

    SERVICES = "services"
    FLOOR = "floor"
    FLOOR_WITHOUT_STORAGE = "floor_without_storage"


@dataclass(frozen=True)
class Side:
    """What runs now, and where."""

    addresses: Addresses
    stack: LocalStack
    partitions: int
    instances: Mapping[str, Sequence[Child]]
    """By service."""

    @property
    def processes(self) -> dict[str, list[Child]]:
        """Those of each service, and the engines, by the name that people know them by."""
        engines: dict[str, list[Child]] = {"Kafka": [self.stack.kafka], "Redis": [self.stack.redis]}
        engines["MongoDB"] = [*self.stack.mongo.nodes]
        return {name: list(children) for name, children in self.instances.items()} | engines

    def url(self, service: str) -> str:
        """Where the first instance of a service answers HTTP; the floor does not."""
        first = self.instances[service][0]
        if not isinstance(first, Instance):
            raise TypeError(f"{first.name} answers no HTTP")
        return first.url


class Arena:
    """Lets one side run at a time, each time on topics and databases that are new."""

    def __init__(self, stack: LocalStack, partitions: int = PARTITIONS) -> None:
        self._stack = stack
        self._partitions = partitions
        self._addresses = Addresses.of(stack)
        self._runs = count(1)

    @asynccontextmanager
    async def side(self, kind: Kind, scale: Mapping[str, int]) -> AsyncIterator[Side]:
        """Run a side until the block ends, with one instance of each service or as many as told. Raises StackError."""
        await self._empty()
        logs = self._stack.directory / "logs" / str(next(self._runs))
        if kind == Kind.SERVICES:
            fleet = Fleet(self._addresses, logs, scale=scale, first_port=0, settings=SETTINGS)
            instances: dict[str, Sequence[Child]] = {service: fleet.of(service) for service in SERVICES}
        else:
            options = [WITHOUT_STORAGE] if kind == Kind.FLOOR_WITHOUT_STORAGE else []
            instances = {service: [_floor(service, options, self._addresses, logs)] for service in SERVICES}
        children = [child for some in instances.values() for child in some]
        try:
            await start_all(children)
            yield Side(self._addresses, self._stack, self._partitions, instances)
        finally:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.stop())

    async def _empty(self) -> None:
        """Begin anew: nobody finds a message, a document or an offset of the side that ran before."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._addresses.kafka)
        await admin.start()
        try:

            async def are_gone() -> bool:
                return not OURS & set(await admin.list_topics())

            if left := OURS & set(await admin.list_topics()):
                await admin.delete_topics(sorted(left))
                if not await until(are_gone, GONE_WITHIN_S):
                    raise StackError("Kafka does not delete its topics")
        finally:
            await admin.close()
        await create_topics(self._addresses.kafka, self._partitions)
        async with AsyncMongoClient[dict[str, object]](self._addresses.mongo) as mongo:
            for database in set(await mongo.list_database_names()) - KEPT_DATABASES:
                await mongo.drop_database(database)
        async with Redis.from_url(self._addresses.redis) as redis:
            await redis.flushdb()


async def start_all(children: Sequence[Child]) -> None:
    """Start all at once. Raises StackError when one does not start."""
    try:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(child.start())
    except BaseExceptionGroup as errors:
        raise first_stack_error(errors) or errors from None


def _floor(service: str, options: Sequence[str], addresses: Addresses, logs: Path) -> Child:
    log = logs / f"{service}.log"

    async def is_ready() -> bool:
        return READY in log.read_text().split()

    return Child(
        service,
        [sys.executable, "-m", "oms.bench.floor", service, *options],
        log=log,
        ready=is_ready,
        env=addresses.as_environment(),
    )
