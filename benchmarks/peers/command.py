"""`peers`: measure Throughline and its peers, one after the other, on this machine."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Annotated

import typer
from oms.stack.artifacts import cache_dir
from oms.stack.errors import StackError
from oms.stack.scratch import Scratch
from rich.console import Console
from rich.markup import escape

from peers import measure, ours, report
from peers.dbos.system import Dbos
from peers.measure import Run
from peers.peer import Peer, Shape, Unavailable, Undone
from peers.report import OURS, Side
from peers.restate.system import Restate

PEERS: dict[str, type[Peer]] = {"dbos": Dbos, "restate": Restate}
NOTES = Console(stderr=True)


def peers(
    *,
    orders: Annotated[int, typer.Option(min=100, help="How many orders each backlog has.")] = 2000,
    repeats: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 1,
    processes: Annotated[str, typer.Option(help="Worker processes of a peer, swept.")] = "1,2",
    in_flight: Annotated[str, typer.Option(help="Orders under way at once in all of them, swept.")] = "16,64,256",
    only: Annotated[str, typer.Option(help="Peers to measure, beside Throughline.")] = ",".join(PEERS),
    without_ours: Annotated[bool, typer.Option("--without-ours", help="Leave Throughline out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let Throughline and its peers work off the same orders, in turns; nothing else should run on the machine.

    A peer that cannot be measured is named with the reason, and the command ends with status 1.
    """
    shapes = [Shape(int(some), int(many)) for some in processes.split(",") for many in in_flight.split(",")]
    chosen = [PEERS[name]() for name in only.split(",") if name]
    sides = asyncio.run(_measure(chosen, shapes, orders, repeats, with_ours=not without_ours))
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
            await _take(own, None, number, ours.run(orders))
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
    except (Unavailable, Undone, StackError, TimeoutError) as error:
        side.trouble = str(error) or type(error).__name__
        NOTES.print(f"[red]{side.name}:[/red] {escape(side.trouble)}", soft_wrap=True, highlight=False)


async def _alone(peer: Peer, shape: Shape, orders: int) -> Run:
    scratch = Scratch(cache_dir() / "peers" / "data")
    try:
        return await measure.run(peer, scratch.path, shape, orders)
    finally:
        scratch.close()


def main() -> None:
    typer.run(peers)
