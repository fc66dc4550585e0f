"""`oms import`: other people's data, made into orders."""

import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, TextIO, cast

import typer
from contracts.message import MOST_UNITS, Currency, Location
from contracts.reasons import reasons_of
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from oms.commands import NOTES, Json, print_json, said_plainly, written_whole
from oms.placing import retail, stock_file

app = typer.Typer(help="Turn other people's data into orders.", no_args_is_help=True)
GZIP = b"\x1f\x8b"


class TooManyUnits(Exception):  # noqa: N818 - named for what is wrong
    """The orders take more of an item than a stock file can say."""


@app.callback()
def _group() -> None:
    """Keep the group a group: typer would fold its only command into it."""


@app.command("online-retail")
def online_retail(
    file: Annotated[Path, typer.Argument(help="The data set's CSV, plain or gzipped.", exists=True, dir_okay=False)],
    *,
    out: Annotated[Path, typer.Option(help="Where the orders go, one JSON object a line; - is standard output.")] = (
        Path("-")
    ),
    stock: Annotated[
        Path | None, typer.Option(help="Write a stock file, too, with exactly what these orders take.")
    ] = None,
    location: Annotated[str, typer.Option(help="The location of that stock.")] = "LON",
    limit: Annotated[int | None, typer.Option(min=1, help="The most orders to make.")] = None,
    currency: Annotated[str, typer.Option(help="ISO 4217 code of the currency the prices are in.")] = "GBP",
    as_json: Json = False,
) -> None:
    """Turn the UCI "Online Retail" data set into orders: one invoice an order, every line accounted for.

    Charges such as POST and DOT become the shipping charge. Lines that are in no order (cancellations, adjustments,
    fees, ...) are counted by reason. What the data lacks (names, addresses, payment tokens) is synthetic and says so.
    The report goes to standard output, or to standard error when the orders go there.
    """
    _check("--currency", Currency, currency)
    _check("--location", Location, location)
    report = retail.Report()
    with said_plainly(retail.NotRetail, TooManyUnits, OSError, EOFError, zlib.error):
        with _opened(file) as text:
            invoices = [*retail.fit_for_orders(retail.read_invoices(text, report), report, limit)]
        report.check()
        rows = _taken(invoices, location) if stock is not None else []
        with written_whole(out) as lines:
            for invoice in invoices:
                order = retail.to_order(invoice, currency)
                lines.write(order.model_dump_json(exclude_defaults=True) + "\n")
        if stock is not None:
            with written_whole(stock) as text:
                stock_file.write(text, rows)
    stream = sys.stderr if Path("-") in {out, stock} else sys.stdout
    if as_json:
        print_json(report.as_json(), stream)
    else:
        _show(report, Console(file=stream))


def _taken(invoices: Iterable[retail.Invoice], location: str) -> list[stock_file.StockRow]:
    """Exactly what the orders of these invoices take. Raises TooManyUnits."""
    taken: Counter[str] = Counter()
    for invoice in invoices:
        for sku, quantity, _ in invoice.goods:
            taken[sku] += quantity
    for sku in sorted(taken):
        if taken[sku] > MOST_UNITS:
            most = f"a stock file has at most {MOST_UNITS:,} of an item: take fewer orders with --limit, or no --stock"
            raise TooManyUnits(f"these orders take {taken[sku]:,} units of {sku}, and {most}")
    return [stock_file.StockRow(location=location, sku=sku, quantity=taken[sku]) for sku in sorted(taken)]


def _check(option: str, kind: Any, text: str) -> None:  # noqa: ANN401 - types are no type
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(reasons_of(error)[0].message, param_hint=option) from None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The file's text, unpacked if need be, with a bar that shows how much of it is read."""
    name = escape(path.name)
    with Progress(console=NOTES, transient=True) as progress, progress.open(path, "rb", description=name) as raw:
        packed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        binary = gzip.GzipFile(fileobj=raw) if packed else raw
        # What cannot be read as UTF-8 shows up as a malformed code, where it matters, and is reported with its line.
        yield io.TextIOWrapper(cast("IO[bytes]", binary), encoding="utf-8-sig", errors="replace", newline="")


def _show(report: retail.Report, console: Console) -> None:
    table = Table(title=f"{report.orders:,} orders of {report.lines_read:,} lines")
    table.add_column("lines", justify="right")
    table.add_column("what became of them")
    table.add_column("the first one", justify="right")
    table.add_row(f"{report.goods_lines:,}", "goods in orders")
    table.add_row(f"{report.charge_lines:,}", "shipping charges of orders", end_section=True)
    for reason, count in report.left_out.most_common():
        explanation = f"left out: {retail.EXPLANATIONS[reason]}"
        table.add_row(f"{count:,}", explanation, f"line {report.examples[reason]:,}")
    console.print(table)
    if report.guests:
        console.print(f"{report.guests:,} orders name no customer: a guest was made up for each.")
    for name, count in report.guessed_countries.most_common():
        console.print(f'{count:,} orders go to "{name}": taken for {retail.COUNTRIES[name]}.')
