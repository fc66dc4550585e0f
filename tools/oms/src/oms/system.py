"""All of Throughline on this machine: the local stack (unless engines are named), the topics, the five services."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from contracts.topics import SERVICES

from oms.fleet import HTTP_PORT, Addresses, Fleet
from oms.setup import OtherPartitions, create_topics
from oms.stack import artifacts
from oms.stack.errors import StackError
from oms.stack.local import LocalStack, Ports
from oms.stack.scratch import Scratch
from oms.stack.state import RunningProcess, RunningStack

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to run, and where."""

    ports: Ports
    http_port: int = HTTP_PORT
    """Where the first instance of the first service listens; 0 takes free ports."""
    scale: Mapping[str, int] | None = None
    engines: Addresses | None = None
    """Engines that run elsewhere; None starts the local ones."""
    partitions: int | None = None
    """None makes as many as the topics that are there have, or as `oms setup` does by default."""
    settings: Mapping[str, str] | None = None
    """Environment variables for every service."""
    breakable: bool = False
    """Whether it can be broken in every way: three MongoDB nodes, and for each service a network that can be cut."""
    own_disk: bool = False
    """Whether one MongoDB node has a disk that can be made full."""


@dataclass(frozen=True)
class System:
    """What runs."""

    addresses: Addresses
    fleet: Fleet
    stack: LocalStack | None
    directory: Path


@asynccontextmanager
async def running(plan: Plan, say: Say) -> AsyncIterator[System]:
    """Run everything until the block ends; then all of it is stopped and its data removed. Raises StackError."""
    async with AsyncExitStack() as exits:
        stack = None
        if plan.engines is None:
            say("starting Kafka, MongoDB and Redis")
            nodes, relayed = (3, SERVICES) if plan.breakable else (1, ())
            engines = LocalStack(plan.ports, mongo_nodes=nodes, relayed=relayed, own_disk=plan.own_disk)
            stack = await exits.enter_async_context(engines)
            directory, addresses = stack.directory, Addresses.of(stack)
        else:
            scratch = Scratch(artifacts.cache_dir() / "stacks")
            exits.callback(scratch.close)
            directory, addresses = scratch.path, plan.engines
        brokers = {name: relay.address for name, relay in stack.relays.items()} if stack else {}
        fleet = await _fleet(plan, addresses, directory, say, brokers=brokers, detached=False)
        exits.push_async_callback(fleet.stop)
        yield System(addresses, fleet, stack, directory)


async def start_detached(plan: Plan, say: Say) -> RunningStack:
    """Start everything so that it outlives this process, and note it down for `oms down`. Raises StackError."""
    if (before := RunningStack.load()) is not None:
        if before.alive:
            raise StackError("It runs already: `oms status` shows it, `oms down` stops it.")
        await before.stop()
    stack = None
    if plan.engines is None:
        stack = LocalStack(plan.ports, detached=True)
        say("starting Kafka, MongoDB and Redis")
        await stack.start()
        directory, addresses = stack.directory, Addresses.of(stack)
    else:
        directory, addresses = Scratch(artifacts.cache_dir() / "stacks", detached=True).path, plan.engines
    noted = RunningStack(
        kafka_bootstrap=addresses.kafka,
        mongo_url=addresses.mongo,
        redis_url=addresses.redis,
        directory=directory,
        engines=[RunningProcess.of(child) for child in stack.children] if stack else [],
    )
    try:  # what runs and is not noted, no command would stop
        noted.save()
        fleet = await _fleet(plan, addresses, directory, say, brokers={}, detached=True)
        noted.services = [RunningProcess.of(instance, instance.url) for instance in fleet.instances]
        noted.save()
    except BaseException:
        await noted.stop()
        raise
    return noted


async def _fleet(
    plan: Plan, addresses: Addresses, directory: Path, say: Say, *, brokers: Mapping[str, str], detached: bool
) -> Fleet:
    try:
        await create_topics(addresses.kafka, plan.partitions)
    except (OtherPartitions, KafkaError) as refusal:
        raise StackError(str(refusal)) from refusal
    fleet = Fleet(
        addresses,
        directory / "logs",
        scale=plan.scale,
        first_port=plan.http_port,
        detached=detached,
        settings=plan.settings,
        brokers=brokers,
    )
    say(f"starting {len(fleet.instances)} service processes")
    await fleet.start()
    return fleet
