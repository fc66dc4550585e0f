"""`oms bench`: how fast it is on this machine."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from contracts.topics import PARTITIONS
from rich.markup import escape
from rich.table import Table

from oms.bench.figures import Figure, Repeated
from oms.bench.front_door import READS_PER_S
from oms.bench.orders import NoOrders
from oms.bench.report import Report
from oms.bench.sold import Missold
from oms.bench.suite import PARTS, Wanted
from oms.bench.suite import bench as measure
from oms.bench.watch import Stalled
from oms.commands import NOTES, SHOWN, Json, Partitions, print_json, said_plainly
from oms.commands.demo import HERE
from oms.connection import Unreachable
from oms.stack.errors import StackError


def bench(
    *,
    orders: Annotated[int, typer.Option(min=100, help="How many orders each backlog has.")] = 10_000,
    lines: Annotated[int, typer.Option(min=1, max=100, help="Lines of each ordinary order.")] = 3,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Orders a second for the latency; by default 25, 50 and 75 % of the throughput."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long latency is measured at each rate.")] = 15,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often everything is measured.")] = 3,
    partitions: Partitions = PARTITIONS,
    parts: Annotated[
        str,
        typer.Option(metavar="PART,PART", help=f"What is measured beside the throughput: {', '.join(PARTS)}, or none."),
    ] = ",".join(PARTS),
    orders_file: Annotated[
        Path, typer.Option(help="Whose baskets the real orders have: NDJSON.", exists=True, dir_okay=False)
    ] = HERE / "orders.ndjson",
    growth: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Measure again when there are this many orders; may be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a system of its own is, on free ports, and how far from a floor that decides nothing.

    Kafka, MongoDB, the five services and this command share the machine: nothing else should run on it. What is
    compared takes turns, again and again; each figure is the median, with the least and the most.
    """
    with said_plainly(StackError, Unreachable, Stalled, Missold, NoOrders, OSError), NOTES.status("starting") as status:

        def say(said: str) -> None:
            """On a terminal in the one line that says what is going on; in a log, each on its own."""
            status.update(escape(said))
            if not NOTES.is_terminal:
                NOTES.print(escape(said), highlight=False, soft_wrap=True)

        wanted = Wanted(orders, lines, repeats, seconds, orders_file, rate, _parts(parts), growth or (), partitions)
        result = asyncio.run(measure(wanted, say))
    if as_json:
        print_json(result.as_json())
    else:
        _show(result)


def _parts(text: str) -> list[str]:
    """The parts that were asked for. Raises StackError for one that does not exist."""
    chosen = [part.strip() for part in text.split(",") if part.strip() not in {"", "none"}]
    for part in chosen:
        if part not in PARTS:
            raise StackError(f"--parts {part}: there are {', '.join(PARTS)}")
    return chosen


def _show(report: Report) -> None:
    ratios = report.ratios()
    for group, sides in report.groups().items():
        table = Table(_words(group), "orders/s", "CPU an order", box=None)
        for name, runs in sides.items():
            table.add_row(_words(name), runs.orders_per_s.shown(), f"{runs.cpu_us_per_order.shown()} µs")
        SHOWN.print(table)
        for name, ratio in ratios.get(group, {}).items():
            SHOWN.print(f"  {_words(name)}: {ratio.shown('.2f')}", highlight=False)
    _show_times(report)
    _show_cost(report)
    _show_growth(report)
    SHOWN.print(f"Measured on {report.machine}.", highlight=False, markup=False)


def _show_times(report: Report) -> None:
    rows = {f"{steady.rate_per_s:.0f} orders/s": steady.times for steady in report.latency}
    rows |= {f"{steady.rate_per_s:.0f} orders/s, floor": steady.times for steady in report.floor_latency}
    if report.api is not None:
        rows |= {f"{name}, {report.api.rate_per_s:.0f}/s": times for name, times in report.api.times.items()}
    if (door := report.front_door) is not None:
        rows[f"POST /orders by itself, {Figure.of(door.posts_per_s).shown()}/s"] = Repeated(door.posts)
        rows[f"GET /availability by itself, {READS_PER_S}/s"] = Repeated(door.availability)
    if rows:
        table = Table("latency", "p50", "p99", "p99.9", box=None)
        for name, times in rows.items():
            table.add_row(name, *(f"{one.shown()} ms" for one in (times.p50_ms, times.p99_ms, times.p999_ms)))
        SHOWN.print(table)


def _show_cost(report: Report) -> None:
    cost, memory = report.services.cost, report.services.rss_mb
    table = Table("process", "memory", "CPU an order", "CPU idle", "journal an order", box=None)
    for name, us in cost.cpu_us.items():
        idle = report.idle_cpu_percent.get(name)
        table.add_row(
            name,
            f"{memory[name]:.0f} MB" if name in memory else "",
            f"{us:.0f} µs",
            "" if idle is None else f"{idle:.1f} %",
            f"{cost.journal_bytes[name]:.0f} B" if name in cost.journal_bytes else "",
        )
    SHOWN.print(table)
    topics = Table("topic", "an order", box=None)
    for name, size in cost.topic_bytes.items():
        topics.add_row(name, f"{size:.0f} B")
    SHOWN.print(topics)


def _show_growth(report: Report) -> None:
    if report.growth:
        table = Table("orders", "orders/s", "CPU an order", "p50", "p99", "memory of order", "recovery", box=None)
        for age in report.growth:
            table.add_row(
                f"{age.orders:,}",
                f"{age.orders_per_s:.0f}",
                f"{age.cpu_us_per_order:.0f} µs",
                *(f"{ms:.0f} ms" for ms in (age.latency.p50_ms, age.latency.p99_ms)),
                f"{age.rss_mb['order']:.0f} MB",
                f"{age.recovery_s:.1f} s",
            )
        SHOWN.print(table)


def _words(name: str) -> str:
    return name.replace("_", " ")
