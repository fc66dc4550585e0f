"""How an order that came by HTTP, alone or in a file, is sent on, unless it is certain what would come of it."""

from chassis.ports import Publisher
from contracts.message import Reason
from contracts.order import OrderPlaced

from order.decide import why_not_place
from order.state import Order

FINAL_FOR_GOOD = frozenset({"other_content", "already_completed", "already_cancelled"})
"""Refusals of a placing that are certain even by what is a second old, as that of a past revision is."""


async def send_on(order: OrderPlaced, known: Order | None, publisher: Publisher) -> Reason | None:
    """Send it on, unless the very same is known already, or it is certain to be refused: then the reason is returned.

    `known` is the order as it was about a second ago. Raises Unavailable.
    """
    refusal = why_not_place(known, order)
    is_past = known is not None and order.revision < known.revision
    if refusal is not None and (is_past or refusal.code in FINAL_FOR_GOOD):
        return refusal
    if known is None or known.placed != order:
        await publisher.publish(order)
    return None
