"""Which locations are asked for stock, in which order, and how: a pure rule, whose answers are all on the log.

1. Each location of the route is asked for the whole order; the first that has it gets it.
2. If none has, and the order may be split, each is asked in turn for what is still missing.
3. If the order may be backordered, the last location is asked to take what it has and to wait for the rest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from contracts.inventory import BinQuantity, ReserveStock, StockReserved
from contracts.message import Reason, SkuQuantity
from contracts.order import OrderLine, Substitutes

from order.state import Order

RESERVE = "reserve"
"""The name of the saga's step that asks for stock."""


@dataclass(frozen=True, slots=True)
class Routes:
    """The policy: by which locations an order is served, the preferred one first."""

    default: tuple[str, ...]
    by_country: Mapping[str, tuple[str, ...]]
    """By ISO 3166-1 alpha-2 code of the destination."""

    def to(self, country: str) -> tuple[str, ...]:
        return self.by_country.get(country, self.default)


class Question(NamedTuple):
    """One location that is asked, and what it is to do when it is short."""

    location: str
    when_short: Literal["refuse", "split", "backorder"]


def questions(route: tuple[str, ...], *, allow_split: bool, allow_backorder: bool) -> tuple[Question, ...]:
    """Everything that may be asked on behalf of one order: attempt n asks the n-th question."""
    asked = [Question(location, "refuse") for location in route]
    if allow_split:
        asked += [Question(location, "split") for location in route[:-1]]
    if allow_backorder:
        asked.append(Question(route[-1], "backorder"))
    elif allow_split and len(route) > 1:
        asked.append(Question(route[-1], "split"))
    return tuple(asked)


def next_question(order: Order) -> tuple[ReserveStock, ...]:
    """The next attempt at reserving what the order still needs; nothing if there is nobody left to ask."""
    placed = order.content
    asked = questions(order.route, allow_split=placed.allow_split, allow_backorder=placed.allow_backorder)
    attempt = len(order.tasks_of(RESERVE)) + 1
    if attempt > len(asked):
        return ()
    question = asked[attempt - 1]
    command = ReserveStock(
        order_id=order.id,
        revision=order.revision,
        attempt=attempt,
        location=question.location,
        lines=_wanted(order),
        when_short=question.when_short,
    )
    return (command,)


def _wanted(order: Order) -> tuple[SkuQuantity, ...]:
    return order.missing or tuple(SkuQuantity(sku=line.sku, quantity=line.quantity) for line in order.content.lines)


def adds_up(order: Order, answer: StockReserved) -> bool:
    """Whether what is reserved and what is missing make up what was asked for, item by item."""
    return _units(chain(answer.lines, answer.missing)) == _units(order.missing or order.content.lines)


def _units(lines: Iterable[BinQuantity | SkuQuantity | OrderLine]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units


def shortages(order: Order, _: object) -> tuple[Reason, ...]:
    """Every item that was short somewhere, each with the path of its first line, and every location that was silent."""
    available: dict[str, list[str]] = {}
    for short_at in order.short:
        for shortage in short_at.shortages:
            available.setdefault(shortage.sku, []).append(f"{shortage.available} at {short_at.location}")
    wanted = _units(order.content.lines)
    reasons = []
    for place, line in enumerate(order.content.lines):
        if where := available.pop(line.sku, None):
            message = f"{wanted[line.sku]} {line.sku} wanted, available are {', '.join(where)}"
            reasons.append(Reason(path=f"lines[{place}].quantity", code="out_of_stock", message=message[:1000]))
    reasons.extend(_silent(order))
    return tuple(reasons) or (Reason(path="lines", code="out_of_stock", message="no location has it in stock"),)


def _silent(order: Order) -> Iterator[Reason]:
    """Every location that was given up: all that was asked of it is called off, and what it has is not known."""
    asked, short = order.tasks_of(RESERVE), {short_at.location for short_at in order.short}
    for location in order.route:
        states = {task.state for task in asked if task.location == location}
        if location not in short and states and states <= {"undoing", "undone"}:
            yield Reason(path="", code="no_answer", message=f"{location} did not answer in time")


def substitutes(order: Order) -> tuple[Substitutes, ...]:
    """What could be ordered in place of what is short, the nearest location's offers first."""
    offered: dict[str, dict[str, None]] = {}
    for shortage in chain.from_iterable(short_at.shortages for short_at in order.short):
        if shortage.substitutes:
            offered.setdefault(shortage.sku, {}).update(dict.fromkeys(shortage.substitutes))
    return tuple(Substitutes(sku=sku, alternatives=tuple(others)) for sku, others in offered.items())
