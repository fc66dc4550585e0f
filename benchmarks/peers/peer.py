"""What a peer is to the one who measures it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from oms.stack.process import Child

from peers.saga import STEPS, Order


class Unavailable(Exception):  # noqa: N818 - named for the state
    """A peer cannot be installed or started here; the message says why."""


class Undone(Exception):  # noqa: N818 - named for the state
    """A peer says that it is done, and its store does not."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many worker processes there are, and how many orders are under way at once in all of them."""

    processes: int
    in_flight: int

    @property
    def each(self) -> int:
        """How many are under way at once in one process."""
        return max(1, self.in_flight // self.processes)

    def __str__(self) -> str:
        return f"{self.processes} x {self.each}"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store of a peer holds: how many orders it completed, and how many results of steps."""

    orders: int
    steps: int

    def check(self, orders: int) -> None:
        """Raises Undone unless exactly these orders were completed, each with all its steps."""
        wanted = Stored(orders, orders * len(STEPS))
        if self != wanted:
            raise Undone(f"the store holds {self}, and it should hold {wanted}")


class System(Protocol):
    """A peer that runs, with workers of one shape."""

    @property
    def versions(self) -> Mapping[str, str]:
        """What it is made of, and the store it runs on."""

    @property
    def children(self) -> Sequence[Child]:
        """All its processes: servers, databases and workers."""

    async def complete(self, orders: Sequence[Order]) -> None:
        """Place the orders and wait until the last of them is completed."""

    async def stored(self) -> Stored:
        """Ask the store what became of all orders there ever were."""


class Peer(Protocol):
    name: str

    def running(self, directory: Path, shape: Shape) -> AbstractAsyncContextManager[System]:
        """Install what is missing, and run it with its data in the directory. Raises Unavailable and StackError."""


async def started(child: Child, exits: AsyncExitStack) -> None:
    """Start a process that ends with the block. Raises StackError."""
    await child.start()
    exits.push_async_callback(child.stop)
