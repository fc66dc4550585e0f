"""What is ordered in a benchmark: good orders without end, and the goods for all of them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import mean
from typing import Annotated

from contracts.message import Sku
from contracts.order import Address, Customer, OrderLine, OrderPlaced
from pydantic import Field, TypeAdapter, ValidationError

from oms.placing import orders_file, shelves
from oms.placing.orders_file import BadLine
from oms.placing.stock_file import StockRow
from oms.stack.errors import StackError

SKUS = 300
STOCK = 5_000_000
LOCATIONS = ("LON", "MAN", "ROT")
COUNTRIES = ("GB", "FR", "DE", "NL")
HOT: Sku = "SKU-HOT"
UNIT_PRICE = 250
SHIPPING = 300
PATIENCE_S = 60.0

Basket = tuple[OrderLine, ...]
BASKET: TypeAdapter[Basket] = TypeAdapter(Annotated[Basket, Field(min_length=1)])


class NoOrders(Exception):  # noqa: N818 - named for what is missing
    """The file has no orders to take baskets from."""


@dataclass(frozen=True)
class Assortment:
    """What orders are made of: these baskets, one after the other, again and again."""

    baskets: Sequence[Basket]

    @property
    def lines_per_order(self) -> float:
        return round(mean(map(len, self.baskets)), 1)

    def orders(self, channel: str) -> Iterator[OrderPlaced]:
        """Orders without end, every one of them good, to a few countries."""
        for number in count(1):
            basket = self.baskets[number % len(self.baskets)]
            address = Address.model_validate(
                {"name": "A. Customer", "street": "1 High Street", "city": "Town", "country": COUNTRIES[number % 4]}
            )
            yield OrderPlaced.model_validate(
                {
                    "channel": channel,
                    "number": str(number),
                    "customer": Customer(id=f"c{number}", name="A. Customer", email="a@example.com"),
                    "shipping_address": address,
                    "billing_address": address,
                    "lines": basket,
                    "shipping_charge": SHIPPING,
                    "total": SHIPPING + sum(line.quantity * line.unit_price for line in basket),
                    "currency": "GBP",
                    "payment_token": "tok_ok",
                }
            )

    def wanted(self, channel: str, orders: int) -> Counter[Sku]:
        """How many units of each item the first orders of a channel want."""
        units: Counter[Sku] = Counter()
        for order in islice(self.orders(channel), orders):
            for line in order.lines:
                units[line.sku] += line.quantity
        return units

    def plenty(self) -> dict[Sku, int]:
        """More of every item than anybody will order."""
        return {line.sku: STOCK for basket in self.baskets for line in basket}


def spread(lines: int) -> Assortment:
    """Orders of this many lines, over all items."""
    return Assortment([_basket(number, (number * 7 + line * 13 for line in range(lines))) for number in range(SKUS)])


def hot(lines: int) -> Assortment:
    """The same orders, but the first item of every one is the same."""
    return Assortment(
        [(first.model_copy(update={"sku": HOT}), *others) for first, *others in spread(lines).baskets],
    )


def from_file(path: Path) -> Assortment:
    """The baskets of real orders; who ordered them, and how it went, is left behind. Raises NoOrders and OSError."""
    baskets = []
    with path.open("rb") as file:
        for line in orders_file.read(file):
            if isinstance(line, BadLine):
                raise NoOrders(f"{path}:{line.number}: {line.reason}")
            try:
                baskets.append(BASKET.validate_json(json.dumps(line.fields.get("lines"))))
            except ValidationError:
                continue  # an order that is made to be refused
    if not baskets:
        raise NoOrders(f"{path} has no orders")
    return Assortment(baskets)


async def stock(brokers: str, goods: dict[Sku, int], locations: Iterable[str] = LOCATIONS) -> None:
    """Deliver this much of each item to each location, and wait for all of it. Raises Unreachable and StackError."""
    rows = [
        StockRow(location=location, sku=sku, quantity=quantity)
        for location in locations
        for sku, quantity in goods.items()
    ]
    arrivals = await shelves.deliver(brokers, rows, "bench", patience_s=PATIENCE_S)
    if arrivals.missing:
        raise StackError(f"no stock came onto the shelves of {', '.join(arrivals.missing)}")


def _basket(number: int, items: Iterable[int]) -> Basket:
    quantity = 1 + number % 3
    return tuple(OrderLine(sku=f"SKU-{item % SKUS:04d}", quantity=quantity, unit_price=UNIT_PRICE) for item in items)
