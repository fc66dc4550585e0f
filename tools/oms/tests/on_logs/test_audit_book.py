from collections.abc import Callable, Sequence

import pytest
from contracts.inventory import (
    Adjustment,
    BinQuantity,
    StockAdjusted,
    StockBackordered,
    StockIssued,
    StockLevel,
    StockReceived,
    StockReleased,
    StockReserved,
    StockTransferred,
)
from contracts.message import Message, SkuQuantity
from oms.audit.book import Book
from oms.audit.books import Books
from oms.history.lives import Lives
from oms.history.logged import Logged

Write = Callable[[Message], Logged]
Keep = Callable[[Sequence[Message]], Book]
STEP = {"order_id": "web:1", "revision": 1, "attempt": 1, "location": "LON"}


@pytest.fixture
def keep(pen: Write) -> Keep:
    """Keeps the book that these messages are of, written in this order."""

    def kept(messages: Sequence[Message]) -> Book:
        return kept_from([pen(message) for message in messages])

    return kept


def kept_from(messages: Sequence[Logged]) -> Book:
    books = Books()
    for message in messages:
        books.take(message)
    [book] = books.keep(Lives())
    return book


def received(units: int) -> StockReceived:
    lines = (SkuQuantity(sku="MUG", quantity=units),)
    return StockReceived(movement_id=f"d{units}", location="LON", lines=lines)


def reserved(units: int, **step: object) -> StockReserved:
    return StockReserved(**(STEP | step), lines=(BinQuantity(sku="MUG", quantity=units),))


def backordered(held: int, missing: int) -> StockBackordered:
    lines = (SkuQuantity(sku="MUG", quantity=held),) if held else ()
    return StockBackordered(**STEP, lines=lines, missing=(SkuQuantity(sku="MUG", quantity=missing),))


def released(units: int) -> StockReleased:
    return StockReleased(**STEP, lines=(SkuQuantity(sku="MUG", quantity=units),))


def issued(units: int) -> StockIssued:
    return StockIssued(**STEP, lines=(SkuQuantity(sku="MUG", quantity=units),))


def level(available: int, held: int, shipped: int = 0) -> StockLevel:
    total = available + held + shipped
    return StockLevel(location="LON", sku="MUG", available=available, reserved=held, shipped=shipped, received=total)


def whats(book: Book) -> list[str]:
    return [found.what for found in book.findings]


def test_keeps_the_book_from_delivery_to_shipment(keep: Keep) -> None:
    book = keep([received(5), level(5, 0), reserved(2), level(3, 2), issued(2), level(3, 0, 2)])

    assert book.findings == []
    item = book.items["LON", "MUG"]
    assert (item.available, item.reserved, item.shipped, item.received) == (3, 0, 2, 5)


def test_counts_corrections_and_transfers(keep: Keep) -> None:
    adjusted = StockAdjusted(movement_id="a", location="LON", lines=(Adjustment(sku="MUG", change=-1),), reason="count")
    line = SkuQuantity(sku="MUG", quantity=2)
    sent = StockTransferred(movement_id="t", location="LON", to_location="MAN", lines=(line,))

    assert whats(keep([received(5), adjusted, sent, level(2, 0)])) == []


def test_names_the_first_message_that_sells_more_than_there_is(pen: Write) -> None:
    oversold = reserved(4, order_id="web:2")
    written = [pen(received(5)), pen(level(5, 0)), pen(reserved(2)), pen(oversold), pen(level(0, 6))]

    book = kept_from(written)

    assert [(found.place, found.about) for found in book.findings] == [(written[3].place, "MUG in LON")]
    assert "leaves -1 available" in book.findings[0].what


def test_finds_a_level_that_the_events_do_not_come_to(keep: Keep) -> None:
    [what] = whats(keep([received(5), reserved(2), level(4, 1)]))

    assert what == (
        "the message here says 4 available + 1 reserved + 0 shipped = 5 received, but the events come to 3 + 2 + 0 = 5"
    )


def test_finds_a_level_that_does_not_add_up(keep: Keep) -> None:
    wrong = level(5, 0).model_copy(update={"received": 6})

    assert len(whats(keep([received(5), wrong]))) == 1


def test_finds_stock_that_moved_without_a_new_level(keep: Keep) -> None:
    [what] = whats(keep([received(5), level(5, 0), reserved(2)]))

    assert "whose new StockLevel never came" in what


def test_lets_a_book_set_arriving_units_aside_for_those_who_wait(keep: Keep) -> None:
    book = keep([backordered(0, 5), received(3), level(0, 3), received(4), reserved(5), level(2, 5)])

    assert book.findings == []


def test_lets_no_book_set_more_aside_than_those_who_wait_miss(keep: Keep) -> None:
    [what] = whats(keep([backordered(0, 2), received(4), level(1, 3)]))

    assert "of which up to 2 for orders that wait" in what


def test_puts_back_what_was_set_aside_secretly_when_the_wait_is_given_up(keep: Keep) -> None:
    book = keep([received(1), backordered(1, 5), received(3), level(0, 4), released(4), level(4, 0)])

    assert book.findings == []


def test_finds_units_released_that_were_never_set_aside(keep: Keep) -> None:
    [what] = whats(keep([received(5), level(5, 0), released(2)]))

    assert "releases units that were never set aside" in what


def test_finds_more_units_released_than_were_set_aside(keep: Keep) -> None:
    [what, *_] = whats(keep([received(5), reserved(2), released(3), level(5, 0)]))

    assert "releases 3 MUG where 2 were set aside" in what


def test_finds_units_issued_that_are_not_set_aside(keep: Keep) -> None:
    [what] = whats(keep([received(5), reserved(2), released(2), level(5, 0), issued(2)]))

    assert "issues units that are not set aside" in what


def test_finds_other_units_issued_than_were_set_aside(keep: Keep) -> None:
    [what, *_] = whats(keep([received(5), reserved(2), issued(3), level(3, 0, 2)]))

    assert "issues 3 MUG where 2 MUG are set aside" in what


def test_finds_units_set_aside_again_after_they_were_released(keep: Keep) -> None:
    [what] = whats(keep([received(5), reserved(2), released(2), level(5, 0), reserved(2)]))

    assert "set aside which were released before" in what


def test_finds_a_reservation_that_shrinks(keep: Keep) -> None:
    [what, *_] = whats(keep([received(5), reserved(3), reserved(2), level(3, 2)]))

    assert "1 MUG fewer set aside than before" in what


def test_passes_over_what_is_said_again_to_whoever_asks_again(keep: Keep) -> None:
    book = keep([received(5), reserved(2), reserved(2), issued(2), issued(2), level(3, 0, 2)])

    assert book.findings == []


def test_keeps_the_same_book_whatever_the_order_in_which_its_topics_are_read(pen: Write) -> None:
    written = [pen(message) for message in (received(5), level(5, 0), reserved(2), level(3, 2), issued(2))]
    again = written[2]

    book = kept_from([*reversed(written), again, pen(level(3, 0, 2))])

    assert book.findings == []
    assert book.items["LON", "MUG"].shipped == 2


def test_says_what_is_still_set_aside(keep: Keep) -> None:
    [(attempt, hold)] = keep([received(5), reserved(2), level(3, 2)]).held()

    assert attempt == ("web:1", 1, 1)
    assert hold.units == {"MUG": 2}


def test_nothing_is_set_aside_where_a_split_found_nothing(keep: Keep) -> None:
    missing = (SkuQuantity(sku="MUG", quantity=2),)

    assert list(keep([StockReserved(**STEP, lines=(), missing=missing)]).held()) == []
