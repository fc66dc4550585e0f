"""Movements that no order caused: goods arrive, a count is put right, stock goes to another location."""

from collections.abc import Iterator
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from chassis.decision import Decision, Documents
from contracts.inventory import (
    AdjustStock,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    StockAdjusted,
    StockReceived,
    StockTransferred,
    TransferStock,
)
from contracts.message import MOST_COUNTED, Message, Reason

from inventory.book import OpenBook, added_up
from inventory.state import MovedLine, Movement, MovementKind

Moving = ReceiveStock | ReceiveTransfer | AdjustStock | TransferStock

ALREADY_USED = Reason(path="movement_id", code="already_used", message="this id names another movement there")


def move(documents: Documents, message: Moving, now: datetime) -> Decision:
    """Do all of it or nothing, and nothing if a movement of this id was done or refused before."""
    movement = movement_of(message, now)
    known = documents.get(Movement, movement.id)
    if known is not None:
        return Decision(messages=() if known.repeats(movement) else (_refused(message, (ALREADY_USED,)),))
    book = OpenBook(documents, message.location, now)
    changes = changes_of(message)
    reasons = tuple(_against(book, message, movement, changes))
    if reasons:
        book.put(movement.but(state="refused", reasons=reasons, arrival_id=""))
        book.say(_refused(message, reasons))
        return book.close()
    book.put(movement)
    for sku, change in changes.items():
        book.move(sku, available=change)
    for said in _done(message, movement):
        book.say(said)
    book.serve(sku for sku, change in changes.items() if change > 0)
    book.enter(movement.what, movement.id, movement.note, movement.reported_by)
    return book.close()


def _refused(message: Moving, reasons: tuple[Reason, ...]) -> MovementRefused:
    return MovementRefused(
        movement_id=message.movement_id, location=message.location, reported_by=_reporter(message), reasons=reasons
    )


def _reporter(message: Moving) -> str:
    """Who reports it; nobody does what the other location sent."""
    return "" if isinstance(message, ReceiveTransfer) else message.reported_by


def changes_of(message: Moving) -> dict[str, int]:
    """What a movement does to the units available, by SKU."""
    return added_up((line.sku, line.change) for line in _lines(message))


def _lines(message: Moving) -> tuple[MovedLine, ...]:
    match message:
        case ReceiveStock() | ReceiveTransfer():
            return tuple(MovedLine(sku=line.sku, change=line.quantity) for line in message.lines)
        case AdjustStock():
            return tuple(MovedLine(sku=line.sku, change=line.change) for line in message.lines)
        case TransferStock():
            return tuple(MovedLine(sku=line.sku, change=-line.quantity) for line in message.lines)


def movement_of(message: Moving, now: datetime) -> Movement:
    """The movement as it is remembered when nothing speaks against it."""
    kind: MovementKind
    match message:
        case ReceiveStock() | ReceiveTransfer():
            kind, note = "receive", message.reference
        case AdjustStock():
            kind, note = "adjust", message.reason
        case TransferStock():
            kind, note = "transfer", f"to {message.to_location}"
    movement = Movement(
        id=Movement.place(message.location, message.movement_id),
        location=message.location,
        movement_id=message.movement_id,
        what=kind,
        state="done",
        lines=_lines(message),
        note=note,
        reported_by=_reporter(message),
        at=now,
    )
    match message:
        case TransferStock():
            return movement.but(arrival_id=arrival_of(movement.id))
        case ReceiveTransfer():
            return movement.but(transfer_id=message.transfer_id, from_location=message.from_location)
        case _:
            return movement


def _against(book: OpenBook, message: Moving, movement: Movement, changes: dict[str, int]) -> Iterator[Reason]:
    """What speaks against a movement: nothing goes below zero, out of an order's hands, or beyond counting."""
    if isinstance(message, TransferStock) and message.to_location == message.location:
        yield Reason(path="to_location", code="same_location", message="a transfer goes to another location")
    for place, line in enumerate(movement.lines):
        stock, change = book.stock(line.sku), changes[line.sku]
        if line.change < 0 and stock.movable + change < 0:
            for_orders = stock.available + stock.reserved - stock.movable
            levels = f"{stock.movable} available, {for_orders} set aside for orders"
            short = f"{line.sku}: {levels}, {-change} to be taken"
            yield Reason(path=f"lines[{place}].sku", code="short", message=short)
        if line.change > 0 and stock.received + change > MOST_COUNTED:
            field = "change" if isinstance(message, AdjustStock) else "quantity"
            many = f"{line.sku}: a book counts up to {MOST_COUNTED} units of an item"
            yield Reason(path=f"lines[{place}].{field}", code="too_many", message=many)


def _done(message: Moving, movement: Movement) -> tuple[Message, ...]:
    match message:
        case ReceiveStock() | ReceiveTransfer():
            return (StockReceived(**dict(message)),)
        case AdjustStock():
            return (StockAdjusted(**dict(message)),)
        case TransferStock():
            arrival = ReceiveTransfer(
                movement_id=movement.arrival_id,
                location=message.to_location,
                lines=message.lines,
                reference=f"transfer {message.movement_id} from {message.location}",
                transfer_id=message.movement_id,
                from_location=message.location,
            )
            return StockTransferred(**dict(message), arrival_id=movement.arrival_id), arrival


def arrival_of(transfer: str) -> str:
    """The sender's id of the movement by which arrives what left by the movement of this id."""
    return f"transfer-{uuid5(NAMESPACE_URL, transfer)}"
