"""`oms stock`: what is on the shelves."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import Progress
from rich.table import Table

from oms import connection, stock_file
from oms.commands import NOTES, SHOWN, Brokers, Json, print_json, said_plainly
from oms.sending import Sender, TooLarge, letter

app = typer.Typer(help="Fill the shelves.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the group a group: typer would fold its only command into it."""


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns location, sku, quantity and, where wanted, bin, low_threshold, substitutes.",
            exists=True,
            dir_okay=False,
        ),
    ],
    *,
    again: Annotated[
        bool, typer.Option("--again", help="It is another delivery of the same: add it even if it was loaded before.")
    ] = False,
    brokers: Brokers = None,
    as_json: Json = False,
) -> None:
    """Receive what a stock file lists, and set bins, thresholds and substitutes as it says.

    The same file is the same delivery: loading it twice adds nothing, unless --again says that it came again.
    """
    with said_plainly(stock_file.BadStockFile, connection.Unreachable, TooLarge, OSError):
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = stock_file.read(text)
        delivery = stock_file.delivery_name(rows)
        if again:
            delivery = f"{delivery}-{uuid4().hex[:8]}"
        asyncio.run(_send(rows, delivery, connection.brokers(brokers)))
    _report(rows, delivery, as_json=as_json)


async def _send(rows: list[stock_file.StockRow], delivery: str, brokers: str) -> None:
    messages = list(stock_file.to_messages(rows, delivery))
    with Progress(console=NOTES, transient=True) as progress:
        async with Sender(brokers) as sender:
            for message in progress.track(messages, description="loading stock"):
                await sender.send(letter(message))


def _report(rows: list[stock_file.StockRow], delivery: str, *, as_json: bool) -> None:
    units: Counter[str] = Counter()
    for row in rows:
        units[row.location] += row.quantity
    items = Counter(row.location for row in rows)
    if as_json:
        locations = [{"location": name, "items": items[name], "units": units[name]} for name in sorted(items)]
        print_json({"delivery": delivery, "locations": locations})
        return
    table = Table(title=f"delivery {delivery}")
    table.add_column("location")
    table.add_column("items", justify="right")
    table.add_column("units", justify="right")
    for name in sorted(items):
        table.add_row(name, f"{items[name]:,}", f"{units[name]:,}")
    SHOWN.print(table)
