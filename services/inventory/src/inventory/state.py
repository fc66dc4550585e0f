"""What the inventory service remembers: of each location its stock, its reservations, its movements and its ledger."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal, Self

from chassis.decision import Document
from contracts.inventory import IssueStock, ReleaseStock, ReserveStock, Shortage
from contracts.message import Reason, SagaNames, names_of

ReservationState = Literal["held", "waiting", "rejected", "released", "issued"]
MovementKind = Literal["receive", "adjust", "transfer"]
What = Literal["reserve", "allocate", "release", "issue", "receive", "adjust", "transfer"]
Command = ReserveStock | ReleaseStock | IssueStock

MOST_SERVED = 25
"""The most backorders that one input serves, or finds gone, so that it reads little and a journal entry stays small;
the others are served right after, when the stock's alarm rings."""


class Book(Document):
    """The stock book of one location; what is in it are documents of their own."""

    kind: ClassVar[str] = "books"

    number: int = 0
    """Counts the inputs that changed anything in this location."""


class Backorder(Document):
    """A reservation's place in the queue of one item: a queue that was one document would be written at each change."""

    kind: ClassVar[str] = "backorders"

    reservation: str
    """The id of the reservation that waits."""
    missing: int
    """Units it still needs of this item; none once it is gone from the queue, because it got them or was released."""

    @staticmethod
    def place(location: str, sku: str, number: int) -> str:
        return f"{location}/{sku}/{number}"


class Stock(Document):
    """One item in one location; its alarm rings while arrived units have still to be handed to waiting orders."""

    kind: ClassVar[str] = "stock"

    location: str
    sku: str
    received: int = 0
    """Units that came in since the book began, less what was transferred, corrected or written off: always
    available + reserved + shipped."""
    available: int = 0
    """Units that are not set aside."""
    reserved: int = 0
    """Units set aside for orders."""
    shipped: int = 0
    """Units that left with orders since the book began."""
    bin: str = ""
    low_threshold: int = 0
    """StockLow is said when fewer units than this are available; 0 never says it."""
    low: bool = False
    """Whether StockLow was said, and the item has not recovered since."""
    substitutes: tuple[str, ...] = ()
    queue_head: int = 1
    """The number of the first backorder that may not be gone yet."""
    queue_end: int = 1
    """The number that the next backorder gets."""
    waiting_orders: int = 0
    """How many backorders wait; the others from the head to the end are gone."""
    waiting_units: int = 0
    """Units that they miss."""
    version: int = 0
    """The number of the book's input that changed it last."""

    @classmethod
    def at(cls, location: str, sku: str) -> Self:
        return cls(id=cls.place(location, sku), location=location, sku=sku)

    @staticmethod
    def place(location: str, sku: str) -> str:
        return f"{location}/{sku}"

    @property
    def heard_of(self) -> bool:
        """Whether it was ever received or configured here; what was not may be mistyped, and may never come."""
        return self.version > 0

    @property
    def free(self) -> int:
        """Units that a new order can have: none while others wait for the item."""
        return 0 if self.waiting_orders else self.available

    @property
    def movable(self) -> int:
        """Units that a movement can take: not those that are about to be handed to orders that wait."""
        return max(0, self.available - self.waiting_units)

    @property
    def within_reach(self) -> range:
        """The numbers of the backorders that may get units: each takes at least one, or none if it is gone."""
        if not self.waiting_orders:
            return range(0)
        gone = self.queue_end - self.queue_head - self.waiting_orders
        return range(self.queue_head, min(self.queue_head + gone + self.available, self.queue_end))

    def moved(self, *, available: int = 0, reserved: int = 0, shipped: int = 0) -> Self:
        return self.but(
            received=self.received + available + reserved + shipped,
            available=self.available + available,
            reserved=self.reserved + reserved,
            shipped=self.shipped + shipped,
        )

    def with_tail(self, missing: int) -> Self:
        """The same with one more backorder at the end of the queue; an empty one leaves all that are gone behind."""
        return self.but(
            queue_head=self.queue_head if self.waiting_orders else self.queue_end,
            queue_end=self.queue_end + 1,
            waiting_orders=self.waiting_orders + 1,
            waiting_units=self.waiting_units + missing,
        )

    def without(self, missing: int) -> Self:
        """The same after a backorder that misses this many units is gone."""
        return self.but(waiting_orders=self.waiting_orders - 1, waiting_units=self.waiting_units - missing)

    def with_head_given(self, missing: int, units: int) -> Self:
        """The same after the head of the queue, which misses this many units, got some, or none if it is gone."""
        if units < missing:
            return self.but(waiting_units=self.waiting_units - units)
        served = self.without(missing) if units else self
        return served.but(queue_head=self.queue_head + 1)


def backorders_within_reach(stocks: Iterable[Stock]) -> Iterator[str]:
    """The ids of all that `servings` may look at: at least one of each queue, and so one fewer of the next."""
    reached = (stock for stock in stocks if stock.within_reach)
    for stock, looks in zip(reached, range(MOST_SERVED, 0, -1), strict=False):
        yield from (Backorder.place(stock.location, stock.sku, number) for number in stock.within_reach[:looks])


def servings(stocks: Iterable[Stock], backorder_of: Callable[[str], Backorder]) -> Iterator[tuple[str, Backorder, int]]:
    """What one input hands out of the units available in these stocks: SKU, the backorder at the head of the queue, and
    the units that it gets; none if it is gone.
    """
    looks = MOST_SERVED
    for stock in stocks:
        units = stock.available
        for number in stock.within_reach[:looks]:
            looks -= 1
            backorder = backorder_of(Backorder.place(stock.location, stock.sku, number))
            share = min(units, backorder.missing)
            units -= share
            if share or not backorder.missing:
                yield stock.sku, backorder, share
            if share < backorder.missing:  # it stays at the head, and nobody gets ahead of it
                break


@dataclass(frozen=True, slots=True)
class ReservedLine:
    """One item of a reservation."""

    sku: str
    bin: str
    """Where the units lay when they were set aside."""
    requested: int
    held: int
    """Units set aside; of what was released or issued, the units that were."""
    backorder: int = 0
    """The number of its backorder; 0 if it never had one."""
    written_off: int = 0
    """Of the units that were set aside and released, those that were not there."""

    @property
    def missing(self) -> int:
        return self.requested - self.held


class ReservationNames(SagaNames):
    """The fields that name a reservation, in commands and in answers."""

    location: str


def names_of_reservation(command: "Command | Reservation") -> ReservationNames:
    return {**names_of(command), "location": command.location}


class Reservation(Document):
    """What one location sets aside for one attempt of an order."""

    kind: ClassVar[str] = "reservations"

    order_id: str
    revision: int
    attempt: int
    location: str
    state: ReservationState
    """`held`: set aside, after a split perhaps not all of it. `released` without lines: undone before it was asked
    for, or after it had been rejected."""
    lines: tuple[ReservedLine, ...] = ()
    """One line an item."""
    shortages: tuple[Shortage, ...] = ()
    """Why it was rejected."""
    number: int
    """The number of the book's input that it began with: reservations wait in the order of their numbers."""
    asked_at: datetime
    changed_at: datetime

    @classmethod
    def begin(cls, command: ReserveStock | ReleaseStock, state: ReservationState, number: int, now: datetime) -> Self:
        return cls(
            id=cls.place(command),
            state=state,
            number=number,
            asked_at=now,
            changed_at=now,
            **names_of_reservation(command),
        )

    @staticmethod
    def place(command: Command) -> str:
        return Reservation.named(**names_of_reservation(command))

    @staticmethod
    def named(location: str, order_id: str, revision: int, attempt: int) -> str:
        return f"{location}/{order_id}/{revision}/{attempt}"

    @property
    def holds(self) -> bool:
        """Whether units are, or may come to be, set aside for it."""
        return self.state in {"held", "waiting"}

    def awaits(self, line: ReservedLine) -> bool:
        """Whether it waits for more of the line's item; then the line has a backorder."""
        return self.state == "waiting" and line.missing > 0

    def given(self, sku: str, units: int, bin: str, now: datetime) -> Self:  # noqa: A002 - it is the field's name
        """The waiting reservation after it got this many units of an item that it missed."""
        lines = tuple(
            replace(line, held=line.held + units, bin=bin) if line.sku == sku else line for line in self.lines
        )
        complete = not any(line.missing for line in lines)
        return self.but(lines=lines, state="held" if complete else "waiting", changed_at=now)


@dataclass(frozen=True, slots=True)
class MovedLine:
    """One line of a movement."""

    sku: str
    change: int
    """Units that came (positive) or went (negative)."""


class Movement(Document):
    """A movement that no order caused, done or refused; its id makes sure that it is done once."""

    kind: ClassVar[str] = "movements"

    location: str
    movement_id: str
    """The sender's own id."""
    what: MovementKind
    state: Literal["done", "refused"]
    lines: tuple[MovedLine, ...]
    """As they came."""
    note: str
    """What it came with, or why: the reference of a receipt, the reason of an adjustment, where a transfer goes."""
    reported_by: str = ""
    """Who reported it first."""
    arrival_id: str = ""
    """Of a transfer that left, the id of the movement by which it arrives in the other location."""
    transfer_id: str = ""
    """Of the arrival of a transfer, the id of the movement by which it left the other location."""
    from_location: str | None = None
    """That other location."""
    reasons: tuple[Reason, ...] = ()
    """Why it was refused."""
    at: datetime

    @staticmethod
    def place(location: str, movement_id: str) -> str:
        return f"{location}/{movement_id}"

    def repeats(self, other: "Movement") -> bool:
        """Whether the other asks for the same, whoever reports it."""
        return (self.id, self.what, self.lines, self.note) == (other.id, other.what, other.lines, other.note)


@dataclass(frozen=True, slots=True)
class LevelChange:
    """What an input did to one item."""

    sku: str
    available: int
    reserved: int
    shipped: int
    allocated_to: str = ""
    """The waiting reservation that got the units."""


class LedgerEntry(Document):
    """What one input moved, never changed afterwards: all entries of an item add up to its levels."""

    kind: ClassVar[str] = "ledger"

    location: str
    number: int
    """The number of the book's input."""
    at: datetime
    what: What
    cause: str
    """The id of the reservation or of the movement that it came from; of an allocation, of the stock."""
    note: str = ""
    """The movement's note."""
    reported_by: str = ""
    """Who reported the movement."""
    changes: tuple[LevelChange, ...]


DOCUMENTS: tuple[type[Document], ...] = (Book, Stock, Backorder, Reservation, Movement, LedgerEntry)
"""Every kind of document that this service keeps."""
