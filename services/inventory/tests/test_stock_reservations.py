"""What the book does about orders: reserve, release, issue."""

from datetime import timedelta

import pytest
from chassis.testing.stage import Rehearsal
from contracts.inventory import (
    BinQuantity,
    ConfigureItem,
    GoodsLine,
    IssueStock,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    Shortage,
    StockBackordered,
    StockIssued,
    StockLevel,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import Message, SkuQuantity
from inventory.decide import MOST_OFFERS, Policy, decider
from inventory.state import LedgerEntry, Reservation, Stock

STEP = {"order_id": "web:1", "revision": 1, "attempt": 1, "location": "BERLIN"}


def lines(**units: int) -> tuple[SkuQuantity, ...]:
    return tuple(SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in units.items())


def receive(**units: int) -> ReceiveStock:
    goods = tuple(GoodsLine(sku=sku, quantity=quantity) for sku, quantity in units.items())
    return ReceiveStock(movement_id=f"delivery of {units}", location="BERLIN", lines=goods)


def announce(sku: str = "LAMP") -> ConfigureItem:
    return ConfigureItem(location="BERLIN", sku=sku)


def reserve(when_short: str = "refuse", order: str = "web:1", attempt: int = 1, **units: int) -> ReserveStock:
    step = {**STEP, "order_id": order, "attempt": attempt}
    return ReserveStock.model_validate({**step, "lines": lines(**units), "when_short": when_short})


def release(order: str = "web:1") -> ReleaseStock:
    return ReleaseStock.model_validate({**STEP, "order_id": order})


def issue(order: str = "web:1") -> IssueStock:
    return IssueStock.model_validate({**STEP, "order_id": order})


def levels(book: Rehearsal, sku: str = "LAMP") -> tuple[int, int, int, int]:
    stock = book.get(Stock, f"BERLIN/{sku}") or Stock.at("BERLIN", sku)
    return stock.received, stock.available, stock.reserved, stock.shipped


def answers(said: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(message for message in said if not isinstance(message, StockLevel))


def test_sets_aside_what_an_order_needs_and_says_where_it_lies(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=1), ConfigureItem(location="BERLIN", sku="LAMP", bin="A-7"))

    said = book.take(reserve(LAMP=2, VASE=1))

    assert said[0] == StockReserved(
        **STEP, lines=(BinQuantity(sku="LAMP", quantity=2, bin="A-7"), BinQuantity(sku="VASE", quantity=1))
    )
    assert levels(book) == (5, 3, 2, 0)


def test_says_the_new_level_of_every_item_that_changed(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    said = book.take(reserve(LAMP=2))

    assert said[1:] == (
        StockLevel(location="BERLIN", sku="LAMP", available=3, reserved=2, shipped=0, received=5, version=2),
    )


def test_a_level_has_the_number_of_the_ledger_entry_that_it_follows_from_so_that_an_older_one_is_told(
    book: Rehearsal,
) -> None:
    said = [*book.take(receive(LAMP=5)), *book.take(receive(VASE=5)), *book.take(reserve(LAMP=2))]

    told = [(level.sku, level.version) for level in said if isinstance(level, StockLevel)]
    entries = [entry for entry in book.documents.values() if isinstance(entry, LedgerEntry)]
    assert told == [(entry.changes[0].sku, entry.number) for entry in entries]
    assert [version for sku, version in told if sku == "LAMP"] == [1, 3]


def test_counts_several_lines_of_one_item_together(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))
    twice = reserve(LAMP=3).model_copy(update={"lines": lines(LAMP=3) + lines(LAMP=3)})

    assert book.take(twice) == (StockRejected(**STEP, shortages=(Shortage(sku="LAMP", requested=6, available=5),)),)


def test_reserves_nothing_when_one_of_the_items_is_short(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=1))

    said = book.take(reserve(LAMP=2, VASE=2, CLOCK=1))

    assert said == (
        StockRejected(
            **STEP,
            shortages=(Shortage(sku="VASE", requested=2, available=1), Shortage(sku="CLOCK", requested=1, available=0)),
        ),
    )
    assert levels(book) == (5, 5, 0, 0)
    assert levels(book, "VASE") == (1, 1, 0, 0)


def test_offers_the_substitutes_that_are_there_in_the_requested_quantity(book: Rehearsal) -> None:
    book.take(
        ConfigureItem(location="BERLIN", sku="LAMP", substitutes=("LANTERN", "TORCH", "LAMP", "CANDLE", "LIGHT")),
        receive(LANTERN=1, TORCH=2, CANDLE=3),
    )

    said = book.take(reserve(LAMP=2, CANDLE=2))

    assert said == (
        StockRejected(**STEP, shortages=(Shortage(sku="LAMP", requested=2, available=0, substitutes=("TORCH",)),)),
    ), "of the three candles the order wants two for themselves"


def test_offers_substitutes_for_so_many_items_that_are_short_and_no_more(book: Rehearsal) -> None:
    short = [f"LAMP-{number}" for number in range(MOST_OFFERS + 20)]
    book.take(receive(TORCH=1))
    book.take(*(ConfigureItem(location="BERLIN", sku=sku, substitutes=("TORCH",)) for sku in short[10:]))

    (rejected,) = book.take(reserve(**dict.fromkeys(short, 1)))

    assert isinstance(rejected, StockRejected)
    assert [shortage.sku for shortage in rejected.shortages] == short
    assert [shortage.sku for shortage in rejected.shortages if shortage.substitutes] == short[10 : MOST_OFFERS + 10]


def test_a_split_takes_what_is_there_and_says_what_is_missing(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    said = book.take(reserve("split", LAMP=7, VASE=2))

    assert said[0] == StockReserved(**STEP, lines=(BinQuantity(sku="LAMP", quantity=5),), missing=lines(LAMP=2, VASE=2))
    assert levels(book) == (5, 0, 5, 0)


def test_a_split_that_finds_nothing_reserves_nothing(book: Rehearsal) -> None:
    assert book.take(reserve("split", LAMP=7)) == (StockReserved(**STEP, lines=(), missing=lines(LAMP=7)),)


def test_a_split_does_not_wait_for_what_is_missing(book: Rehearsal) -> None:
    book.take(reserve("split", LAMP=7))

    book.take(receive(LAMP=10))

    assert levels(book) == (10, 10, 0, 0)


def test_a_backorder_takes_what_is_there_and_waits_for_the_rest(book: Rehearsal) -> None:
    book.take(receive(LAMP=5, VASE=1))

    said = book.take(reserve("backorder", LAMP=7, VASE=1))

    assert said[0] == StockBackordered(**STEP, lines=lines(LAMP=5, VASE=1), missing=lines(LAMP=2))
    assert levels(book) == (5, 0, 5, 0)


def test_a_backorder_that_finds_everything_is_simply_reserved(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    assert book.take(reserve("backorder", LAMP=5))[0] == StockReserved(
        **STEP, lines=(BinQuantity(sku="LAMP", quantity=5),)
    )


def test_stock_that_arrives_completes_the_order_that_waits(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), announce("VASE"), reserve("backorder", LAMP=7, VASE=2))

    assert StockReserved not in map(type, book.take(receive(LAMP=3)))
    said = book.take(ConfigureItem(location="BERLIN", sku="VASE", bin="C-1"), receive(VASE=2))

    reserved = StockReserved(
        **STEP, lines=(BinQuantity(sku="LAMP", quantity=7), BinQuantity(sku="VASE", quantity=2, bin="C-1"))
    )
    assert reserved in said
    assert levels(book) == (8, 1, 7, 0)


def test_stock_that_arrives_goes_to_the_orders_in_the_order_in_which_they_came(book: Rehearsal) -> None:
    book.take(announce())
    for number in (1, 2, 3):
        book.take(reserve("backorder", order=f"web:{number}", LAMP=2))

    said = book.take(receive(LAMP=5))

    assert [message.order_id for message in said if isinstance(message, StockReserved)] == ["web:1", "web:2"]
    assert book.take(reserve("backorder", order="web:3", LAMP=2))[0] == StockBackordered(
        **{**STEP, "order_id": "web:3"}, lines=lines(LAMP=1), missing=lines(LAMP=1)
    )


def test_who_got_a_part_stays_at_the_head_of_the_queue(book: Rehearsal) -> None:
    book.take(announce(), reserve("backorder", order="web:1", LAMP=2), reserve("backorder", order="web:2", LAMP=1))
    book.take(receive(LAMP=1))

    said = book.take(receive(LAMP=1).model_copy(update={"movement_id": "the second"}))

    assert [message.order_id for message in said if isinstance(message, StockReserved)] == ["web:1"]


def test_nobody_gets_ahead_of_the_queue(book: Rehearsal) -> None:
    book.take(announce(), reserve("backorder", LAMP=2), receive(LAMP=1))

    said = book.take(reserve("split", order="web:2", LAMP=1))

    assert answers(said) == (StockReserved(**{**STEP, "order_id": "web:2"}, lines=(), missing=lines(LAMP=1)),)


def test_what_is_released_goes_to_the_order_that_waits(book: Rehearsal) -> None:
    book.take(receive(LAMP=3), reserve(LAMP=3), reserve("backorder", order="web:2", LAMP=2))

    said = book.take(release())

    assert answers(said) == (
        StockReleased(**STEP, lines=lines(LAMP=3)),
        StockReserved(**{**STEP, "order_id": "web:2"}, lines=(BinQuantity(sku="LAMP", quantity=2),)),
    )
    assert levels(book) == (3, 1, 2, 0)


def test_an_order_that_stops_waiting_gives_back_what_it_held_and_leaves_the_queue(book: Rehearsal) -> None:
    book.take(receive(LAMP=3), reserve("backorder", LAMP=5), reserve("backorder", order="web:2", LAMP=4))

    said = book.take(release())

    assert answers(said) == (StockReleased(**STEP, lines=lines(LAMP=3)),)
    assert book.take(receive(LAMP=1))[1] == StockReserved(
        **{**STEP, "order_id": "web:2"}, lines=(BinQuantity(sku="LAMP", quantity=4),)
    )


def test_a_queue_takes_only_so_many_orders(book: Rehearsal) -> None:
    book.take(announce())
    for number in (1, 2, 3):
        book.take(reserve("backorder", order=f"web:{number}", LAMP=2))

    said = book.take(reserve("backorder", order="web:4", LAMP=2))

    assert said == (
        StockRejected(**{**STEP, "order_id": "web:4"}, shortages=(Shortage(sku="LAMP", requested=2, available=0),)),
    )


def test_a_long_queue_is_served_in_portions(book: Rehearsal) -> None:
    book.decide = decider(Policy(backorder_queue_max_orders=100))
    book.take(announce())
    for number in range(60):
        book.take(reserve("backorder", order=f"web:{number}", LAMP=1))

    arrival = book.take(receive(LAMP=60))
    refused = book.take(reserve(order="web:late", LAMP=1))
    split = book.take(reserve("split", order="web:later", LAMP=1))
    later = book.advance(timedelta(seconds=1))

    reserved = [message.order_id for message in arrival + later if isinstance(message, StockReserved)]
    assert reserved == [f"web:{number}" for number in range(60)]
    assert len([message for message in arrival if isinstance(message, StockReserved)]) == 25
    assert isinstance(refused[0], StockRejected), "what has arrived belongs to those who wait"
    assert split == (StockReserved(**{**STEP, "order_id": "web:later"}, lines=(), missing=lines(LAMP=1)),)
    assert levels(book) == (60, 0, 60, 0)


def test_releases_what_was_set_aside(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), reserve(LAMP=2))

    assert book.take(release())[0] == StockReleased(**STEP, lines=lines(LAMP=2))
    assert levels(book) == (5, 5, 0, 0)


def test_writes_off_what_was_not_found_instead_of_handing_it_to_the_next(book: Rehearsal) -> None:
    book.take(receive(LAMP=3, VASE=1), reserve(LAMP=3, VASE=1), reserve("backorder", order="web:2", LAMP=2))
    command = ReleaseStock.model_validate({**STEP, "not_found": lines(LAMP=2)})

    said = book.take(command)

    released = StockReleased(**STEP, lines=lines(LAMP=1, VASE=1), written_off=lines(LAMP=2))
    assert answers(said) == (released,)
    assert levels(book) == (1, 0, 1, 0)
    assert levels(book, "VASE") == (1, 1, 0, 0)
    entry = book.get(LedgerEntry, "BERLIN/4")
    assert entry is not None
    assert [(one.sku, one.available, one.reserved) for one in entry.changes[:1]] == [("LAMP", 1, -3)]
    assert book.take(command) == book.take(release()) == (released,)
    assert levels(book) == (1, 0, 1, 0)


def test_writes_off_no_more_than_was_set_aside(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), reserve(LAMP=2))

    book.take(ReleaseStock.model_validate({**STEP, "not_found": lines(LAMP=4, VASE=1)}))

    assert levels(book) == (3, 3, 0, 0)
    assert levels(book, "VASE") == (0, 0, 0, 0)


def test_a_release_that_overtakes_its_reservation_keeps_it_from_being_made(book: Rehearsal) -> None:
    book.take(receive(LAMP=5))

    assert book.take(release()) == (StockReleased(**STEP, lines=()),)
    assert book.take(reserve(LAMP=2)) == (StockRejected(**STEP, shortages=()),)
    assert levels(book) == (5, 5, 0, 0)


def test_another_attempt_is_another_reservation(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), release())

    assert book.take(reserve(LAMP=2, attempt=2))[0] == StockReserved(
        **{**STEP, "attempt": 2}, lines=(BinQuantity(sku="LAMP", quantity=2),)
    )


def test_issues_what_was_set_aside(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), reserve(LAMP=2))

    assert book.take(issue())[0] == StockIssued(**STEP, lines=lines(LAMP=2))
    assert levels(book) == (5, 3, 0, 2)


def test_what_has_left_is_not_released(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), reserve(LAMP=2), issue())

    assert book.take(release()) == (StockIssued(**STEP, lines=lines(LAMP=2)),)
    assert levels(book) == (5, 3, 0, 2)


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        ((), StockRejected(**STEP, shortages=())),
        (
            (reserve(LAMP=9),),
            StockRejected(**STEP, shortages=(Shortage(sku="LAMP", requested=9, available=5),)),
        ),
        ((reserve("backorder", LAMP=9),), StockBackordered(**STEP, lines=lines(LAMP=5), missing=lines(LAMP=4))),
        ((reserve(LAMP=2), release()), StockReleased(**STEP, lines=lines(LAMP=2))),
    ],
    ids=["never reserved", "rejected", "waiting", "released"],
)
def test_does_not_issue_what_is_not_set_aside_in_full(
    book: Rehearsal, before: tuple[Message, ...], answer: Message
) -> None:
    book.take(receive(LAMP=5), *before)
    unchanged = dict(book.documents)

    assert book.take(issue()) == (answer,)
    assert book.documents == unchanged


@pytest.mark.parametrize(
    "commands",
    [
        (reserve(LAMP=2),),
        (reserve(LAMP=9),),
        (reserve("split", LAMP=9),),
        (reserve("backorder", LAMP=9),),
        (reserve(LAMP=2), release()),
        (reserve(LAMP=2), issue()),
        (release(),),
    ],
    ids=["reserved", "rejected", "split", "waiting", "released", "issued", "tombstone"],
)
def test_a_repeated_command_changes_nothing_and_says_its_outcome_again(
    book: Rehearsal, commands: tuple[Message, ...]
) -> None:
    book.take(receive(LAMP=5), *commands[:-1])
    said = book.take(commands[-1])
    unchanged = dict(book.documents)

    assert book.take(commands[-1]) == answers(said)
    assert book.documents == unchanged


def test_a_reservation_that_was_released_is_not_made_again(book: Rehearsal) -> None:
    book.take(receive(LAMP=5), reserve(LAMP=2), release())

    assert book.take(reserve(LAMP=2)) == (StockRejected(**STEP, shortages=()),)


def test_says_more_units_than_fit_in_one_line_in_several(book: Rehearsal) -> None:
    many = reserve(LAMP=1).model_copy(update={"lines": lines(LAMP=10_000_000) + lines(LAMP=2)})
    book.take(receive(LAMP=10_000_000))

    rejected = book.take(many)
    book.take(receive(LAMP=9))
    reserved = book.take(many.model_copy(update={"attempt": 2}))

    assert rejected[0] == StockRejected(
        **STEP, shortages=(Shortage(sku="LAMP", requested=10_000_000, available=10_000_000),)
    )
    assert reserved[0] == StockReserved(
        **{**STEP, "attempt": 2},
        lines=(BinQuantity(sku="LAMP", quantity=10_000_000), BinQuantity(sku="LAMP", quantity=2)),
    )


def test_the_ledger_tells_what_moved_for_whom_and_why(book: Rehearsal) -> None:
    book.take(receive(LAMP=3), reserve(LAMP=3), reserve("backorder", order="web:2", LAMP=2), release(), issue("web:2"))

    entries = [document for document in book.documents.values() if isinstance(document, LedgerEntry)]
    assert [
        (entry.number, entry.what, entry.cause, change.available, change.reserved, change.shipped, change.allocated_to)
        for entry in sorted(entries, key=lambda entry: entry.number)
        for change in entry.changes
    ] == [
        (1, "receive", "BERLIN/delivery of {'LAMP': 3}", 3, 0, 0, ""),
        (2, "reserve", "BERLIN/web:1/1/1", -3, 3, 0, ""),
        (4, "release", "BERLIN/web:1/1/1", 3, -3, 0, ""),
        (4, "release", "BERLIN/web:1/1/1", -2, 2, 0, "BERLIN/web:2/1/1"),
        (5, "issue", "BERLIN/web:2/1/1", 0, -2, 2, ""),
    ]


def test_needs_no_more_of_the_queue_than_the_arriving_units_reach(book: Rehearsal) -> None:
    book.take(announce())
    for number in (1, 2, 3):
        book.take(reserve("backorder", order=f"web:{number}", LAMP=2))
    loaded: set[str] = set()
    ask = book.needs
    book.needs = lambda message, documents: [key for key in ask(message, documents) if loaded.add(key) is None]

    book.take(receive(LAMP=3))

    assert {key for key in loaded if key.startswith(Reservation.kind)} == {
        "reservations/BERLIN/web:1/1/1",
        "reservations/BERLIN/web:2/1/1",
    }
