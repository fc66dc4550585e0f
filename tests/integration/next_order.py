"""The next version of the order service: its saga has one more step, and one of its messages one more field."""

from dataclasses import replace

import contracts.fulfillment
import order.commands
from contracts.shipping import CancelShipment, ShipmentCancelled, ShipmentDelivered, ShipmentDispatched
from contracts.topics import TOPIC_OF
from order.commands import create_shipment
from order.definition import Definition, Do, Done, Skip, Step, Undo
from order.main import main
from order.saga import DEFINITIONS, FIRST

NUMBER = 2
NOTE = "with our compliments"

*BEFORE, SHIPPING, LAST = FIRST.stages
(SHIP,) = SHIPPING.steps
DISPATCHED = replace(SHIP, undo=Undo(CancelShipment, ShipmentCancelled, too_late=(ShipmentDispatched,)))
"""A message answers one step: that a parcel was delivered is for the new one to hear."""
DELIVER = Step(
    "deliver",
    Do(create_shipment, within=lambda policy: policy.forward_again_after),
    Done(ShipmentDelivered),
    skip=Skip(),
)
"""The carrier is reminded, and the order is complete only when the customer has it."""
SECOND = Definition(
    (*BEFORE, replace(SHIPPING, steps=(DISPATCHED,)), replace(LAST, steps=(*LAST.steps, DELIVER))),
)


class FulfillOrder(contracts.fulfillment.FulfillOrder):
    """Go and fetch these items, pack them, and put this note to them."""

    note: str = NOTE


def upgrade() -> None:
    """Make this process the next version."""
    DEFINITIONS[NUMBER] = SECOND
    TOPIC_OF[FulfillOrder] = TOPIC_OF[contracts.fulfillment.FulfillOrder]
    order.commands.FulfillOrder = FulfillOrder  # that is what an upgrade does


if __name__ == "__main__":
    upgrade()
    main()
