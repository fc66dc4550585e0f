"""`oms demo`: the product in a minute."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Annotated

import httpx
import typer
from rich.live import Live
from rich.table import Column, Table

from oms.commands import SHOWN, audit, order, said_plainly
from oms.connection import Unreachable
from oms.demo import Demo, Outcomes, Samples, Stuck
from oms.placing.place import STATES
from oms.stack.errors import StackError
from oms.stack.local import Ports
from oms.system import Plan, System, running

HERE = Path(__file__).resolve().parents[5] / "samples"


def demo(
    *,
    samples: Annotated[Path, typer.Option(help="Where the sample orders are.", exists=True, file_okay=False)] = HERE,
) -> None:
    """Run everything, send 300 real orders through it, kill a service on the way, and audit the result.

    It runs on free ports beside whatever else runs here, and leaves nothing behind. The exit status is 1 when the audit
    finds anything.
    """
    with said_plainly(StackError, Unreachable, Stuck, OSError):
        clean = asyncio.run(_demo(Samples(samples)))
    if not clean:
        raise typer.Exit(1)


async def _demo(samples: Samples) -> bool:
    begun = monotonic()
    status = SHOWN.status("starting")
    status.start()
    async with running(Plan(Ports.free(), http_port=0), status.update) as system:
        status.stop()
        SHOWN.print(f"Kafka, MongoDB, Redis and five services run after {monotonic() - begun:.1f} s.")
        await _play(system, samples)
        SHOWN.rule("The audit: all topics, then the databases")
        verdict = await audit.find_out(system.addresses.kafka, system.addresses.mongo)
        audit.show(verdict)
    SHOWN.print(f"Everything is stopped and removed, {monotonic() - begun:.0f} s after the start.")
    return not verdict.findings


async def _play(system: System, samples: Samples) -> None:
    with Live(console=SHOWN, transient=True, auto_refresh=False) as live:

        def look(said: str) -> None:
            if said:
                SHOWN.print(f"  {said}", highlight=False)
            live.update(_progress(play.outcomes), refresh=True)

        play = Demo(system, samples, look)
        await play.play()
    SHOWN.rule("What became of the orders")
    SHOWN.print(_outcomes(play.outcomes))
    undone = play.undone()
    if undone is not None:
        SHOWN.rule("The story of one that was undone")
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{system.fleet.url('order')}/orders/{undone}", params={"wait_s": 5})
            order.show(answer.raise_for_status().json())


def _progress(outcomes: Outcomes) -> Table:
    """How many orders are in which state now, each as a bar."""
    states, total = outcomes.tally.states, max(1, len(outcomes.tally.state))
    table = Table(box=None, show_header=False)
    for state in STATES:
        table.add_row(state, f"{states[state]:4}", "█" * round(40 * states[state] / total))
    return table


def _outcomes(outcomes: Outcomes) -> Table:
    table = Table("what", "why", Column("orders", justify="right"), box=None)
    for (state, why), count in sorted(
        outcomes.by_reason.items(), key=lambda item: (STATES.index(item[0][0]), -item[1])
    ):
        table.add_row(state, why, str(count))
    table.add_section()
    table.add_row("all", "", str(len(outcomes.tally.state)))
    return table
