"""`oms chaos`: break everything that can break, and prove that nothing comes of it."""

import asyncio
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.markup import escape
from rich.table import Table

from oms.chaos.plan import KINDS
from oms.chaos.report import Report
from oms.chaos.storm import Storm, Wanted
from oms.commands import NOTES, SHOWN, Json, print_json, said_plainly, written_whole
from oms.connection import Unreachable
from oms.log import NoLog
from oms.stack.errors import StackError


def chaos(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long things are broken.")] = 5.0,
    seed: Annotated[int, typer.Option(help="What is broken, and when, is drawn from it.")] = 1,
    rate: Annotated[float, typer.Option(min=1, max=1000, help="Orders a second.")] = 20.0,
    faults: Annotated[
        str, typer.Option(metavar="KIND,KIND", help=f"Which kinds; by default all: {', '.join(KINDS)}.")
    ] = "",
    report: Annotated[Path | None, typer.Option(help="Write the report to this file, as Markdown.")] = None,
    logs: Annotated[
        Path | None,
        typer.Option(
            help="Keep the logs of all processes in this directory.", exists=True, file_okay=False, writable=True
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a system of its own, break it again and again while orders flow, then audit what became of every order.

    Services are killed, frozen, restarted and scaled; Kafka, Redis and the primary of three MongoDB nodes are killed, a
    disk fills up, a network is cut. Then no more orders come, all must end, and the audit must be clean. It runs on
    free ports beside whatever else runs here. Ends with status 1 if anything was found.
    """
    # The page is opened first: that it cannot be written should not be found out when all is over.
    page: AbstractContextManager[TextIO | None] = nullcontext() if report is None else written_whole(report)
    with said_plainly(StackError, Unreachable, NoLog, OSError), page as text:
        kinds = _kinds(faults)
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # here Kafka is meant to be away
        with NOTES.status("starting") as status:

            def look(said: str) -> None:
                if said:
                    status.update(escape(said))
                    if not said.endswith("…"):
                        NOTES.print(escape(said), highlight=False, soft_wrap=True)

            result = asyncio.run(Storm(Wanted(minutes, seed, rate, kinds, logs), look).run())
        if as_json:
            print_json(result.as_json())
        else:
            _show(result)
        if text is not None:
            text.write(result.as_markdown())
    if not result.is_clean:
        raise typer.Exit(1)


def _kinds(text: str) -> list[str]:
    """The kinds that were asked for. Raises StackError for one that does not exist."""
    chosen = [kind.strip() for kind in text.split(",") if kind.strip()] or list(KINDS)
    for kind in chosen:
        if kind not in KINDS:
            raise StackError(f"--faults {kind}: there are {', '.join(KINDS)}")
    return chosen


def _show(report: Report) -> None:
    table = Table("fault", "times", "p50", "p99", "worst", "longest pause", box=None)
    for kind, one in report.recovery().items():
        times = (one.p50_s, one.p99_s, one.worst_s, one.longest_pause_s)
        table.add_row(kind, str(one.count), *(f"{seconds:.2f} s" for seconds in times))
    SHOWN.print(table)
    for kind, why in report.skipped.items():
        SHOWN.print(f"not tried: {kind}: {escape(why)}")
    for untried in report.untried:
        SHOWN.print(f"could not be tried: {escape(untried)}", highlight=False, soft_wrap=True)
    ends = ", ".join(f"{count:,} {state}" for state, count in report.orders.most_common())
    SHOWN.print(f"{report.orders.total():,} orders: {ends}; drained in {report.drained_s:.1f} s")
    if not report.findings:
        SHOWN.print("[green]Nothing was lost, doubled, oversold or stuck.[/green]")
    for slow in report.too_slow:
        SHOWN.print(f"[yellow]too slow:[/yellow] {escape(slow)}", highlight=False, soft_wrap=True)
    for finding in report.findings:
        SHOWN.print(f"[red]found:[/red] {escape(finding)}", highlight=False, soft_wrap=True)
