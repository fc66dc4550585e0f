"""The messages of the inventory service."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.message import (
    Bin,
    Count,
    FromOutside,
    Location,
    Message,
    Name,
    Quantity,
    Reason,
    Reference,
    SagaStep,
    Sku,
    SkuQuantity,
    Text,
    Value,
)


class ReserveStock(SagaStep):
    """Set these units aside in this location."""

    location: Location
    """The stock book that is asked."""
    lines: Annotated[tuple[SkuQuantity, ...], Field(min_length=1)]
    """What the order needs; several lines of one SKU are counted together."""
    when_short: Literal["refuse", "split", "backorder"] = "refuse"
    """`refuse`: all or nothing. `split`: reserve what is there. `backorder`: take what is there, wait for the rest."""


class ReleaseStock(SagaStep):
    """Undo a reservation, whether it was made, waits, or has yet to arrive."""

    location: Location
    """The stock book that was asked."""
    not_found: tuple[SkuQuantity, ...] = ()
    """Units of it that a picker did not find where they should be: they are written off instead of going back."""


class IssueStock(SagaStep):
    """The reserved units left the building."""

    location: Location
    """The stock book that holds the reservation."""


class BinQuantity(Value):
    """A number of units of one item, and where they are."""

    sku: Sku
    """The item."""
    quantity: Quantity
    """How many units."""
    bin: Bin = ""
    """The shelf or bin."""


class StockReserved(SagaStep):
    """The units are set aside."""

    location: Location
    """Where."""
    lines: tuple[BinQuantity, ...]
    """What is set aside, one line per item; empty when a split found nothing."""
    missing: tuple[SkuQuantity, ...] = ()
    """After a `split`, what this location could not give."""


class StockBackordered(SagaStep):
    """The order waits in this location's queue."""

    location: Location
    """Where it waits."""
    lines: tuple[SkuQuantity, ...]
    """What is already set aside for it."""
    missing: tuple[SkuQuantity, ...]
    """What it waits for."""


class Shortage(Value):
    """An item that is short, and what could stand in for it."""

    sku: Sku
    """The item."""
    requested: Quantity
    """How many units were asked for."""
    available: Count
    """How many could be had."""
    substitutes: tuple[Sku, ...] = ()
    """Items that may stand in, available in this location in the requested quantity."""


class StockRejected(SagaStep):
    """Nothing was reserved."""

    location: Location
    """The stock book that was asked."""
    shortages: tuple[Shortage, ...]
    """Every item that is short; empty when the reservation had been released before it arrived."""


class StockReleased(SagaStep):
    """The reservation is undone."""

    location: Location
    """Where."""
    lines: tuple[SkuQuantity, ...]
    """What went back on the shelf; empty when nothing had been set aside."""
    written_off: tuple[SkuQuantity, ...] = ()
    """What was set aside and is not there: the location has that much less than its book said."""


class StockIssued(SagaStep):
    """The reserved units left the book."""

    location: Location
    """Where."""
    lines: tuple[SkuQuantity, ...]
    """What left."""


class GoodsLine(SkuQuantity, FromOutside):
    """A number of units of one item that arrive or are sent, as people report it."""


class ReceiveStock(FromOutside):
    """Goods arrived."""

    movement_id: Reference
    """The sender's own id of the movement; a repeat changes nothing."""
    location: Location
    """Where they arrived."""
    lines: Annotated[tuple[GoodsLine, ...], Field(min_length=1, max_length=1000)]
    """What arrived."""
    reference: Text = ""
    """The delivery, transfer or return it came with."""
    reported_by: Text = ""
    """Who says so."""


class SkuChange(Value):
    """A change in the number of units of one item."""

    sku: Sku
    """The item."""
    change: Annotated[int, Field(ge=-10_000_000, le=10_000_000)]
    """Units found (positive) or missing (negative)."""


class Adjustment(SkuChange, FromOutside):
    """A correction of one item, as people report it."""


class AdjustStock(FromOutside):
    """A count came out different."""

    movement_id: Reference
    """The sender's own id of the movement; a repeat changes nothing."""
    location: Location
    """Where."""
    lines: Annotated[tuple[Adjustment, ...], Field(min_length=1, max_length=1000)]
    """What is corrected; all of it or nothing."""
    reason: Name
    """Why."""
    reported_by: Text = ""
    """Who says so."""


class TransferStock(FromOutside):
    """Send stock to another location."""

    movement_id: Reference
    """The sender's own id of the movement; a repeat changes nothing."""
    location: Location
    """The location that gives."""
    to_location: Location
    """The location that gets."""
    lines: Annotated[tuple[GoodsLine, ...], Field(min_length=1, max_length=1000)]
    """What is sent; all of it or nothing."""
    reported_by: Text = ""
    """Who says so."""


class ReceiveTransfer(Message):
    """Goods arrived that another location sent."""

    movement_id: Reference
    """Follows from the transfer's own id and the location that gave; a repeat changes nothing."""
    location: Location
    """Where they arrived."""
    lines: Annotated[tuple[SkuQuantity, ...], Field(min_length=1, max_length=1000)]
    """What arrived."""
    reference: Text = ""
    """The transfer it came with, in words."""
    transfer_id: Text = ""
    """The id of the movement by which it left the location that gave."""
    from_location: Location | None = None
    """The location that gave."""


class ConfigureItem(FromOutside):
    """How one item is kept in one location."""

    location: Location
    """Where."""
    sku: Sku
    """The item."""
    bin: Bin = ""
    """The shelf or bin where it lies."""
    low_threshold: Count = 0
    """StockLow is published when fewer units than this are available; with 0, never."""
    substitutes: Annotated[tuple[Sku, ...], Field(max_length=20)] = ()
    """Items that may stand in for this one, the best first."""
    reported_by: Text = ""
    """Who says so."""


class Movement(Message):
    """A movement of stock that no order caused."""

    movement_id: Reference
    """The sender's own id of the movement."""
    location: Location
    """Where."""
    reported_by: Text = ""
    """Who reported it; empty where nobody is named, and of what arrives by a transfer."""


class StockReceived(Movement):
    """Goods are on the shelf."""

    lines: tuple[SkuQuantity, ...]
    """What arrived."""
    reference: Text = ""
    """The delivery, transfer or return it came with."""
    transfer_id: Text = ""
    """Of what another location sent, the id of the movement by which it left there; else empty."""
    from_location: Location | None = None
    """The location that sent it, if one did."""


class StockAdjusted(Movement):
    """The book was corrected."""

    lines: tuple[SkuChange, ...]
    """What was corrected."""
    reason: Name
    """Why."""


class StockTransferred(Movement):
    """Stock left for another location, where it arrives as StockReceived."""

    to_location: Location
    """Where it goes."""
    lines: tuple[SkuQuantity, ...]
    """What left."""
    arrival_id: Text = ""
    """The id of the movement by which it arrives there."""


class MovementRefused(Movement):
    """Nothing moved: the movement is impossible, or its id already names another one."""

    reasons: tuple[Reason, ...]
    """Every reason why not."""


class ItemConfigured(Message):
    """An item is now kept this way."""

    location: Location
    """Where."""
    sku: Sku
    """The item."""
    bin: Bin
    """The shelf or bin where it lies."""
    low_threshold: Count
    """StockLow is published when fewer units than this are available."""
    substitutes: tuple[Sku, ...]
    """Items that may stand in for this one."""
    reported_by: Text = ""
    """Who said so; empty where nobody is named."""


class StockLow(Message):
    """An item fell below its threshold."""

    location: Location
    """Where."""
    sku: Sku
    """The item."""
    available: Count
    """How many units can still be reserved."""
    threshold: Count
    """The threshold it fell below."""


class StockLevel(Message):
    """How much of an item a location holds now; of those of a key that are read, the highest version is the state."""

    location: Location
    """Where."""
    sku: Sku
    """The item."""
    available: Count
    """Units that can be reserved."""
    reserved: Count
    """Units set aside for orders."""
    shipped: Count
    """Units that left with orders since the book began."""
    received: Count
    """Units that came in since the book began, less what was transferred, corrected or written off:
    always available + reserved + shipped."""
    version: Count = 0
    """The number in the location's ledger of what it follows from; a lower one is older, even if it comes later. Of
    two with the same one the later counts, as where a database was restored; 0 is said by those who do not count.
    The compacted topic keeps the last, even an older one: until the item changes again, `GET /stock` has the state."""
