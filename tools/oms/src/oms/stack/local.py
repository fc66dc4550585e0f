"""The whole local stack, started and stopped as one."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from oms.stack import artifacts
from oms.stack.disk import Disk
from oms.stack.errors import first_stack_error
from oms.stack.kafka import Door, Kafka
from oms.stack.mongo import ReplicaSet
from oms.stack.ports import claim, free_port
from oms.stack.process import Child
from oms.stack.redis import Redis
from oms.stack.relay import Relay
from oms.stack.scratch import Scratch

KAFKA_VERSION = "4.3.0"


@dataclass(frozen=True)
class Ports:
    """Where the engines listen on loopback; 0 is any free port. More MongoDB nodes take the ports after the first."""

    kafka: int = 19092
    mongo: int = 19017
    redis: int = 19379

    @classmethod
    def free(cls) -> Self:
        return cls(0, 0, 0)


class LocalStack:
    """Kafka, MongoDB and Redis as processes of ours, with their data in a directory that goes when they go.

    `async with LocalStack(Ports.free()) as stack` stops everything at the end, and also when this process is killed.
    A `detached` stack outlives this process; `children` and `directory` say what has to be stopped and removed then.
    Each name of `relayed` gets a way to Kafka of its own, which can be cut; with `own_disk` the last MongoDB node has
    a disk that can be made full.
    """

    kafka: Kafka
    mongo: ReplicaSet
    redis: Redis
    directory: Path
    disk: Disk | None = None
    _scratch: Scratch

    def __init__(
        self,
        ports: Ports | None = None,
        *,
        mongo_nodes: int = 1,
        relayed: Sequence[str] = (),
        own_disk: bool = False,
        detached: bool = False,
    ) -> None:
        self.ports = ports or Ports()
        self.mongo_nodes = mongo_nodes
        self.detached = detached
        self.children: list[Child] = []
        self.relays: dict[str, Relay] = {}
        """By the name they were asked for, ways to Kafka that can be cut."""
        self._relayed = relayed
        self._own_disk = own_disk
        self._exits = AsyncExitStack()

    @property
    def kafka_bootstrap(self) -> str:
        return self.kafka.bootstrap

    @property
    def mongo_url(self) -> str:
        return self.mongo.url

    @property
    def redis_url(self) -> str:
        return self.redis.url

    async def start(self) -> None:
        """Fetch what is missing, start everything and wait until it answers. Raises StackError; nothing runs then."""
        kafka_port = claim(self.ports.kafka, "Kafka", "--kafka-port")
        redis_port = claim(self.ports.redis, "Redis", "--redis-port")
        first = self.ports.mongo
        mongo_ports = [claim(first and first + number, "MongoDB", "--mongo-port") for number in range(self.mongo_nodes)]
        self._scratch = Scratch(artifacts.cache_dir() / "stacks", detached=self.detached)
        self.directory = self._scratch.path
        try:
            if self._own_disk:
                self.disk = Disk(self.directory / "disk")
                self.children.append(self.disk)
                await self.disk.start()
            mongo = self.directory / "mongo"
            self.mongo = ReplicaSet(mongo, mongo_ports, disk=self.disk, detached=self.detached)
            self.redis = Redis(self.directory / "redis", redis_port, detached=self.detached)
            self.children += [self.redis, *self.mongo.nodes]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_kafka(kafka_port))
                group.create_task(self.mongo.start())
                group.create_task(self.redis.start())
        except BaseException as error:
            await self.stop()
            if known := first_stack_error(error):
                raise known from None
            raise

    async def _start_kafka(self, port: int) -> None:
        jars = await artifacts.fetch(artifacts.kafka_jars(), artifacts.cache_dir() / f"kafka-{KAFKA_VERSION}")
        doors = {name: Door(free_port(), advertised=free_port()) for name in self._relayed}
        for name, door in doors.items():
            self.relays[name] = await self._exits.enter_async_context(Relay(door.advertised, door.port))
        self.kafka = Kafka(self.directory / "kafka", jars, port, free_port(), doors=doors, detached=self.detached)
        self.children.append(self.kafka)
        await self.kafka.start()

    async def stop(self) -> None:
        """Stop everything and remove its data."""
        await self._exits.aclose()
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(child.stop())
        await asyncio.to_thread(self._scratch.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
