"""What the book does about movements that no order caused, and about how items are kept."""

from datetime import timedelta

import pytest
from chassis.testing.stage import Rehearsal
from contracts.inventory import (
    Adjustment,
    AdjustStock,
    ConfigureItem,
    GoodsLine,
    ItemConfigured,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    ReserveStock,
    StockAdjusted,
    StockLevel,
    StockLow,
    StockReceived,
    StockReserved,
    StockTransferred,
    TransferStock,
)
from contracts.message import Message, SkuQuantity
from inventory.decide import Policy, decider, needs
from inventory.movements import arrival_of
from inventory.state import LedgerEntry, Movement, Stock


def lines(**units: int) -> tuple[SkuQuantity, ...]:
    return tuple(SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in units.items())


def goods(**units: int) -> tuple[GoodsLine, ...]:
    return tuple(GoodsLine(sku=sku, quantity=quantity) for sku, quantity in units.items())


def receive(movement_id: str = "delivery 1", **units: int) -> ReceiveStock:
    return ReceiveStock(movement_id=movement_id, location="BERLIN", lines=goods(**units), reference="PO 17")


def adjust(**changes: int) -> AdjustStock:
    corrections = tuple(Adjustment(sku=sku, change=change) for sku, change in changes.items())
    return AdjustStock(movement_id="count 1", location="BERLIN", lines=corrections, reason="stocktaking")


def transfer(to_location: str = "LYON", movement_id: str = "truck 1", **units: int) -> TransferStock:
    return TransferStock(movement_id=movement_id, location="BERLIN", to_location=to_location, lines=goods(**units))


def order(**units: int) -> ReserveStock:
    return ReserveStock(
        order_id="web:1", revision=1, attempt=1, location="BERLIN", lines=lines(**units), when_short="backorder"
    )


def level(location: str = "BERLIN", sku: str = "LAMP", **counts: int) -> StockLevel:
    return StockLevel.model_validate(
        {"location": location, "sku": sku, "available": 0, "reserved": 0, "shipped": 0, "received": 0, **counts}
    )


def low_ones(said: tuple[Message, ...]) -> list[tuple[int, int]]:
    return [(message.available, message.threshold) for message in said if isinstance(message, StockLow)]


def test_puts_what_arrives_on_the_shelf(book: Rehearsal) -> None:
    assert book.take(receive(LAMP=5)) == (
        StockReceived(movement_id="delivery 1", location="BERLIN", lines=goods(LAMP=5), reference="PO 17"),
        level(available=5, received=5, version=1),
    )


def test_corrects_the_book_up_and_down(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=5))

    said = book.take(adjust(LAMP=-2, VASE=1))

    assert said == (
        StockAdjusted(
            movement_id="count 1", location="BERLIN", lines=adjust(LAMP=-2, VASE=1).lines, reason="stocktaking"
        ),
        level(available=3, received=3, version=2),
        level(sku="VASE", available=6, received=6, version=2),
    )


def test_refuses_a_correction_that_would_take_units_from_orders(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=5), order(LAMP=4))
    unchanged = book.get(Stock, "BERLIN/VASE")

    (refused,) = book.take(adjust(VASE=-1, LAMP=-2))

    assert isinstance(refused, MovementRefused)
    assert [(reason.path, reason.code) for reason in refused.reasons] == [("lines[1].sku", "short")]
    assert refused.reasons[0].message == "LAMP: 1 available, 4 set aside for orders, 2 to be taken"
    assert book.get(Stock, "BERLIN/VASE") == unchanged


def test_counts_the_lines_of_one_item_together_when_it_corrects(book: Rehearsal) -> None:
    book.take(receive(LAMP=1))
    both = adjust(LAMP=-3).model_copy(update={"lines": adjust(LAMP=-3).lines + adjust(LAMP=2).lines})

    assert level(available=0, received=0, version=2) in book.take(both)


def test_found_units_go_to_the_order_that_waits(book: Rehearsal) -> None:
    book.take(receive(LAMP=1), order(LAMP=3))

    assert StockReserved in map(type, book.take(adjust(LAMP=2)))


def test_what_is_being_handed_to_orders_that_wait_is_not_taken_from_them() -> None:
    book = Rehearsal(needs, decider(Policy(backorder_queue_max_orders=100)))
    book.take(ConfigureItem(location="BERLIN", sku="LAMP"))
    for number in range(60):
        book.take(order(LAMP=1).model_copy(update={"order_id": f"web:{number}"}))
    book.take(receive(LAMP=62))  # of which the first orders have theirs at once, and the others a moment later

    refused, *_ = book.take(transfer(movement_id="truck 1", LAMP=3))
    left, *_ = book.take(transfer(movement_id="truck 2", LAMP=2))
    book.advance(timedelta(seconds=1))

    assert isinstance(refused, MovementRefused)
    assert refused.reasons[0].message == "LAMP: 2 available, 60 set aside for orders, 3 to be taken"
    assert isinstance(left, StockTransferred)
    stock = book.get(Stock, "BERLIN/LAMP")
    assert stock is not None
    assert (stock.available, stock.reserved, stock.waiting_orders) == (0, 60, 0)


def test_a_transfer_leaves_one_book_and_arrives_in_the_other(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    left, arrival, here = book.take(transfer(LAMP=3))
    arrived, there = book.take(arrival)

    assert left == StockTransferred(
        movement_id="truck 1",
        location="BERLIN",
        to_location="LYON",
        lines=goods(LAMP=3),
        arrival_id=arrival_of("BERLIN/truck 1"),
    )
    assert here == level(available=2, received=2, version=2)
    assert isinstance(arrival, ReceiveTransfer)
    assert isinstance(arrived, StockReceived)
    assert arrived.reference == "transfer truck 1 from BERLIN"
    assert there == level("LYON", available=3, received=3, version=1)


def test_a_transfer_and_its_arrival_name_each_other(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    left, arrival, _ = book.take(transfer(LAMP=3))
    arrived, _ = book.take(arrival)

    assert isinstance(left, StockTransferred)
    assert isinstance(arrived, StockReceived)
    assert (left.to_location, left.arrival_id) == (arrived.location, arrived.movement_id)
    assert (arrived.from_location, arrived.transfer_id) == (left.location, left.movement_id)


def test_a_delivery_is_no_arrival_of_a_transfer(book: Rehearsal) -> None:
    received, _ = book.take(receive(LAMP=5))

    assert isinstance(received, StockReceived)
    assert (received.from_location, received.transfer_id) == (None, "")


def test_the_longest_names_fit_into_what_a_transfer_sends(book: Rehearsal) -> None:
    long, far = "m" * 128, "L" * 32
    book.take(receive(LAMP=5).model_copy(update={"location": far}))

    said = book.take(transfer(movement_id=long, LAMP=3).model_copy(update={"location": far}))

    assert [type(message) for message in said] == [StockTransferred, ReceiveTransfer, StockLevel]


def test_transfers_all_of_it_or_nothing(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=1))

    (refused,) = book.take(transfer(LAMP=3, VASE=2, CLOCK=1))

    assert isinstance(refused, MovementRefused)
    assert [reason.path for reason in refused.reasons] == ["lines[1].sku", "lines[2].sku"]
    assert book.get(Stock, "BERLIN/CLOCK") is None


def test_a_transfer_goes_to_another_location(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    (refused,) = book.take(transfer(to_location="BERLIN", LAMP=3))

    assert isinstance(refused, MovementRefused)
    assert [(reason.path, reason.code) for reason in refused.reasons] == [("to_location", "same_location")]


@pytest.mark.parametrize("movement", [receive("again", LAMP=5), adjust(LAMP=-9), adjust(LAMP=-1), transfer(LAMP=2)])
def test_a_repeated_movement_changes_nothing_and_says_nothing(book: Rehearsal, movement: Message) -> None:
    book.take(receive(LAMP=5), movement)
    unchanged = dict(book.documents)

    assert book.take(movement) == ()
    assert book.documents == unchanged


def test_a_refused_movement_stays_refused(book: Rehearsal) -> None:
    book.take(transfer(LAMP=2), receive(LAMP=5))

    assert book.take(transfer(LAMP=2)) == ()
    movement = book.get(Movement, "BERLIN/truck 1")
    assert movement is not None
    assert (movement.state, movement.reasons[0].path) == ("refused", "lines[0].sku")


@pytest.mark.parametrize("first", [receive("PO 17", LAMP=5), transfer(movement_id="PO 17", LAMP=5)])
def test_another_movement_under_a_known_id_is_refused_and_changes_nothing(book: Rehearsal, first: Message) -> None:
    book.take(first)
    unchanged = dict(book.documents)

    (refused,) = book.take(receive("PO 17", LAMP=6))

    assert isinstance(refused, MovementRefused)
    assert [(reason.path, reason.code) for reason in refused.reasons] == [("movement_id", "already_used")]
    assert book.documents == unchanged


def test_the_same_number_in_another_location_is_another_movement(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    said = book.take(receive(LAMP=5).model_copy(update={"location": "LYON"}))

    assert level("LYON", available=5, received=5, version=1) in said


@pytest.mark.parametrize(
    ("movement", "path"), [(receive(LAMP=2), "lines[0].quantity"), (adjust(LAMP=2), "lines[0].change")]
)
def test_refuses_more_than_can_be_counted(book: Rehearsal, movement: Message, path: str) -> None:
    full = Stock.at("BERLIN", "LAMP").moved(shipped=999_999_999_999)
    book.documents[full.key] = full

    (refused,) = book.take(movement)

    assert isinstance(refused, MovementRefused)
    assert [(reason.path, reason.code) for reason in refused.reasons] == [(path, "too_many")]


def test_keeps_an_item_as_it_is_told(book: Rehearsal) -> None:
    configure = ConfigureItem(
        location="BERLIN", sku="LAMP", bin="A-1", low_threshold=0, substitutes=("TORCH", "VASE", "TORCH")
    )

    assert book.take(configure) == (
        ItemConfigured(location="BERLIN", sku="LAMP", bin="A-1", low_threshold=0, substitutes=("TORCH", "VASE")),
        level(version=1),
    )
    assert book.take(configure) == ()


def test_says_once_that_an_item_is_low_and_again_after_it_recovered(book: Rehearsal) -> None:
    book.take(ConfigureItem(location="BERLIN", sku="LAMP", low_threshold=3))

    assert low_ones(book.take(receive("d1", LAMP=3))) == []
    assert low_ones(book.take(transfer(movement_id="t1", LAMP=1))) == [(2, 3)]
    assert low_ones(book.take(transfer(movement_id="t2", LAMP=1))) == []
    assert low_ones(book.take(receive("d2", LAMP=9))) == []
    assert low_ones(book.take(order(LAMP=8))) == [(2, 3)]


def test_says_that_an_item_is_low_as_soon_as_its_threshold_says_so(book: Rehearsal) -> None:
    book.take(receive(LAMP=3))

    assert low_ones(book.take(ConfigureItem(location="BERLIN", sku="LAMP", low_threshold=4))) == [(3, 4)]


def test_who_reported_a_movement_is_told_and_kept_in_the_ledger(book: Rehearsal) -> None:
    receipt, count = (
        movement.model_copy(update={"reported_by": who})
        for movement, who in ((receive(LAMP=5), "Ann"), (adjust(LAMP=-1), "Ben"))
    )
    leaving, too_many = (
        transfer(movement_id=id_, LAMP=units).model_copy(update={"reported_by": "Cem"})
        for id_, units in (("truck 1", 2), ("truck 2", 9))
    )
    configured = ConfigureItem(location="BERLIN", sku="LAMP", bin="A-1", reported_by="Dee")

    said = [book.take(message)[0] for message in (receipt, count, leaving, too_many, configured)]

    assert [getattr(message, "reported_by", None) for message in said] == ["Ann", "Ben", "Cem", "Cem", "Dee"]
    entries = [document for document in book.documents.values() if isinstance(document, LedgerEntry)]
    assert [entry.reported_by for entry in entries] == ["Ann", "Ben", "Cem"]


def test_a_movement_that_another_person_reports_again_is_the_same_movement(book: Rehearsal) -> None:
    book.take(receive(LAMP=5).model_copy(update={"reported_by": "Ann"}))

    assert book.take(receive(LAMP=5).model_copy(update={"reported_by": "Ben"})) == ()


def test_the_ledger_keeps_the_reason_of_each_movement(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), adjust(LAMP=-1), transfer(LAMP=2), transfer("LYON", "truck 2", LAMP=9))

    entries = [document for document in book.documents.values() if isinstance(document, LedgerEntry)]
    assert [(entry.what, entry.cause, entry.note, entry.changes[0].available) for entry in entries] == [
        ("receive", "BERLIN/delivery 1", "PO 17", 5),
        ("adjust", "BERLIN/count 1", "stocktaking", -1),
        ("transfer", "BERLIN/truck 1", "to LYON", -2),
    ]
