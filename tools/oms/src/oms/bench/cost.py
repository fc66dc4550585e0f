"""What an order costs: processor time by process, bytes on each topic and in each journal; and memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from contracts.topics import SERVICES, TOPICS
from pymongo import AsyncMongoClient

from oms.bench.arena import Side
from oms.stack.process import Child

BENCH = "bench"
"""This process, which places the orders and watches them: it runs on the same machine."""
JOURNALED: list[dict[str, Any]] = [
    {
        "$group": {
            "_id": {"$first": {"$split": ["$_id", "/"]}},
            "entries": {"$max": "$number"},
            "bytes": {"$avg": {"$bsonSize": "$$ROOT"}},
        }
    }
]
"""By partition, how many entries there ever were, and how long one is: of the ring, only the last are there."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one order takes."""

    cpu_us: Mapping[str, float]
    """By process."""
    topic_bytes: Mapping[str, float]
    """On disk, as the producers packed it."""
    journal_bytes: Mapping[str, float]
    """By service, as it is sent to MongoDB, packed."""

    def as_json(self) -> dict[str, object]:
        return {
            f"{name}_per_order": {of: round(value, 1) for of, value in values.items()}
            for name, values in (
                ("cpu_us", self.cpu_us),
                ("topic_bytes", self.topic_bytes),
                ("journal_bytes", self.journal_bytes),
            )
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """How much was used up so far."""

    cpu_s: Mapping[str, float]
    topic_bytes: Mapping[str, float]
    journal_bytes: Mapping[str, float]

    @classmethod
    async def of(cls, side: Side) -> "Reading":
        async with AsyncMongoClient[dict[str, Any]](side.addresses.mongo) as mongo:
            journals = {service: await _journaled(mongo, service) for service in SERVICES}
        return cls(cpu_s(side), _on_disk(side.stack.directory / "kafka" / "data"), journals)

    def cost(self, since: "Reading", orders: int) -> Cost:
        """What each of this many orders cost between the two."""
        return Cost(
            cpu_us(since.cpu_s, self.cpu_s, orders),
            _each(since.topic_bytes, self.topic_bytes, orders),
            _each(since.journal_bytes, self.journal_bytes, orders),
        )


def cpu_s(side: Side) -> dict[str, float]:
    """Processor time by process so far; all instances of a service together."""
    used = {name: sum(_cpu_s(_process(child)) for child in children) for name, children in side.processes.items()}
    return {**used, BENCH: _cpu_s(psutil.Process())}


def cpu_us(before: Mapping[str, float], after: Mapping[str, float], orders: int) -> dict[str, float]:
    """Processor time by process that each of this many orders took between the two."""
    return {name: value * 1e6 for name, value in _each(before, after, orders).items()}


def without_bench(spent_us: Mapping[str, float]) -> float:
    """Of everything on the machine that is ours, without the bench itself."""
    return sum(us for name, us in spent_us.items() if name != BENCH)


def rss_mb(side: Side) -> dict[str, float]:
    """Resident memory by process; of a service with several instances, all together."""
    return {
        name: round(sum(_process(child).memory_info().rss for child in children) / 1e6, 1)
        for name, children in side.processes.items()
    }


def _each(before: Mapping[str, float], after: Mapping[str, float], orders: int) -> dict[str, float]:
    return {name: (after[name] - before[name]) / orders for name in after if after[name] > before[name]}


def _process(child: Child) -> psutil.Process:
    if child.id is None:
        raise RuntimeError(f"{child.name} was never started")
    return psutil.Process(child.id.pid)


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _on_disk(data: Path) -> dict[str, float]:
    """Bytes of each topic's segments; a topic that was deleted leaves directories of other names for a while."""
    return {
        topic.name: sum(
            log.stat().st_size
            for partition in data.glob(f"{topic.name}-*")
            if partition.name.removeprefix(f"{topic.name}-").isdecimal()
            for log in partition.glob("*.log")
        )
        for topic in TOPICS
    }


async def _journaled(mongo: AsyncMongoClient[dict[str, Any]], service: str) -> float:
    journal = mongo[service]["journal"]
    return float(sum([one["entries"] * one["bytes"] async for one in await journal.aggregate(JOURNALED)]))
