"""One backlog, worked off by one peer: how long it takes, and what it costs."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psutil
from oms.stack.process import Child

from peers.peer import Peer, Shape
from peers.saga import orders

WARM_UP = 100
"""Orders that go first and are not counted: interpreters, connections and caches are cold."""
BACKLOG_TIMEOUT_S = 1800
"""A backlog that takes longer is not measured."""


@dataclass(frozen=True, slots=True)
class Run:
    versions: Mapping[str, str]
    wall_s: float
    orders_per_s: float
    cpu_us_per_order: float
    """Of all processes of the peer, without the one that places the orders."""


async def run(peer: Peer, directory: Path, shape: Shape, count: int) -> Run:
    """Raises Unavailable, StackError, Undone, and TimeoutError."""
    async with peer.running(directory, shape) as system, asyncio.timeout(BACKLOG_TIMEOUT_S):
        await system.complete(orders("warm", WARM_UP))
        backlog = orders("backlog", count)
        before_s, began = cpu_s(system.children), monotonic()
        await system.complete(backlog)
        wall_s, used_s = monotonic() - began, cpu_s(system.children) - before_s
        (await system.stored()).check(WARM_UP + count)
        return Run(system.versions, wall_s, count / wall_s, used_s / count * 1e6)


def cpu_s(children: Iterable[Child]) -> float:
    """Processor time that the processes used so far, and their descendants, those among them that have ended."""
    return sum(_tree_s(psutil.Process(child.id.pid)) for child in children if child.id is not None)


def _tree_s(root: psutil.Process) -> float:
    used_s = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent has its time by now
        used_s += times.user + times.system + times.children_user + times.children_system
    return used_s
