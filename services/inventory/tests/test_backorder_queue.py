"""The queue of an item: served in turn however long it is and whoever leaves it, by inputs that stay small."""

from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import pytest
from chassis.decision import Documents, Input
from chassis.testing.stage import Rehearsal
from contracts.inventory import (
    ConfigureItem,
    GoodsLine,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    Shortage,
    StockBackordered,
    StockRejected,
    StockReserved,
)
from contracts.message import Message, SkuQuantity
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory.decide import Policy, decider, needs
from inventory.state import Backorder, Reservation, Stock

LOOKS = 25
"""So many backorders one input serves or passes over at the most."""
STEP = {"revision": 1, "attempt": 1, "location": "BERLIN"}
MANY = tuple(f"LAMP-{number}" for number in range(30))


class Desk(Rehearsal):
    """Where lamps are known and nobody is turned away; it counts what of the queues each input looked at, and wrote."""

    def __init__(self) -> None:
        super().__init__(self._asked, decider(Policy(backorder_queue_max_orders=10_000)))
        self.looks: list[int] = []
        self.written = 0
        self._backorders: set[str] = set()
        self._deliveries = 0
        super().take(*(ConfigureItem(location="BERLIN", sku=sku) for sku in ("LAMP", *MANY)))

    def _asked(self, message: Input, documents: Documents) -> Iterator[str]:
        for key in needs(message, documents):
            if key.startswith(Backorder.kind):
                self._backorders.add(key)
            yield key

    def take(self, *inputs: Input) -> tuple[Message, ...]:
        said: list[Message] = []
        for message in inputs:
            self._backorders.clear()
            before = dict(self.documents)
            said += super().take(message)
            changed = [document for key, document in self.documents.items() if before.get(key) is not document]
            self.written = sum(len(document.model_dump_json()) for document in changed)
            self.looks.append(len(self._backorders))
        return tuple(said)

    def wait(self, order: int, units: int = 1, skus: tuple[str, ...] = ("LAMP",)) -> tuple[Message, ...]:
        lines = tuple(SkuQuantity(sku=sku, quantity=units) for sku in skus)
        return self.take(ReserveStock.model_validate(named(order) | {"lines": lines, "when_short": "backorder"}))

    def release(self, order: int) -> list[str]:
        return served(self.take(ReleaseStock.model_validate(named(order))))

    def receive(self, units: int, skus: tuple[str, ...] = ("LAMP",)) -> list[str]:
        self._deliveries += 1
        lines = tuple(GoodsLine(sku=sku, quantity=units) for sku in skus)
        return served(self.take(ReceiveStock(movement_id=f"{self._deliveries}", location="BERLIN", lines=lines)))

    def rest(self) -> list[str]:
        return served(self.advance(timedelta(seconds=1)))

    def has(self) -> dict[int, int]:
        """The units that are set aside, by order."""
        reservations = (document for document in self.documents.values() if isinstance(document, Reservation))
        held = (one for one in reservations if one.holds and one.lines[0].held)
        return {int(one.order_id.removeprefix("web:")): one.lines[0].held for one in held}

    @property
    def lamp(self) -> Stock:
        return self.get(Stock, "BERLIN/LAMP") or Stock.at("BERLIN", "LAMP")


def named(order: int) -> dict[str, object]:
    return {**STEP, "order_id": f"web:{order}"}


def served(said: tuple[Message, ...]) -> list[str]:
    return [message.order_id for message in said if isinstance(message, StockReserved)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def written(what: str, orders: int) -> int:
    """Bytes of the documents that the input changes when so many orders wait for each of many items."""
    desk = Desk()
    for order in range(1000, 1000 + orders):
        desk.wait(order, units=5, skus=MANY)
    match what:
        case "a delivery":
            desk.receive(3, skus=MANY)
        case "one more order":
            desk.wait(9000, skus=MANY)
        case "a release":
            desk.release(1000 + orders // 2)
    return desk.written


@pytest.mark.parametrize("what", ["a delivery", "one more order", "a release"])
def test_what_an_input_writes_does_not_grow_with_the_queue(what: str) -> None:
    assert written(what, orders=80) - written(what, orders=40) < 10 * len(MANY), "only numbers become longer"


def test_nobody_waits_for_an_item_that_the_location_never_heard_of(desk: Desk) -> None:
    desk.receive(5)

    (rejected,) = desk.wait(1, skus=("LAMP", "LAPM"))

    assert rejected == StockRejected.model_validate(
        named(1) | {"shortages": (Shortage(sku="LAPM", requested=1, available=0),)}
    )
    assert desk.lamp.available == 5
    assert "stock/BERLIN/LAPM" not in desk.documents


@pytest.mark.parametrize("heard", ["announced", "received"])
def test_an_item_can_be_waited_for_once_the_location_has_heard_of_it(desk: Desk, heard: str) -> None:
    if heard == "announced":
        desk.take(ConfigureItem(location="BERLIN", sku="NOVELTY"))
    else:
        desk.receive(1, skus=("NOVELTY",))
        desk.wait(1, skus=("NOVELTY",))

    waits, *_ = desk.wait(2, skus=("NOVELTY",))

    assert isinstance(waits, StockBackordered)


def test_who_has_left_the_queue_is_passed_over(desk: Desk) -> None:
    for order in (1, 2, 3, 4):
        desk.wait(order, units=2)
    desk.release(2)
    desk.release(3)

    assert (desk.lamp.waiting_orders, desk.lamp.waiting_units) == (2, 4)
    assert desk.receive(3) == ["web:1"]
    assert desk.receive(1) == ["web:4"]
    assert (desk.lamp.waiting_orders, desk.lamp.waiting_units) == (0, 0)


def test_what_an_order_held_goes_to_those_behind_it_and_not_back_to_itself(desk: Desk) -> None:
    desk.wait(1, units=10)
    desk.wait(2, units=2)
    desk.receive(3)

    assert desk.release(1) == ["web:2"]
    assert desk.lamp.available == 1


def test_many_that_have_left_are_passed_over_in_steps(desk: Desk) -> None:
    for order in range(100):
        desk.wait(order)
    for order in range(1, 99):
        desk.release(order)
    desk.looks.clear()

    assert desk.receive(2) == ["web:0"]
    assert desk.rest() == ["web:99"]
    assert desk.looks == [LOOKS, LOOKS, LOOKS, LOOKS]


def test_one_input_looks_at_few_of_many_queues(desk: Desk) -> None:
    for order in range(40):
        desk.wait(order, skus=MANY)
    for order in range(1, 40, 2):
        desk.release(order)
    desk.looks.clear()

    desk.receive(40, skus=MANY)
    desk.rest()

    assert desk.looks[0] == LOOKS * (LOOKS + 1) // 2, "in each queue at one fewer, for it takes one at the least"
    assert max(desk.looks[1:]) == LOOKS
    levels = [stock for sku in MANY if (stock := desk.get(Stock, f"BERLIN/{sku}"))]
    assert [(stock.available, stock.reserved, stock.waiting_orders) for stock in levels] == [(20, 20, 0)] * len(MANY)


def test_a_queue_that_orders_only_join_and_leave_stays_short(desk: Desk) -> None:
    for order in range(10):
        desk.wait(order)
    for order in range(200):
        desk.wait(order + 10)
        desk.release(order ^ 1)

    assert desk.lamp.waiting_orders == 10
    assert desk.lamp.queue_end - desk.lamp.queue_head == 10


def test_who_joins_a_queue_that_all_have_left_is_served_at_once(desk: Desk) -> None:
    for order in range(100):
        desk.wait(order)
        desk.release(order)
    desk.wait(100)

    assert desk.receive(1) == ["web:100"]


class Line:
    """The same queue as it is on paper: what each order has, and what those who wait miss."""

    def __init__(self) -> None:
        self.free = 0
        self.has: dict[int, int] = {}
        self.misses: dict[int, int] = {}

    def wait(self, order: int, units: int) -> None:
        self.has[order], self.misses[order] = 0, units

    def release(self, order: int) -> None:
        self.free += self.has[order]
        self.has[order] = 0
        self.misses.pop(order, None)

    def serve(self) -> None:
        for order, missing in list(self.misses.items()):
            share = min(self.free, missing)
            self.free -= share
            self.has[order] += share
            self.misses[order] -= share
            if share < missing:
                return
            del self.misses[order]


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["wait", "wait", "release", "receive", "rest"]), st.integers(1, 5)),
    max_size=80,
)


@given(HAPPENINGS)
@settings(max_examples=200, deadline=None)
def test_everybody_gets_what_a_plain_queue_would_give(happenings: list[tuple[str, int]]) -> None:
    desk, line = Desk(), Line()
    with patch("inventory.state.MOST_SERVED", 3):
        for what, number in [*happenings, ("rest", 0)]:
            match what:
                case "wait":
                    order = len(line.has)
                    desk.wait(order, units=number)
                    line.wait(order, units=number)
                case "release" if line.has:
                    order = max(0, len(line.has) - number)
                    desk.release(order)
                    line.release(order)
                case "receive":
                    desk.receive(number)
                    line.free += number
                case "rest":
                    desk.rest()
                    assert desk.has() == {order: has for order, has in line.has.items() if has}
            line.serve()
            assert desk.lamp.available + desk.lamp.reserved == line.free + sum(line.has.values())
    assert all(looks <= 3 + 1 for looks in desk.looks), "of these one that leaves the queue"
