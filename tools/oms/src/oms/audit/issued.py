"""What left the books for a completed order is what was ordered, item by item.

Where a person took a step of the stock as done, or as undone, the log does not say what became of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from contracts.inventory import StockIssued
from contracts.message import SkuQuantity
from contracts.order import OrderCompleted, OrderLine, OrderPlaced

from oms.audit.finding import Finding
from oms.history.logged import History

STEPS_OF_STOCK = frozenset({"reserve", "issue"})


def issued(history: History) -> Iterator[Finding]:
    """What an order was completed with that is not what was ordered."""
    for revision, (logged, ending) in history.endings().items():
        if not isinstance(ending, OrderCompleted) or history.skipped(revision) & STEPS_OF_STOCK:
            continue
        ordered = [_units(placed.lines) for _, placed in history.of(OrderPlaced) if placed.revision == revision]
        said = [message for _, message in history.of(StockIssued) if message.revision == revision]
        # Whoever asks again is told again.
        of_each = {(message.location, message.attempt): message.lines for message in said}
        left = _units(line for lines in of_each.values() for line in lines)
        if left not in ordered:
            units = ", ".join(f"{quantity} {sku}" for sku, quantity in sorted(left.items())) or "nothing"
            what = f"the message here completes an order for which {units} left the books: it was for something else"
            yield Finding("stock", logged.place, history.order_id, what)


def _units(lines: Iterable[SkuQuantity | OrderLine]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
