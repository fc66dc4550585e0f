"""`oms bench`: how fast it is on this machine."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from oms import bench as measuring
from oms.commands import NOTES, SHOWN, Json, print_json, said_plainly
from oms.connection import Unreachable
from oms.stack.errors import StackError


def bench(
    *,
    orders: Annotated[int, typer.Option(min=100, help="How many orders the backlog has.")] = 20_000,
    lines: Annotated[int, typer.Option(min=1, max=100, help="Lines of each order.")] = 3,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Orders a second for the latency; by default half of the throughput.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long latency is measured.")] = 15,
    as_json: Json = False,
) -> None:
    """Measure throughput, latency, memory and processor time of a system of its own, on free ports.

    Kafka, MongoDB, the five services and this command share the machine.
    """
    with said_plainly(StackError, Unreachable, measuring.Stalled), NOTES.status("starting") as status:
        result = asyncio.run(measuring.bench(orders, lines, rate, seconds, status.update))
    if as_json:
        print_json(result.as_json())
        return
    SHOWN.print(f"{result.orders_per_s:.0f} orders/s over {result.orders} orders of {result.lines_per_order} lines")
    SHOWN.print(f"at {result.latency_rate_per_s:.0f} orders/s: p50 {result.p50_ms:.0f} ms, p99 {result.p99_ms:.0f} ms")
    table = Table("process", "memory", "CPU an order", "CPU idle", box=None)
    for name, rss_mb in result.rss_mb.items():
        idle = result.idle_cpu_percent.get(name)
        cpu = f"{result.cpu_us_per_order[name]:.0f} µs"
        table.add_row(name, f"{rss_mb:.0f} MB", cpu, "" if idle is None else f"{idle:.1f} %")
    SHOWN.print(table)
