"""Whatever comes, in whatever order and however often: nothing is lost, oversold or handed out of turn."""

from collections import Counter, deque
from datetime import timedelta
from unittest.mock import patch

from chassis.decision import AlarmRang
from chassis.testing.stage import Rehearsal
from contracts.inventory import (
    Adjustment,
    AdjustStock,
    ConfigureItem,
    GoodsLine,
    IssueStock,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    ReserveStock,
    StockAdjusted,
    StockBackordered,
    StockIssued,
    StockLevel,
    StockReceived,
    StockRejected,
    StockReleased,
    StockReserved,
    StockTransferred,
    TransferStock,
)
from contracts.message import Message, SkuQuantity
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from inventory.decide import Policy, decider, needs
from inventory.state import Backorder, Book, LedgerEntry, Reservation, Stock

QUEUE = 4
ANSWERS = {
    ReserveStock: (StockReserved, StockBackordered, StockRejected, StockIssued),
    ReleaseStock: (StockReleased, StockIssued),
    IssueStock: (StockIssued, StockReleased, StockRejected, StockBackordered, StockReserved),
    # Only where its id names another movement; else a repeated one says nothing.
    **dict.fromkeys((ReceiveStock, AdjustStock, TransferStock), (MovementRefused,)),
}

locations = st.sampled_from(["BERLIN", "BERLIN", "BERLIN", "LYON"])
skus = st.sampled_from(["LAMP", "LAMP", "VASE", "CLOCK"])
quantities = st.sampled_from([1, 2, 3, 4, 5, 10_000_000])
units = st.lists(st.builds(SkuQuantity, sku=skus, quantity=quantities), min_size=1, max_size=3).map(tuple)
goods = st.lists(st.builds(GoodsLine, sku=skus, quantity=quantities), min_size=1, max_size=3).map(tuple)
corrections = st.lists(
    st.builds(Adjustment, sku=skus, change=st.integers(-3, 3) | st.just(10_000_000)), min_size=1, max_size=3
).map(tuple)
numbers = st.integers(1, 12).map(str)
steps = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from([f"web:{number}" for number in range(6)]),
        "revision": st.just(1),
        "attempt": st.just(1),
        "location": locations,
    }
)


class StockBook(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = patch("inventory.state.MOST_SERVED", 2)
        self.patch.start()
        self.stage = Rehearsal(needs, decider(Policy(backorder_queue_max_orders=QUEUE)))
        self.history: list[Message] = []
        self.in_transit: list[ReceiveTransfer] = []
        self.arrived: set[str] = set()
        self.brought_in: Counter[str] = Counter()
        self.shown: dict[tuple[str, str], StockLevel] = {}

    def teardown(self) -> None:
        self.patch.stop()

    def take(self, message: Message) -> tuple[Message, ...]:
        self.history.append(message)
        said = self.stage.take(message)
        self.listen(said)
        return said

    def listen(self, said: tuple[Message, ...]) -> None:
        for message in said:
            if isinstance(message, StockLevel):
                self.shown[message.location, message.sku] = message
            elif isinstance(message, ReceiveTransfer):
                self.in_transit.append(message)
            elif isinstance(message, StockReceived):
                self.book_arrival(message)
            elif isinstance(message, StockAdjusted):
                self.brought_in.update({line.sku: 0 for line in message.lines})
                for line in message.lines:
                    self.brought_in[line.sku] += line.change

    def book_arrival(self, message: StockReceived) -> None:
        if message.movement_id.startswith("transfer-"):
            self.arrived.add(message.movement_id)
        else:
            for line in message.lines:
                self.brought_in[line.sku] += line.quantity

    def stocks(self) -> list[Stock]:
        return [document for document in self.stage.documents.values() if isinstance(document, Stock)]

    def backorders(self, stock: Stock) -> list[Backorder]:
        """From the head of the item's queue to its end."""
        numbers = range(stock.queue_head, stock.queue_end)
        found = (self.stage.get(Backorder, Backorder.place(stock.location, stock.sku, number)) for number in numbers)
        return [backorder for backorder in found if backorder is not None]

    def reservations(self) -> list[Reservation]:
        return [document for document in self.stage.documents.values() if isinstance(document, Reservation)]

    def free(self, location: str, sku: str) -> int:
        stock = self.stage.get(Stock, Stock.place(location, sku))
        return stock.free if stock else 0

    @rule(step=steps, lines=units, when_short=st.sampled_from(["refuse", "split", "backorder", "backorder"]))
    def reserve(self, step: dict[str, object], lines: tuple[SkuQuantity, ...], when_short: str) -> None:
        command = ReserveStock.model_validate({**step, "lines": lines, "when_short": when_short})
        known = self.stage.get(Reservation, Reservation.place(command))
        wanted = Counter[str]()
        for line in lines:
            wanted[line.sku] += line.quantity
        could_be_filled = all(self.free(command.location, sku) >= quantity for sku, quantity in wanted.items())

        answer = self.take(command)[0]

        if known is None and when_short == "refuse":
            assert isinstance(answer, StockReserved if could_be_filled else StockRejected)
        if known is None and isinstance(answer, StockReserved | StockBackordered):
            told = Counter[str]()
            for line in (*answer.lines, *answer.missing):
                told[line.sku] += line.quantity
            assert told == wanted
            assert not answer.missing or when_short != "refuse"

    @rule(step=steps, not_found=st.just(()) | units)
    def release(self, step: dict[str, object], not_found: tuple[SkuQuantity, ...]) -> None:
        command = ReleaseStock.model_validate({**step, "not_found": not_found})
        known = self.stage.get(Reservation, Reservation.place(command))
        answer = self.take(command)[0]
        if known is not None and known.holds and isinstance(answer, StockReleased):
            there, lost = Counter[str](), Counter[str]()
            for line in answer.lines:
                there[line.sku] += line.quantity
            for line in answer.written_off:
                lost[line.sku] += line.quantity
            assert there + lost == Counter({line.sku: line.held for line in known.lines if line.held})
            self.brought_in.subtract(lost)

    @rule(step=steps)
    def issue(self, step: dict[str, object]) -> None:
        command = IssueStock.model_validate(step)
        found_something = self.stage.get(Reservation, Reservation.place(command)) is not None
        self.take(command)
        if not found_something:  # and so it is no repetition when it comes again and does
            self.history.pop()

    @rule(number=numbers, location=locations, lines=goods)
    def receive(self, number: str, location: str, lines: tuple[GoodsLine, ...]) -> None:
        self.take(ReceiveStock(movement_id=number, location=location, lines=lines))

    @rule(number=numbers, location=locations, lines=corrections)
    def adjust(self, number: str, location: str, lines: tuple[Adjustment, ...]) -> None:
        self.take(AdjustStock(movement_id=number, location=location, lines=lines, reason="count"))

    @rule(number=numbers, location=locations, to_location=locations, lines=goods)
    def transfer(self, number: str, location: str, to_location: str, lines: tuple[GoodsLine, ...]) -> None:
        said = self.take(TransferStock(movement_id=number, location=location, to_location=to_location, lines=lines))
        assert not said or isinstance(said[0], StockTransferred | MovementRefused)

    @precondition(lambda self: self.in_transit)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.take(data.draw(st.sampled_from(self.in_transit)))

    @rule(location=locations, sku=skus, threshold=st.integers(0, 3), substitutes=st.lists(skus, max_size=3).map(tuple))
    def configure(self, location: str, sku: str, threshold: int, substitutes: tuple[str, ...]) -> None:
        self.take(ConfigureItem(location=location, sku=sku, low_threshold=threshold, substitutes=substitutes))

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.history))
        before = dict(self.stage.documents)

        said = self.take(message)

        if isinstance(message, ConfigureItem):
            return
        assert self.stage.documents == before
        assert [type(one) for one in said if type(one) not in ANSWERS.get(type(message), ())] == []

    @rule()
    def wait(self) -> None:
        self.listen(self.stage.advance(timedelta(seconds=1)))
        assert all(stock.alarm is None for stock in self.stocks())

    @rule(location=locations, sku=skus)
    def ring_for_nothing(self, location: str, sku: str) -> None:
        key = Stock.key_of(Stock.place(location, sku))
        if key in self.stage.documents:
            self.listen(self.stage.take(AlarmRang(key)))

    @invariant()
    def everything_is_somewhere_and_nothing_is_below_zero(self) -> None:
        for stock in self.stocks():
            assert min(stock.available, stock.reserved, stock.shipped) >= 0
            assert stock.received == stock.available + stock.reserved + stock.shipped

    @invariant()
    def what_came_in_is_in_a_book_or_on_its_way(self) -> None:
        held = Counter[str]()
        for stock in self.stocks():
            held[stock.sku] += stock.received
        for arrival in self.in_transit:
            if arrival.movement_id not in self.arrived:
                for line in arrival.lines:
                    held[line.sku] += line.quantity
        assert {sku: count for sku, count in held.items() if count} == {
            sku: count for sku, count in self.brought_in.items() if count
        }

    @invariant()
    def what_is_set_aside_is_set_aside_for_somebody(self) -> None:
        reserved, shipped = Counter[str](), Counter[str]()
        for reservation in self.reservations():
            for line in reservation.lines:
                place = Stock.place(reservation.location, line.sku)
                assert 0 <= line.held <= line.requested
                reserved[place] += line.held if reservation.holds else 0
                shipped[place] += line.held if reservation.state == "issued" else 0
        for stock in self.stocks():
            assert (stock.reserved, stock.shipped) == (reserved[stock.id], shipped[stock.id])

    @invariant()
    def who_waits_stands_in_the_queue_in_order_of_arrival(self) -> None:
        queues: dict[str, deque[tuple[str, int]]] = {}
        for reservation in sorted(self.reservations(), key=lambda reservation: reservation.number):
            for line in reservation.lines:
                if reservation.state == "waiting" and line.missing:
                    place = Stock.place(reservation.location, line.sku)
                    queues.setdefault(place, deque()).append((reservation.id, line.missing))
        for stock in self.stocks():
            queue = [(one.reservation, one.missing) for one in self.backorders(stock) if one.missing]
            assert queue == list(queues.get(stock.id, ()))
            assert (stock.waiting_orders, stock.waiting_units) == (len(queue), sum(missing for _, missing in queue))
            assert len(queue) <= QUEUE
            assert not queue or stock.available == 0 or stock.alarm is not None

    @invariant()
    def the_ledger_and_the_levels_that_were_said_agree_with_the_book(self) -> None:
        sums: dict[str, list[int]] = {}
        for entry in self.stage.documents.values():
            if isinstance(entry, LedgerEntry):
                for change in entry.changes:
                    total = sums.setdefault(Stock.place(entry.location, change.sku), [0, 0, 0])
                    for place, count in enumerate((change.available, change.reserved, change.shipped)):
                        total[place] += count
        for stock in self.stocks():
            shown = self.shown[stock.location, stock.sku]
            assert sums.get(stock.id, [0, 0, 0]) == [stock.available, stock.reserved, stock.shipped]
            assert [shown.available, shown.reserved, shown.shipped] == [stock.available, stock.reserved, stock.shipped]
            assert shown.received == stock.received
            book = self.stage.get(Book, stock.location)
            assert book is not None
            assert 0 < stock.version <= book.number

    @invariant()
    def every_document_survives_being_stored(self) -> None:
        for document in self.stage.documents.values():
            assert type(document).model_validate_json(document.model_dump_json()) == document


TestStockBook = StockBook.TestCase
TestStockBook.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
