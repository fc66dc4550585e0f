"""A store that says other than the log is found."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from chassis.kinds import UnreadableDocument
from chassis.mongo.archive import Remembered
from chassis.stuck.parking import Parked
from chassis.testing.stage import NOON
from contracts.order import CompensateOrder, OrderPlaced
from contracts.record import Record
from oms.audit.auditor import Judged, Verdict
from oms.audit.finding import Finding
from oms.audit.stored import compare_order, compare_stock, key_of_stock, keys_of_order, parked
from oms.history.replay import Replayer

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Judge = Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]
Stores = dict[str, dict[str, Remembered]]
Compare = Callable[[Stores], list[Finding]]


@pytest.fixture
async def shop(stage: Callable[[int], Stage], placed: Callable[..., OrderPlaced]) -> Stage:
    """One order that was completed."""
    made = stage(5)
    made.stock("LON", 9, "MUG")
    made.send(placed("1", units=2))
    await made.settle()
    return made


@pytest.fixture
def compare(shop: Stage, judge: Judge, replayer: Replayer) -> Compare:
    """What is found when these are the stores."""
    verdict, judged = judge(shop.log)
    levels = [level for book in verdict.books for level in book.levels.values()]

    def compared(stores: Stores) -> list[Finding]:
        of_orders = [found for one in judged for found in compare_order(one, stores, replayer)]
        stock = [f for level in levels for f in compare_stock(level, stores["inventory"].get(key_of_stock(level)))]
        return [*of_orders, *stock]

    return compared


def changed(stores: Stores, service: str, kind: str, **changes: object) -> Stores:
    """The stores with other values in the only document of this kind."""
    [key] = [key for key in stores[service] if key.startswith(f"{kind}/")]
    return {**stores, service: {**stores[service], key: stores[service][key].but(**changes)}}


def without(stores: Stores, service: str) -> Stores:
    return {**stores, service: {}}


async def test_finds_nothing_in_what_the_services_remember(shop: Stage, compare: Compare) -> None:
    assert compare(shop.documents) == []


async def test_asks_each_service_for_what_it_should_have(shop: Stage, judge: Judge) -> None:
    [judged] = judge(shop.log)[1]

    assert set(keys_of_order(judged)) == {
        ("order", "orders/web:1"),
        ("payment", "payments/web:1/1"),
        ("fulfillment", "fulfillments/web:1/1/1"),
        ("shipping", "shipments/web:1/1/1"),
    }


@pytest.mark.parametrize(
    ("service", "kind", "changes", "what"),
    [
        ("order", "orders", {"status": "shipping"}, "status is 'shipping', but the log says 'completed'"),
        ("order", "orders", {"definition": 2}, "definition is 2, but the log says 1"),
        ("order", "orders", {"captured": 1}, "captured is 1, but the log says 1000"),
        ("payment", "payments", {"captured": 0}, "0 captured, 0 refunded; the log says 1000 and 0"),
        ("fulfillment", "fulfillments", {"state": "failed"}, "it is failed, but the last that it said is OrderPacked"),
        ("shipping", "shipments", {"state": "booked"}, "it is booked, but the last that it said is ShipmentDelivered"),
        ("inventory", "stock", {"available": 8}, "(8, 0, 2, 9) are available, reserved, shipped, received, but"),
    ],
)
async def test_finds_a_document_that_says_something_else(
    shop: Stage, compare: Compare, service: str, kind: str, changes: dict[str, object], what: str
) -> None:
    [found] = compare(changed(shop.documents, service, kind, **changes))

    assert found.place.startswith(f"{service}/{kind}/")
    assert found.what.startswith(what)


@pytest.mark.parametrize("service", ["order", "payment", "fulfillment", "shipping", "inventory"])
async def test_finds_a_document_that_is_not_there(shop: Stage, compare: Compare, service: str) -> None:
    [found] = compare(without(shop.documents, service))

    assert found.check == "store"
    assert "there is no document" in found.what


@pytest.mark.parametrize("service", ["order", "payment", "fulfillment", "shipping", "inventory"])
async def test_names_a_document_that_cannot_be_read_and_why(shop: Stage, compare: Compare, service: str) -> None:
    why = UnreadableDocument("some/key: total: Field required")
    unreadable = dict.fromkeys(shop.documents[service], why)

    [found] = compare({**shop.documents, service: unreadable})

    assert found.place.startswith(f"{service}/")
    assert "this version cannot read some/key: total: Field required, but" in found.what


async def test_does_not_care_when_a_silent_input_was_taken(shop: Stage, compare: Compare) -> None:
    assert compare(changed(shop.documents, "order", "orders", timeline=(), alarm=None, changed_ms=1)) == []


async def test_does_not_care_when_a_request_of_a_person_was_dealt_with(
    shop: Stage, judge: Judge, replayer: Replayer
) -> None:
    shop.send(CompensateOrder(order_id="web:1", repair_id="r-1", reason="too late", requested_by="Ben"))
    await shop.settle()
    [judged] = judge(shop.log)[1]
    (request,) = shop.documents["order"]["orders/web:1"].repairs
    earlier = (request.model_copy(update={"at": NOON}),)

    assert [*compare_order(judged, changed(shop.documents, "order", "orders", repairs=earlier), replayer)] == []


@pytest.mark.parametrize("would_have_had", [{"definition": 2}, {"route": ("ROT",)}])
async def test_does_not_care_which_saga_or_route_an_order_would_have_had_that_makes_no_sense(
    stage: Callable[[int], Stage],
    judge: Judge,
    replayer: Replayer,
    placed: Callable[..., OrderPlaced],
    would_have_had: dict[str, object],
) -> None:
    shop = stage(5)
    shop.send(placed("1", total=7))
    await shop.settle()
    [judged] = judge(shop.log)[1]

    assert [*compare_order(judged, changed(shop.documents, "order", "orders", **would_have_had), replayer)] == []


async def test_does_not_care_which_route_a_revision_would_have_had_that_makes_no_sense(
    stage: Callable[[int], Stage], judge: Judge, replayer: Replayer, placed: Callable[..., OrderPlaced]
) -> None:
    shop = stage(5)
    shop.send(placed("1", payment_token="tok_declined_stolen_card"))  # noqa: S106 - a token of the simulated provider
    await shop.settle()
    shop.send(placed("1", revision=2, total=7))
    await shop.settle()
    [judged] = judge(shop.log)[1]

    assert [*compare_order(judged, changed(shop.documents, "order", "orders", route=("ROT",)), replayer)] == []


def test_names_what_is_parked() -> None:
    what = Parked(id="2/web:1", place="web:1", partition=2, since=NOON, why="KeyError", reason="KeyError: 'sku'")
    [found] = parked("payment", what.key, what)

    assert (found.place, found.about) == ("payment/parked/2/web:1", "web:1")
    assert "in partition 2 of the payment service" in found.what
    assert [*parked("payment", what.key, what.but(open=False))] == []


def test_names_what_may_be_parked_and_cannot_be_read() -> None:
    [found] = parked("payment", "parked/2/web:1", UnreadableDocument("parked/2/web:1: since: Field required"))

    assert found.place == "payment/parked/2/web:1"
    assert "cannot read parked/2/web:1: since: Field required" in found.what
