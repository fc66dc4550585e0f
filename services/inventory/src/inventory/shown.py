"""What the HTTP API shows of the stock."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from chassis.http.paging import Page
from chassis.http.shown import Accepted, Shown
from contracts.inventory import Shortage
from contracts.message import Reason

from inventory.state import (
    LedgerEntry,
    MovedLine,
    MovementKind,
    ReservationState,
    What,
)

CAUSES: dict[What, str] = {
    "reserve": "reservations",
    "release": "reservations",
    "issue": "reservations",
    "receive": "movements",
    "adjust": "movements",
    "transfer": "movements",
    "allocate": "stock",
}
"""Where the cause of an entry is shown."""


class MovementAccepted(Accepted):
    """A movement that is on its way."""

    location: str
    movement_id: str


class LevelShown(Shown):
    """How much of an item a location has; nothing, if it has never heard of it."""

    location: str
    sku: str
    available: int
    """Units that can be reserved."""
    reserved: int
    """Units set aside for orders."""


class AvailabilityShown(Shown):
    levels: list[LevelShown]


class StockShown(LevelShown):
    """One item in one location."""

    shipped: int
    """Units that left with orders since the book began."""
    received: int
    """Always available + reserved + shipped."""
    bin: str
    low_threshold: int
    low: bool
    """Whether it fell below its threshold and has not recovered."""
    substitutes: tuple[str, ...]
    waiting_orders: int
    """How many orders wait for it; `/backorders` lists them."""
    waiting_units: int
    """How many units they miss."""


class MovementShown(Shown):
    """A movement that no order caused."""

    location: str
    movement_id: str
    what: MovementKind
    state: Literal["done", "refused"]
    lines: tuple[MovedLine, ...]
    note: str
    """The reference of a receipt, the reason of a correction, where a transfer goes."""
    reported_by: str
    """Who reported it, where that was said."""
    arrival_id: str
    """Of a transfer that left, the `movement_id` by which it arrives in the other location."""
    transfer_id: str
    """Of the arrival of a transfer, the `movement_id` by which it left the other location."""
    from_location: str | None
    """That other location."""
    reasons: tuple[Reason, ...]
    """Why it was refused."""
    at: datetime


class LineShown(Shown):
    """One item of a reservation."""

    sku: str
    bin: str
    """Where the units lay when they were set aside."""
    requested: int
    held: int
    """Units set aside; of what was released or issued, the units that were."""
    written_off: int
    """Of those that were released, the units that a picker did not find."""


class ReservationShown(Shown):
    """What one location sets aside for one attempt of an order."""

    location: str
    order_id: str
    revision: int
    attempt: int
    state: ReservationState
    lines: tuple[LineShown, ...]
    shortages: tuple[Shortage, ...]
    """Why it was rejected."""
    asked_at: datetime
    changed_at: datetime


class ReservationsShown(Shown):
    reservations: list[ReservationShown]


class BackorderPage(Page):
    """Orders that wait, the one that came first at the head."""

    reservations: list[ReservationShown]


class LedgerLine(Shown):
    """A movement of one item."""

    number: int
    """Counts what happened in the location; lines of one number happened at once, in this order."""
    at: datetime
    what: What
    cause: str
    """The id of the reservation or of the movement; of what was handed to waiting orders later on, of the stock."""
    cause_url: str
    note: str
    """The movement's reference, reason or destination."""
    reported_by: str
    """Who reported the movement, where that was said."""
    available: int
    """By how many units it changed, and so the other two."""
    reserved: int
    shipped: int
    allocated_to: str
    """The reservation of the waiting order that got the units."""


class LedgerPage(Page):
    """What moved an item, the newest first."""

    lines: list[LedgerLine]


def ledger_lines(entry: LedgerEntry, sku: str) -> Iterator[LedgerLine]:
    """What an entry says of one item."""
    kind = CAUSES[entry.what]
    for change in entry.changes:
        if change.sku == sku:
            yield LedgerLine(
                number=entry.number,
                at=entry.at,
                what=entry.what,
                cause=entry.cause,
                cause_url=f"/{kind}/{quote(entry.cause, safe=':/')}",
                note=entry.note,
                reported_by=entry.reported_by,
                available=change.available,
                reserved=change.reserved,
                shipped=change.shipped,
                allocated_to=change.allocated_to,
            )
