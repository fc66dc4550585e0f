"""The work that every peer does for an order: steps in stages, where those of one stage run side by side."""

from typing import TypedDict

STAGES = (("validate",), ("reserve", "authorize"), ("fulfill",), ("ship",), ("capture",))
STEPS = tuple(step for stage in STAGES for step in stage)
LINES = 3
"""Of each order, as `oms bench` has them."""


class Line(TypedDict):
    sku: str
    quantity: int
    unit_price: int


class Order(TypedDict):
    order_id: str
    currency: str
    lines: list[Line]


class Done(TypedDict):
    """What a step says: what the peer writes durably before it goes on."""

    order_id: str
    step: str
    units: int
    amount: int


def order(channel: str, number: int) -> Order:
    lines = [Line(sku=f"SKU-{(number + line) % 300:03}", quantity=1 + line, unit_price=1999) for line in range(LINES)]
    return Order(order_id=f"{channel}-{number:06}", currency="EUR", lines=lines)


def orders(channel: str, count: int) -> list[Order]:
    return [order(channel, number) for number in range(count)]


def do(step: str, of: Order) -> Done:
    """What pickers, the payment provider and the carrier do: they are simulated, and answer at once."""
    units = sum(line["quantity"] for line in of["lines"])
    amount = sum(line["quantity"] * line["unit_price"] for line in of["lines"])
    return Done(order_id=of["order_id"], step=step, units=units, amount=amount)
