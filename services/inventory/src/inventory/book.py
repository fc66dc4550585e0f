"""A location's book while one input is written into it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from chassis.decision import D, Decision, Document, Documents
from contracts.inventory import (
    BinQuantity,
    StockBackordered,
    StockIssued,
    StockLevel,
    StockLow,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import MOST_UNITS, Message, SkuQuantity

from inventory.state import (
    Backorder,
    Book,
    LedgerEntry,
    LevelChange,
    Reservation,
    ReservedLine,
    Stock,
    What,
    names_of_reservation,
    servings,
)

SOON = timedelta(milliseconds=1)


class OpenBook:
    """Collects what one input changes and says, until it is closed."""

    def __init__(self, documents: Documents, location: str, now: datetime) -> None:
        self._documents = documents
        self._book = documents.get(Book, location) or Book(id=location)
        self._stocks: dict[str, Stock] = {}
        self._others: dict[str, Document] = {}
        self._changes: list[LevelChange] = []
        self._said: list[Message] = []
        self.location = location
        self.number = self._book.number + 1
        self.now = now

    def stock(self, sku: str) -> Stock:
        """The item as it is now, even if nobody has heard of it yet."""
        known = self._stocks.get(sku) or self._documents.get(Stock, Stock.place(self.location, sku))
        return known or Stock.at(self.location, sku)

    def put(self, document: Document) -> None:
        if isinstance(document, Stock):
            self._stocks[document.sku] = document
        else:
            self._others[document.key] = document

    def say(self, message: Message) -> None:
        self._said.append(message)

    def move(
        self, sku: str, *, available: int = 0, reserved: int = 0, shipped: int = 0, allocated_to: str = ""
    ) -> None:
        """Change an item's levels and write it down."""
        if available or reserved or shipped:
            self.put(self.stock(sku).moved(available=available, reserved=reserved, shipped=shipped))
            self._changes.append(
                LevelChange(sku=sku, available=available, reserved=reserved, shipped=shipped, allocated_to=allocated_to)
            )

    def serve(self, skus: Iterable[str]) -> None:
        """Hand what is available of these items to the orders that wait for them, in order of arrival."""
        stocks = (self.stock(sku) for sku in skus)
        for sku, backorder, units in tuple(servings(stocks, lambda place: self._waiting(Backorder, place))):
            self.put(stock := self.stock(sku).with_head_given(backorder.missing, units))
            if units:
                self.put(backorder.but(missing=backorder.missing - units))
                self.move(sku, available=-units, reserved=units, allocated_to=backorder.reservation)
                reservation = self._waiting(Reservation, backorder.reservation).given(sku, units, stock.bin, self.now)
                self.put(reservation)
                if reservation.state == "held":
                    self.say(outcome(reservation))

    def join_queue(self, reservation: str, line: ReservedLine) -> ReservedLine:
        """Let the reservation wait for what it misses of the item, behind all others; the line, with its backorder."""
        stock = self.stock(line.sku)
        place = Backorder.place(self.location, line.sku, stock.queue_end)
        self.put(Backorder(id=place, reservation=reservation, missing=line.missing))
        self.put(stock.with_tail(line.missing))
        return replace(line, backorder=stock.queue_end)

    def leave_queue(self, line: ReservedLine) -> None:
        """Let nobody wait any more for what the line misses."""
        backorder = self._waiting(Backorder, Backorder.place(self.location, line.sku, line.backorder))
        self.put(backorder.but(missing=0))
        self.put(self.stock(line.sku).without(backorder.missing))

    def _waiting(self, model: type[D], place: str) -> D:
        changed = self._others.get(model.key_of(place))
        found = changed if isinstance(changed, model) else self._documents.get(model, place)
        if found is None:
            raise LookupError(f"{model.key_of(place)} waits for stock and does not exist")
        return found

    def enter(self, what: What, cause: str, note: str = "", reported_by: str = "") -> None:
        """Write what was moved into the ledger, if anything was."""
        if self._changes:
            self.put(
                LedgerEntry(
                    id=f"{self.location}/{self.number}",
                    location=self.location,
                    number=self.number,
                    at=self.now,
                    what=what,
                    cause=cause,
                    note=note,
                    reported_by=reported_by,
                    changes=tuple(self._changes),
                )
            )

    def close(self) -> Decision:
        """Everything that changed, and all that is to be said of it."""
        if not self._stocks and not self._others:
            return Decision(messages=tuple(self._said))
        stocks = tuple(self._settled(stock) for stock in self._stocks.values())
        documents = (self._book.but(number=self.number), *stocks, *self._others.values())
        return Decision(documents, (*self._said, *map(_level, stocks)))

    def _settled(self, stock: Stock) -> Stock:
        """The item as the input leaves it; says when it has become low."""
        low = stock.available < stock.low_threshold
        if low and not stock.low:
            self.say(
                StockLow(
                    location=self.location, sku=stock.sku, available=stock.available, threshold=stock.low_threshold
                )
            )
        unserved = stock.available > 0 and stock.waiting_orders > 0
        return stock.but(low=low, version=self.number, alarm=self.now + SOON if unserved else None)


def outcome(reservation: Reservation) -> Message:
    """What became of a reservation, as the order is told."""
    names = names_of_reservation(reservation)
    match reservation.state:
        case "held":
            return StockReserved(**names, lines=_with_bins(reservation.lines), missing=_missing(reservation))
        case "waiting":
            return StockBackordered(**names, lines=_held(reservation), missing=_missing(reservation))
        case "rejected":
            return StockRejected(**names, shortages=reservation.shortages)
        case "released":
            return StockReleased(**names, lines=_held(reservation), written_off=_written_off(reservation))
        case "issued":
            return StockIssued(**names, lines=_held(reservation))


def _level(stock: Stock) -> StockLevel:
    return StockLevel(
        location=stock.location,
        sku=stock.sku,
        available=stock.available,
        reserved=stock.reserved,
        shipped=stock.shipped,
        received=stock.received,
        version=stock.version,
    )


def _held(reservation: Reservation) -> tuple[SkuQuantity, ...]:
    """What is there of it; of what was released, what went back."""
    return _told((line.sku, line.held - line.written_off) for line in reservation.lines)


def _written_off(reservation: Reservation) -> tuple[SkuQuantity, ...]:
    return _told((line.sku, line.written_off) for line in reservation.lines)


def _missing(reservation: Reservation) -> tuple[SkuQuantity, ...]:
    return _told((line.sku, line.missing) for line in reservation.lines)


def _told(units: Iterable[tuple[str, int]]) -> tuple[SkuQuantity, ...]:
    """Units by SKU as a message names them."""
    return tuple(SkuQuantity(sku=sku, quantity=part) for sku, many in units for part in _parts(many))


def _with_bins(lines: Iterable[ReservedLine]) -> tuple[BinQuantity, ...]:
    return tuple(BinQuantity(sku=line.sku, quantity=part, bin=line.bin) for line in lines for part in _parts(line.held))


def _parts(units: int) -> Iterator[int]:
    """These units as the quantities of lines: no line for none, several where one cannot hold them."""
    while units > 0:
        yield min(units, MOST_UNITS)
        units -= MOST_UNITS


def added_up(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """By SKU, in the order in which the SKUs come."""
    units: dict[str, int] = {}
    for sku, quantity in lines:
        units[sku] = units.get(sku, 0) + quantity
    return units
