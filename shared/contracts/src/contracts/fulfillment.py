"""The messages of the fulfillment service."""

from typing import Annotated

from pydantic import Field

from contracts.inventory import BinQuantity
from contracts.message import Location, LongText, Reason, SagaStep, Value


class Pick(Value):
    """What is to be picked in one location."""

    location: Location
    """Where."""
    lines: tuple[BinQuantity, ...]
    """What, how much, and from which bin."""


class FulfillOrder(SagaStep):
    """Pick and pack this order."""

    picks: Annotated[tuple[Pick, ...], Field(min_length=1)]
    """The pick lists, one a location."""
    special_instructions: LongText = ""
    """What the customer wants the packers to know."""


class CancelFulfillment(SagaStep):
    """Undo a fulfillment, whether it was done, is under way, or has yet to arrive."""


class OrderPicked(SagaStep):
    """Everything is off the shelves."""


class OrderPacked(SagaStep):
    """Everything is in parcels."""


class FulfillmentFailed(SagaStep):
    """A pick came up short, or the packers gave up."""

    reason: Reason
    """What went wrong."""


class FulfillmentCancelled(SagaStep):
    """Nothing is being picked or packed any more."""
