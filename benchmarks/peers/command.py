"""`peers`: measure Throughline and its peers, one after the other, on this machine."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from itertools import product
from typing import Annotated

import typer
from oms.stack.artifacts import cache_dir
from oms.stack.scratch import Scratch
from rich.console import Console
from rich.markup import escape

from peers import measure, report, throughline
from peers.dbos.system import Dbos
from peers.measure import Run
from peers.peer import Peer, Shape
from peers.report import OURS, Side
from peers.restate.system import Restate
from peers.temporal.system import Temporal


class Known(StrEnum):
    DBOS = "dbos"
    RESTATE = "restate"
    TEMPORAL = "temporal"


PEERS: dict[Known, type[Peer]] = {Known.DBOS: Dbos, Known.RESTATE: Restate, Known.TEMPORAL: Temporal}
PROCESSES, IN_FLIGHT = (1, 2), (16, 64, 256)
NOTES = Console(stderr=True)


def peers(
    *,
    orders: Annotated[int, typer.Option(min=100, help="How many orders each backlog has.")] = 2000,
    repeats: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 1,
    peer: Annotated[list[Known] | None, typer.Option(help="Which to measure, several times; by default all.")] = None,
    processes: Annotated[
        list[int] | None, typer.Option(min=1, help="Worker processes of a peer, several times; by default 1 and 2.")
    ] = None,
    in_flight: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Orders under way at once in all of them, several times; by default 16, 64 and 256."),
    ] = None,
    ours: Annotated[bool, typer.Option(help="Measure Throughline, too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let Throughline and its peers work off the same orders, in turns; nothing else should run on the machine.

    A peer that cannot be measured is named with the reason, and the command ends with status 1.
    """
    shapes = [Shape(some, many) for some, many in product(processes or PROCESSES, in_flight or IN_FLIGHT)]
    chosen = [PEERS[known]() for known in peer or Known]
    sides = asyncio.run(_measure(chosen, shapes, orders, repeats, with_ours=ours))
    if as_json:
        typer.echo(json.dumps(report.as_json(orders, sides), indent=2, ensure_ascii=False))
    else:
        Console().print(report.table(orders, sides))
    if any(side.trouble for side in sides):
        raise typer.Exit(1)


async def _measure(
    chosen: Sequence[Peer], shapes: Sequence[Shape], orders: int, repeats: int, *, with_ours: bool
) -> list[Side]:
    own = Side(OURS)
    sides = {peer.name: Side(peer.name) for peer in chosen}
    for number in range(repeats):
        if with_ours:
            await _take(own, None, number, throughline.run(orders))
        for peer in chosen:
            for shape in shapes:
                await _take(sides[peer.name], shape, number, _alone(peer, shape, orders))
    return [*([own] if with_ours else []), *sides.values()]


async def _take(side: Side, shape: Shape | None, number: int, running: Coroutine[None, None, Run]) -> None:
    """Add a run to its side. A side that had trouble once is not tried again: a figure of the rest would mislead."""
    if side.trouble:
        running.close()
        return
    NOTES.print(f"round {number + 1}: {side.name} {shape or ''}")
    try:
        side.runs.setdefault(shape, []).append(await running)
    except Exception as error:  # noqa: BLE001 - whatever it is that a peer or its library raises, it was not measured
        side.trouble = f"{type(error).__name__}: {error}"
        NOTES.print(f"[red]{side.name}:[/red] {escape(side.trouble)}", soft_wrap=True, highlight=False)


async def _alone(peer: Peer, shape: Shape, orders: int) -> Run:
    scratch = Scratch(cache_dir() / "peers" / "data")
    try:
        return await measure.run(peer, scratch.path, shape, orders)
    finally:
        scratch.close()


def main() -> None:
    typer.run(peers)
