"""The processes that carry orders through the saga: this Python, with a program of the peer."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from oms.stack.process import Child

from peers.peer import Shape

READY = "ready"
"""What a worker prints when it can take orders."""


def workers(program: str, directory: Path, shape: Shape, *arguments: str) -> Iterator[Child]:
    """Not started yet. Each is told its number and how many orders it may have under way, and then the arguments."""
    for number in range(shape.processes):
        yield _worker(program, directory, [str(number), str(shape.each), *arguments])


def _worker(program: str, directory: Path, arguments: Sequence[str]) -> Child:
    name = f"worker-{arguments[0]}"
    log = directory / f"{name}.log"

    async def is_ready() -> bool:
        return READY in log.read_text().split()

    return Child(name, [sys.executable, "-m", program, *arguments], log=log, ready=is_ready)
