"""What the inventory service does about each input: pure, and total over every valid message."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chassis.decision import AlarmRang, D, Decision, Documents, Input, id_of
from chassis.service import Decide
from contracts.inventory import (
    AdjustStock,
    ConfigureItem,
    IssueStock,
    ItemConfigured,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    ReserveStock,
    Shortage,
    StockRejected,
    TransferStock,
)
from contracts.message import MOST_UNITS

from inventory.book import OpenBook, added_up, outcome
from inventory.movements import changes_of, move
from inventory.state import (
    Backorder,
    Book,
    Command,
    Movement,
    Reservation,
    ReservedLine,
    Stock,
    backorders_within_reach,
    names_of_reservation,
    servings,
)

MOST_OFFERS = 100
"""The most short items of an order for which substitutes are told; thousands may be short, with twenty each."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an installation may choose."""

    backorder_queue_max_orders: int
    """How many orders may wait for one item in one location; those after them are rejected as short."""


def needs(message: Input, documents: Documents) -> Iterator[str]:
    match message:
        case ReserveStock():
            yield from (Book.key_of(message.location), Reservation.key_of(Reservation.place(message)))
            yield from _needs_of_reserving(message, documents)
        case ReleaseStock() | IssueStock():
            yield from (Book.key_of(message.location), Reservation.key_of(Reservation.place(message)))
            yield from _needs_of_ending(message, documents)
        case ReceiveStock() | ReceiveTransfer() | AdjustStock() | TransferStock():
            yield Book.key_of(message.location)
            yield Movement.key_of(Movement.place(message.location, message.movement_id))
            changes = changes_of(message)
            yield from (Stock.key_of(Stock.place(message.location, sku)) for sku in changes)
            moved = [
                stock.moved(available=change)
                for sku, change in changes.items()
                if change > 0 and (stock := _loaded(documents, Stock, Stock.place(message.location, sku)))
            ]
            yield from _needs_of_serving(moved, documents)
        case ConfigureItem():
            yield from (Book.key_of(message.location), Stock.key_of(Stock.place(message.location, message.sku)))
        case AlarmRang():
            yield message.document
            if stock := _loaded(documents, Stock, id_of(message.document)):
                yield Book.key_of(stock.location)
                yield from _needs_of_serving([stock], documents)


def _needs_of_reserving(command: ReserveStock, documents: Documents) -> Iterator[str]:
    """The items; then, of what is short, the substitutes, whose availability is told when the order is rejected."""
    offers = 0
    for sku, units in added_up((line.sku, line.quantity) for line in command.lines).items():
        yield Stock.key_of(Stock.place(command.location, sku))
        stock = _loaded(documents, Stock, Stock.place(command.location, sku))
        if stock is None or stock.free >= units or command.when_short == "split":
            continue
        if stock.substitutes and offers < MOST_OFFERS:
            offers += 1
            yield from (Stock.key_of(Stock.place(command.location, substitute)) for substitute in stock.substitutes)


def _needs_of_ending(command: ReleaseStock | IssueStock, documents: Documents) -> Iterator[str]:
    """The reservation leads to its items; if it is released, also to its backorders and to those behind them."""
    reservation = _loaded(documents, Reservation, Reservation.place(command))
    if reservation is None or not reservation.holds:
        return
    yield from (Stock.key_of(Stock.place(command.location, line.sku)) for line in reservation.lines)
    if isinstance(command, ReleaseStock):
        yield from (
            Backorder.key_of(Backorder.place(command.location, line.sku, line.backorder))
            for line in reservation.lines
            if reservation.awaits(line)
        )
        left = [
            (stock.without(line.missing) if reservation.awaits(line) else stock).moved(
                available=line.held - line.written_off
            )
            for line in _released(reservation, command)
            if (stock := _loaded(documents, Stock, Stock.place(command.location, line.sku)))
        ]
        yield from _needs_of_serving(left, documents, leaving=reservation.id)


def _needs_of_serving(stocks: Sequence[Stock], documents: Documents, leaving: str = "") -> Iterator[str]:
    """The backorders within reach, as they are once this reservation has left; those that get units lead to theirs."""
    reached = list(backorders_within_reach(stocks))
    yield from map(Backorder.key_of, reached)
    if all(documents.has(Backorder.key_of(place)) for place in reached):
        known = (documents.get(Backorder, place) for place in reached)
        as_left = {
            backorder.id: backorder.but(missing=0) if backorder.reservation == leaving else backorder
            for backorder in known
            if backorder is not None
        }
        served = servings(stocks, as_left.__getitem__)
        yield from (Reservation.key_of(backorder.reservation) for _, backorder, units in served if units)


def _loaded(documents: Documents, model: type[D], id: str) -> D | None:  # noqa: A002 - it is the field's name
    return documents.get(model, id) if documents.has(model.key_of(id)) else None


def decider(policy: Policy) -> Decide:
    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        match message:
            case ReserveStock() | ReleaseStock() | IssueStock():
                return _obey(documents, message, now, policy)
            case ReceiveStock() | ReceiveTransfer() | AdjustStock() | TransferStock():
                return move(documents, message, now)
            case ConfigureItem():
                return _configure(documents, message, now)
            case AlarmRang():
                return _serve_on(documents, message, now)
        return Decision()

    return decide


def _obey(documents: Documents, command: Command, now: datetime, policy: Policy) -> Decision:
    book = OpenBook(documents, command.location, now)
    known = documents.get(Reservation, Reservation.place(command))
    match command:
        case ReserveStock():
            _reserve(book, command, known, policy)
            book.enter("reserve", Reservation.place(command))
        case ReleaseStock():
            _release(book, command, known)
            book.enter("release", Reservation.place(command))
        case IssueStock():
            _issue(book, command, known)
            book.enter("issue", Reservation.place(command))
    return book.close()


def _reserve(book: OpenBook, command: ReserveStock, known: Reservation | None, policy: Policy) -> None:
    if known is not None:
        book.say(_nothing_reserved(command) if known.state == "released" else outcome(known))
        return
    wanted = added_up((line.sku, line.quantity) for line in command.lines)
    short = [sku for sku, units in wanted.items() if book.stock(sku).free < units]
    can_wait = all(
        stock.heard_of and stock.waiting_orders < policy.backorder_queue_max_orders for stock in map(book.stock, short)
    )
    if short and (command.when_short == "refuse" or (command.when_short == "backorder" and not can_wait)):
        rejected = Reservation.begin(command, "rejected", book.number, book.now)
        offering = [sku for sku in short if book.stock(sku).substitutes][:MOST_OFFERS]
        reservation = rejected.but(shortages=tuple(_shortage(book, sku, wanted, sku in offering) for sku in short))
    else:
        waits = bool(short) and command.when_short == "backorder"
        begun = Reservation.begin(command, "waiting" if waits else "held", book.number, book.now)
        lines = (_take(book, sku, units) for sku, units in wanted.items())
        if waits:
            lines = (book.join_queue(begun.id, line) if line.missing else line for line in lines)
        reservation = begun.but(lines=tuple(lines))
    book.put(reservation)
    book.say(outcome(reservation))


def _take(book: OpenBook, sku: str, units: int) -> ReservedLine:
    """Set aside what is free, up to this many units."""
    stock = book.stock(sku)
    held = min(stock.free, units)
    book.move(sku, available=-held, reserved=held)
    return ReservedLine(sku=sku, bin=stock.bin, requested=units, held=held)


def _shortage(book: OpenBook, sku: str, wanted: dict[str, int], is_offering: bool) -> Shortage:
    stock = book.stock(sku)
    substitutes = stock.substitutes if is_offering else ()
    return Shortage(
        sku=sku,
        requested=min(wanted[sku], MOST_UNITS),
        available=stock.free,
        substitutes=tuple(
            substitute
            for substitute in substitutes
            if book.stock(substitute).free - wanted.get(substitute, 0) >= wanted[sku]
        ),
    )


def _release(book: OpenBook, command: ReleaseStock, known: Reservation | None) -> None:
    """Undo what was reserved, or see to it that what comes late is not; what was issued has left and stays issued."""
    if known is not None and known.state in {"released", "issued"}:
        book.say(outcome(known))
        return
    reservation = known or Reservation.begin(command, "released", book.number, book.now)
    lines = _released(reservation, command)
    for line in lines:
        if reservation.awaits(line):
            book.leave_queue(line)
        book.move(line.sku, available=line.held - line.written_off, reserved=-line.held)
    released = reservation.but(state="released", lines=lines, changed_at=book.now)
    book.put(released)
    book.say(outcome(released))
    # Also where nothing came free: else those who leave while nothing arrives would pile up at the head.
    book.serve(line.sku for line in reservation.lines)


def _released(reservation: Reservation, command: ReleaseStock) -> tuple[ReservedLine, ...]:
    """The lines as they are when they are released: what was not found does not go back."""
    not_found = added_up((line.sku, line.quantity) for line in command.not_found)
    return tuple(replace(line, written_off=min(line.held, not_found.get(line.sku, 0))) for line in reservation.lines)


def _issue(book: OpenBook, command: IssueStock, known: Reservation | None) -> None:
    """Let go what is held; to anything else the answer is what is true of it."""
    if known is None:
        book.say(_nothing_reserved(command))
    elif known.state != "held":
        book.say(outcome(known))
    else:
        for line in known.lines:
            book.move(line.sku, reserved=-line.held, shipped=line.held)
        issued = known.but(state="issued", changed_at=book.now)
        book.put(issued)
        book.say(outcome(issued))


def _nothing_reserved(command: Command) -> StockRejected:
    return StockRejected(**names_of_reservation(command), shortages=())


def _configure(documents: Documents, message: ConfigureItem, now: datetime) -> Decision:
    book = OpenBook(documents, message.location, now)
    configured = book.stock(message.sku).but(
        bin=message.bin,
        low_threshold=message.low_threshold,
        substitutes=tuple(dict.fromkeys(message.substitutes)),
    )
    if configured == documents.get(Stock, configured.id):
        return Decision()
    book.put(configured)
    book.say(
        ItemConfigured(
            location=configured.location,
            sku=configured.sku,
            bin=configured.bin,
            low_threshold=configured.low_threshold,
            substitutes=configured.substitutes,
            reported_by=message.reported_by,
        )
    )
    return book.close()


def _serve_on(documents: Documents, alarm: AlarmRang, now: datetime) -> Decision:
    """Go on with what an earlier input left to hand out."""
    stock = _loaded(documents, Stock, id_of(alarm.document))
    if stock is None:
        return Decision()
    book = OpenBook(documents, stock.location, now)
    book.put(stock)
    book.serve([stock.sku])
    book.enter("allocate", stock.id)
    return book.close()
