"""The messages of the fulfillment service."""

from typing import Annotated

from pydantic import Field

from contracts.inventory import BinQuantity
from contracts.message import (
    Attempt,
    Bin,
    Count,
    FromOutside,
    Location,
    LongText,
    Name,
    OrderId,
    Reason,
    Revision,
    SagaStep,
    Sku,
    Value,
)


class Pick(Value):
    """What is to be picked in one location."""

    location: Location
    """Where."""
    lines: tuple[BinQuantity, ...]
    """What, how much, and from which bin."""


class FulfillOrder(SagaStep):
    """Pick and pack this order."""

    picks: Annotated[tuple[Pick, ...], Field(min_length=1)]
    """The pick lists, one per location."""
    special_instructions: LongText = ""
    """What the customer wants the packers to know."""


class CancelFulfillment(SagaStep):
    """Undo a fulfillment, whether it was done, is under way, or has yet to arrive."""

    done: bool = False
    """Whether a person has taken the fulfillment as done: nobody goes on with it, for all of it is in parcels already,
    and nothing is to be put back until it is undone."""


class OrderPicked(SagaStep):
    """Everything is off the shelves."""


class OrderPacked(SagaStep):
    """Everything is in parcels."""


class FulfillmentFailed(SagaStep):
    """A pick came up short, or the fulfillment had been cancelled when it was asked for."""

    reason: Reason
    """What went wrong."""
    not_found: tuple[Pick, ...] = ()
    """Units that were to be picked and were not there."""


class FulfillmentCancelled(SagaStep):
    """Nothing is being picked or packed any more."""

    done: bool = False
    """Whether a person has taken the fulfillment as done, as the command says: then it is not undone."""


class PickReport(FromOutside):
    """What a person did about one pick list; it names the list by order, revision, attempt and location."""

    order_id: OrderId
    """The order, as `<channel>:<number>`."""
    revision: Revision
    """Which placing of the order the list is for."""
    attempt: Attempt
    """Which attempt at the fulfillment the list is for."""
    location: Location
    """Where the list is picked."""
    reported_by: Name
    """Who says so."""


class PickedLine(FromOutside):
    """How far the picking of one line is."""

    sku: Sku
    """The item."""
    bin: Bin = ""
    """The shelf or bin, as the list names it."""
    picked: Count
    """Units off the shelf so far, in total: reporting it twice adds nothing."""


class ReportPicked(PickReport):
    """These units are off the shelf."""

    lines: Annotated[tuple[PickedLine, ...], Field(max_length=2000)] = ()
    """The lines with progress; if there are none, the whole list is picked."""


class ShortLine(FromOutside):
    """A line that cannot be picked in full."""

    sku: Sku
    """The item that is short."""
    bin: Bin = ""
    """The shelf or bin, as the list names it."""
    found: Count
    """Units that were there."""


class ReportShort(PickReport):
    """A line, or several, cannot be picked in full; the fulfillment fails."""

    sku: Sku
    """The item that is short."""
    bin: Bin = ""
    """The shelf or bin, as the list names it."""
    found: Count
    """Units that were there."""
    also: Annotated[tuple[ShortLine, ...], Field(max_length=2000)] = ()
    """The other lines of the list that are short: what is reported after this comes too late."""


class ReportPacked(PickReport):
    """Everything on the list is in a parcel."""


class ReportPutBack(PickReport):
    """What was off the shelf for a list that is called off is back where it was taken from."""


class ReportRefused(SagaStep):
    """A report does not count: it does not fit the list that it is about, there is no such list, or it is too late."""

    location: Location
    """Where the list is, as the report says."""
    report: Name
    """The type of the report."""
    reasons: tuple[Reason, ...]
    """Every reason why not."""
