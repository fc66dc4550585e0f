"""`oms stock`: what is on the shelves."""

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape
from rich.table import Table

from oms import connection
from oms.commands import NOTES, SHOWN, Brokers, Json, print_json, said_plainly
from oms.log import NoLog
from oms.placing import shelves, stock_file
from oms.placing.sending import TooLarge
from oms.placing.shelves import Arrivals

app = typer.Typer(help="Fill the shelves.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the group a group: typer would fold its only command into it."""


def _name(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise typer.BadParameter(f"{text!r} is not 1 to 64 letters, digits, points, dashes and underscores")
    return text


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
    named: Annotated[
        str | None,
        typer.Option(
            "--delivery",
            metavar="NAME",
            callback=_name,
            help="The name of the delivery, to go on with one that broke off; by default it follows from the file.",
        ),
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Give up after this many seconds without any news.")] = 60.0,
    brokers: Brokers = None,
    as_json: Json = False,
) -> None:
    """Receive what a stock file lists, and set bins, thresholds and substitutes as it says.

    It returns when everything is on the shelves. The same file is the same delivery: loading it twice adds nothing,
    unless --again says that it came again. Ends with status 1 if a location refused its stock or did not answer; Kafka
    has the delivery even so, and nothing is lost.
    """
    with said_plainly(stock_file.BadStockFile, connection.Unreachable, NoLog, TooLarge, OSError):
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = stock_file.read(text)
        at = connection.brokers(brokers)
        delivery = named or stock_file.delivery_name(rows)
        if again:
            delivery = f"{delivery}-{uuid4().hex[:8]}"
            # Once more with --again it would be yet another one.
            NOTES.print(f"if this breaks off, go on with --delivery {delivery} instead of --again", highlight=False)
        arrivals = asyncio.run(_deliver(rows, delivery, at, patience))
    _report(rows, delivery, arrivals, as_json=as_json)
    if arrivals.awaited or arrivals.refused:
        raise typer.Exit(1)


async def _deliver(rows: list[stock_file.StockRow], delivery: str, brokers: str, patience_s: float) -> Arrivals:
    with NOTES.status("loading stock") as status:

        def look(arrivals: Arrivals) -> None:
            status.update(f"waiting for {', '.join(arrivals.missing)}")

        return await shelves.deliver(brokers, rows, delivery, patience_s=patience_s, on_look=look)


def _report(rows: list[stock_file.StockRow], delivery: str, arrivals: Arrivals, *, as_json: bool) -> None:
    units: Counter[str] = Counter()
    for row in rows:
        units[row.location] += row.quantity
    items = Counter(row.location for row in rows)
    if as_json:
        locations = [{"location": name, "items": items[name], "units": units[name]} for name in sorted(items)]
        print_json(
            {
                "delivery": delivery,
                "locations": locations,
                "not_on_the_shelves": arrivals.missing,
                "refused": [refusal.model_dump(mode="json") for refusal in arrivals.refused],
            }
        )
        return
    table = Table(title=f"delivery {delivery}")
    table.add_column("location")
    table.add_column("items", justify="right")
    table.add_column("units", justify="right")
    for name in sorted(items):
        table.add_row(name, f"{items[name]:,}", f"{units[name]:,}")
    SHOWN.print(table)
    for refusal in arrivals.refused:
        for reason in refusal.reasons:
            NOTES.print(f"refused by {refusal.location}: {escape(reason.message)}", style="red", highlight=False)
    if arrivals.missing:
        NOTES.print(f"not on the shelves so far: {', '.join(arrivals.missing)}", style="yellow", highlight=False)
