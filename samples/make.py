"""Makes the files beside it from the retailer's CSV: `uv run python samples/make.py online-retail.csv.gz`.

The same CSV gives the same files. Real orders are sampled as they are; some of them are then changed so that something
goes wrong with them, and `made-to-fail.csv` says with which, what, and what becomes of it.
"""  # noqa: INP001 - a script, no package

import csv
import gzip
import io
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oms.placing import retail, stock_file
from oms.placing.stock_file import StockRow

HERE = Path(__file__).parent
ORDERS = 300
MOST_LINES = 30
LOCATIONS = ("LON", "MAN", "ROT")
Order = dict[str, Any]
Shelves = dict[str, Counter[str]]
"""By location, the units of each item."""


@dataclass(frozen=True)
class Kind:
    """Something that goes wrong, with so many orders."""

    name: str
    orders: int
    becomes: str
    changes: dict[str, Any]
    own_items: int = 0
    """How many of the order's items no other order of the sample may want, so that their stock can be arranged."""


KINDS = (
    Kind("only in two locations", 6, "completed in two parcels", {"allow_split": True}, own_items=2),
    Kind("out of stock", 6, "rejected, with substitutes where there are some", {}, own_items=1),
    Kind("waits for stock", 10, "completed when restock.csv is loaded", {"allow_backorder": True}, own_items=1),
    Kind("waits and is cancelled", 2, "cancelled by cancellations.ndjson", {"allow_backorder": True}, own_items=1),
    Kind("declined: funds", 7, "rejected", {"payment_token": "tok_declined_insufficient_funds"}),
    Kind("declined: expired", 4, "rejected", {"payment_token": "tok_declined_expired_card"}),
    Kind("declined: stolen", 2, "rejected", {"payment_token": "tok_declined_stolen_card"}),
    Kind("slow provider", 6, "completed", {"payment_token": "tok_slow"}),
    Kind("provider times out", 6, "completed, charged once", {"payment_token": "tok_timeout"}),
    Kind("capture fails at first", 6, "completed, captured once", {"payment_token": "tok_capture_fails"}),
    Kind("short pick", 4, "cancelled", {"special_instructions": "[simulate: short pick]"}),
    Kind("bad address", 6, "cancelled", {}),
    Kind("total does not add up", 3, "rejected", {}),
    Kind("unknown country", 2, "rejected", {}),
    Kind("quantity below one", 1, "rejected", {}),
    Kind("no lines", 1, "rejected", {"lines": []}),
    Kind("unknown currency", 1, "rejected", {"currency": "XXQ"}),
)


def main(source: Path) -> None:
    orders = sample(source)
    chosen = dict(choose(orders))
    for number, kind in chosen.items():
        change(orders[number], kind)
    lines = [*orders.values(), *again(orders, chosen)]
    write_lines("orders.ndjson", lines)
    write_lines("cancellations.ndjson", cancellations(orders, chosen))
    stock, restock = stock_of(orders, chosen)
    for name, rows in (("stock.csv", stock), ("restock.csv", restock)):
        with (HERE / name).open("w", encoding="utf-8", newline="") as file:
            stock_file.write(file, rows)
    with (HERE / "made-to-fail.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("order", "what goes wrong", "what becomes of it"))
        writer.writerows((f"{retail.CHANNEL}:{number}", kind.name, kind.becomes) for number, kind in chosen.items())


def draw(text: str) -> int:
    """A number that looks random and is the same everywhere, always."""
    return zlib.crc32(text.encode())


def sample(source: Path) -> dict[str, Order]:
    """By number, orders of at most thirty lines, in the order in which they were placed."""
    report = retail.Report()
    with gzip.open(source) as binary:
        invoices = retail.read_invoices(io.TextIOWrapper(binary, encoding="utf-8", newline=""), report)
    short = [invoice for invoice in invoices if invoice.goods and invoice.lines <= MOST_LINES]
    drawn = {invoice.number for invoice in sorted(short, key=lambda invoice: draw(invoice.number))[:ORDERS]}
    fit = retail.fit_for_orders((invoice for invoice in short if invoice.number in drawn), report)
    orders = map(retail.to_order, fit)
    return {order.number: json.loads(order.model_dump_json(exclude_defaults=True)) for order in orders}


def own_items(orders: dict[str, Order]) -> dict[str, list[str]]:
    """By number, the items that no other order wants."""
    wanted = Counter(sku for order in orders.values() for sku in {line["sku"] for line in order["lines"]})
    return {
        number: sorted(sku for sku in {line["sku"] for line in order["lines"]} if wanted[sku] == 1)
        for number, order in orders.items()
    }


def choose(orders: dict[str, Order]) -> Iterator[tuple[str, Kind]]:
    """Which order shows which kind."""
    own = own_items(orders)
    free = sorted(orders, key=lambda number: draw(f"{number} fails"))
    for kind in KINDS:
        fitting = [n for n in free if len(own[n]) >= kind.own_items and len(orders[n]["lines"]) > kind.own_items]
        for number in fitting[: kind.orders]:
            free.remove(number)
            yield number, kind


def change(order: Order, kind: Kind) -> None:
    order |= kind.changes
    match kind.name:
        case "bad address":
            order["shipping_address"] = {**order["shipping_address"], "postal_code": "00000"}
        case "total does not add up":
            order["total"] += 100
        case "unknown country":
            order["shipping_address"] = {**order["shipping_address"], "country": "XX"}
        case "quantity below one":
            order["lines"][0]["quantity"] = -order["lines"][0]["quantity"]


def again(orders: dict[str, Order], chosen: dict[str, Kind]) -> list[Order]:
    """Two orders placed once more: one the same, which changes nothing, one with other content, which is refused."""
    same, other = [order for number, order in orders.items() if number not in chosen][:2]
    return [same, {**other, "special_instructions": "Placed again, with other content."}]


def cancellations(orders: dict[str, Order], chosen: dict[str, Kind]) -> list[Order]:
    """Orders that wait, which can be cancelled; others, which may have gone too far; and one that nobody placed."""
    waiting = [number for number, kind in chosen.items() if kind.name == "waits and is cancelled"]
    others = sorted((number for number in orders if number not in chosen), key=lambda n: draw(f"{n} is cancelled"))[:8]
    return [
        {
            "order_id": f"{retail.CHANNEL}:{number}",
            "reason": "no longer wanted",
            "requested_by": "customer",
        }
        for number in (*waiting, *others, "nobody-placed-this")
    ]


def stock_of(orders: dict[str, Order], chosen: dict[str, Kind]) -> tuple[list[StockRow], list[StockRow]]:
    """The shelves before the first order, and what comes later for those who wait.

    London, asked first, lacks every twelfth item; Manchester has all; Rotterdam has what the waiting orders want. Then
    the items that no other order wants are put where they make their order go wrong.
    """
    demand = wanted(orders.values())
    shelves: Shelves = {
        "LON": Counter({sku: 2 * units if draw(f"{sku} lacks") % 12 else units // 3 for sku, units in demand.items()}),
        "MAN": Counter({sku: 2 * units for sku, units in demand.items()}),
        "ROT": wanted(orders[number] for number, kind in chosen.items() if kind.name.startswith("waits")),
    }
    later: Counter[str] = Counter()
    own = own_items(orders)
    for number, kind in chosen.items():
        for place, sku in enumerate(own[number][: kind.own_items]):
            put(sku, demand[sku], kind, place, shelves)
            if kind.name == "waits for stock":
                later[sku] = 2 * demand[sku]
    stock = [row_of(at, sku, units, demand) for at in LOCATIONS for sku, units in sorted(shelves[at].items())]
    return stock, [StockRow(location="ROT", sku=sku, quantity=units) for sku, units in sorted(later.items())]


def wanted(orders: Iterable[Order]) -> Counter[str]:
    units: Counter[str] = Counter()
    for order in orders:
        for line in order["lines"]:
            units[line["sku"]] += abs(line["quantity"])
    return units


def put(sku: str, units: int, kind: Kind, place: int, shelves: Shelves) -> None:
    """Where the order's item number `place` lies, so that what is to go wrong does."""
    for shelf in shelves.values():
        shelf[sku] = 0
    match kind.name:
        case "only in two locations":
            shelves[LOCATIONS[place]][sku] = 2 * units
        case "out of stock":
            shelves["LON"][sku] = units // 2
        case "waits for stock" | "waits and is cancelled":
            shelves["ROT"][sku] = units // 2


def row_of(location: str, sku: str, units: int, demand: Iterable[str]) -> StockRow:
    """A line of the stock file; other colors and sizes of an item, which share its digits, may stand in for it."""
    spot = draw(f"{location} {sku}")
    return StockRow(
        location=location,
        sku=sku,
        quantity=units,
        bin=f"{'ABCDEF'[spot % 6]}-{spot // 6 % 40 + 1:02d}-{spot // 240 % 5 + 1}",
        low_threshold=units // 4 if spot % 5 == 0 else 0,
        substitutes=tuple(sorted(other for other in demand if other[:5] == sku[:5] and other != sku))[:3],
    )


def write_lines(name: str, lines: Iterable[Order]) -> None:
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
