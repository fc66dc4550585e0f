"""The five services as processes of their own, any number of instances of each."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from contracts.topics import SERVICES

from oms.stack.errors import StackError, first_stack_error
from oms.stack.local import LocalStack
from oms.stack.ports import claim
from oms.stack.process import Child

HTTP_PORT = 18001
"""Where the order service's first instance listens; the other services take the ports after it."""
NEXT_INSTANCE = 10
"""Each further instance of a service takes the port ten higher."""
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Addresses:
    """What the services depend on."""

    kafka: str
    mongo: str
    redis: str

    @classmethod
    def of(cls, stack: LocalStack) -> "Addresses":
        return cls(stack.kafka_bootstrap, stack.mongo_url, stack.redis_url)

    def as_environment(self) -> dict[str, str]:
        return {"KAFKA_BROKERS": self.kafka, "MONGO_URL": self.mongo, "REDIS_URL": self.redis}


class Instance(Child):
    """One process of one service."""

    def __init__(
        self, service: str, number: int, port: int, logs: Path, environment: Mapping[str, str], *, detached: bool
    ) -> None:
        self.service = service
        self.url = f"http://127.0.0.1:{port}"
        name = service if number == 0 else f"{service}-{number + 1}"
        super().__init__(
            name,
            [Path(sys.executable).with_name(f"{service}-service")],
            log=logs / f"{name}.log",
            ready=self._is_ready,
            env={**environment, "HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(port)},
            stop_timeout_s=STOP_TIMEOUT_S,
            detached=detached,
        )

    async def _is_ready(self) -> bool:
        async with httpx.AsyncClient(timeout=2) as client:
            try:
                return (await client.get(f"{self.url}/readyz")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False


FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""As in the image: glibc else gives every thread a heap of its own, and each of those grows for as long as it lives."""


class Fleet:
    """All instances of all services.

    `scale` says how many instances of a service run (one, unless told otherwise), a `first_port` of 0 takes free ones,
    `settings` are environment variables for every service. By `brokers` a service has a way of its own to Kafka.
    """

    def __init__(
        self,
        addresses: Addresses,
        logs: Path,
        *,
        scale: Mapping[str, int] | None = None,
        first_port: int = HTTP_PORT,
        detached: bool = False,
        settings: Mapping[str, str] | None = None,
        brokers: Mapping[str, str] | None = None,
    ) -> None:
        self._logs = logs
        self._first_port = first_port
        self._detached = detached
        self._environment = {**FEW_ARENAS, **addresses.as_environment(), **(settings or {})}
        self._brokers = brokers or {}
        self.instances: list[Instance] = []
        for service in SERVICES:
            for _ in range((scale or {}).get(service, 1)):
                self.add(service)

    def add(self, service: str) -> Instance:
        """One more instance, not started yet. Raises StackError when its port is taken."""
        number = len(self.of(service))
        offset = SERVICES.index(service) + NEXT_INSTANCE * number
        port = claim(self._first_port and self._first_port + offset, f"{service}-service", "--http-port")
        environment = dict(self._environment)
        if service in self._brokers:
            environment["KAFKA_BROKERS"] = self._brokers[service]
        instance = Instance(service, number, port, self._logs, environment, detached=self._detached)
        self.instances.append(instance)
        return instance

    def of(self, service: str) -> list[Instance]:
        """The instances of one service."""
        return [instance for instance in self.instances if instance.service == service]

    def url(self, service: str) -> str:
        """Where the first instance of a service answers HTTP."""
        return self.of(service)[0].url

    async def start(self) -> None:
        """Start all and wait until they serve. Raises StackError with the end of the log of one that does not."""
        try:
            async with asyncio.TaskGroup() as group:
                for instance in self.instances:
                    group.create_task(instance.start())
        except BaseException as error:
            await self.stop()
            if known := first_stack_error(error):
                raise known from None
            raise

    async def stop(self) -> None:
        async with asyncio.TaskGroup() as group:
            for instance in self.instances:
                group.create_task(instance.stop())


def read_scale(texts: list[str]) -> dict[str, int]:
    """`["inventory=2"]` as a mapping. Raises StackError that says what is wrong."""
    scale: dict[str, int] = {}
    for text in texts:
        service, _, number = text.partition("=")
        if service not in SERVICES or not number.isdecimal() or not 1 <= int(number) <= 16:
            raise StackError(
                f"--scale {text}: say SERVICE=N with a service of {', '.join(SERVICES)} and N from 1 to 16"
            )
        scale[service] = int(number)
    return scale
