"""Nothing happens twice to an order: each revision is validated, confirmed, shipped and ended once, and has one end."""

from collections.abc import Iterator

from contracts.order import (
    CancellationRefused,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderRejected,
    OrderRepairRefused,
    OrderShipped,
    OrderValidated,
    PlacementRefused,
    StepRetried,
    StepSkipped,
)

from oms.audit.finding import Finding
from oms.history.logged import History

ONCE = (OrderValidated, OrderConfirmed, OrderShipped, OrderCompleted, OrderRejected, OrderCancelled)
AFTER_THE_END = (CancellationRefused, PlacementRefused, StepRetried, StepSkipped, OrderRepairRefused)


def once(history: History) -> Iterator[Finding]:
    """What happened twice, or after the end."""
    said: set[tuple[int, type[OrderEvent]]] = set()
    ended: dict[int, str] = {}
    for logged, event in history.of(OrderEvent):
        kind = type(event)
        if (event.revision, kind) in said and kind in ONCE:
            what = f"says {kind.__name__} of revision {event.revision} for the second time"
            yield Finding("once", logged.place, history.order_id, f"the message here {what}")
        elif event.revision in ended and kind not in AFTER_THE_END:
            what = f"says {kind.__name__} of revision {event.revision} after {ended[event.revision]}"
            yield Finding("once", logged.place, history.order_id, f"the message here {what}")
        said.add((event.revision, kind))
        if kind in {OrderCompleted, OrderRejected, OrderCancelled}:
            ended[event.revision] = kind.__name__
