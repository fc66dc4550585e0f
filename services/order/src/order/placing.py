"""How an order that came by HTTP, alone or in a file, is sent on, unless it is certain what would come of it."""

from chassis.ports import Publisher
from contracts.message import Reason
from contracts.order import OrderPlaced

from order.decide import why_not_place
from order.state import Order

FINAL_FOR_GOOD = frozenset({"other_content", "already_completed", "already_cancelled"})
"""Refusals of a placing that what is a second old can tell for certain, as it can of a revision that is past."""


async def send_on(order: OrderPlaced, known: Order | None, publisher: Publisher) -> Reason | None:
    """Send it on; nothing is sent of what is known already, just so, or is certainly refused: why that is, is returned.

    `known` is the order as it was about a second ago. Raises Unavailable.
    """
    refusal = why_not_place(known, order)
    is_past = known is not None and order.revision < known.revision
    if refusal is not None and (is_past or refusal.code in FINAL_FOR_GOOD):
        return refusal
    if known is None or known.placed != order:
        await publisher.publish(order)
    return None
