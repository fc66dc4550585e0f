"""People pick and pack, and tell by HTTP how far they are; so an order can be caught at any moment of it."""

from collections.abc import Mapping
from typing import Any

import pytest
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    OrderPicked,
)
from contracts.inventory import ConfigureItem, ReleaseStock, StockReserved
from contracts.order import OrderCancelled, OrderCompleted
from contracts.payment import VoidPayment

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"PICKERS": "people"}


async def test_people_pick_from_the_bins_of_the_list_then_pack(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    await shop.send(ConfigureItem(location="LON", sku=mug, bin="A-07"))
    await shop.reads(f"inventory/stock/LON/{mug}", lambda shown: shown.get("bin") == "A-07")
    order = await shop.place({mug: 2}, special_instructions="Wrap it well")

    (pick_list,) = await lists_of(shop, order)
    assert pick_list["special_instructions"] == "Wrap it well"
    assert [(line["sku"], line["quantity"], line["bin"]) for line in pick_list["lines"]] == [(mug, 2, "A-07")]
    await tell(shop, pick_list, "picked")
    await witness.hears(order, OrderPicked)
    assert not list(witness.said(order, OrderPacked))
    await tell(shop, pick_list, "packed")

    await witness.hears(order, OrderCompleted)
    await witness.stands("LON", mug, available=3, shipped=2)


async def test_an_order_is_packed_when_all_of_its_locations_have_packed(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=1, MAN=1)
    order = await shop.place({mug: 2}, allow_split=True)
    in_london, in_manchester = sorted(await lists_of(shop, order), key=lambda one: str(one["location"]))

    await tell(shop, in_london, "packed")
    await shop.reads(
        f"fulfillment/fulfillments/{order}",
        lambda shown: sorted(one["state"] for one in shown["fulfillments"][0]["pick_lists"]) == ["packed", "picking"],
    )
    assert not list(witness.said(order, OrderPacked))
    await tell(shop, in_manchester, "packed")

    await witness.hears(order, OrderCompleted)


async def test_an_order_is_undone_when_a_picker_finds_too_few(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2})
    (pick_list,) = await lists_of(shop, order)

    await tell(shop, pick_list, "short", sku=mug, found=1)

    failed = await witness.hears(order, FulfillmentFailed)
    assert failed.reason.code == "short_pick"
    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.reason.code, cancelled.reason.path) == ("short_pick", "lines")
    await witness.stands("LON", mug, available=4)


async def test_an_order_is_cancelled_when_it_is_picked_and_not_packed(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2})
    (pick_list,) = await lists_of(shop, order)
    await tell(shop, pick_list, "picked")
    await witness.hears(order, OrderPicked)

    await shop.cancel(order)

    await witness.hears(order, FulfillmentCancelled)
    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order)[-4:] == [CancelFulfillment, VoidPayment, ReleaseStock, OrderCancelled]
    await witness.stands("LON", mug, available=5)
    await shop.reads(
        f"fulfillment/fulfillments/{order}", lambda shown: shown["fulfillments"][0]["state"] == "cancelled"
    )
    late = await shop.http.post(shop.url(url_of(pick_list, "packed")), json={"reported_by": "Pat"})
    assert late.status_code == 409
    assert late.json()["detail"] == "The list is cancelled. The report is noted. Put back what is off the shelf."
    to_put_back = "fulfillment/pick-lists?location=LON&state=to_put_back&limit=200"
    await shop.reads(to_put_back, lambda shown: bool(of(shown, order)))
    await tell(shop, pick_list, "put-back")
    await shop.reads(to_put_back, lambda shown: not of(shown, order))


async def test_an_order_is_cancelled_when_stock_is_reserved_and_nothing_picked(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2})
    await witness.hears(order, StockReserved)
    await witness.hears(order, FulfillOrder)

    await shop.cancel(order)

    await witness.hears(order, OrderCancelled)
    await witness.stands("LON", mug, available=5)
    await shop.reads("fulfillment/pick-lists?limit=200", lambda shown: not of(shown, order))


async def lists_of(shop: Shop, order_id: str) -> list[dict[str, Any]]:
    """The pick lists of an order, as soon as people can see them."""
    shown = await shop.reads("fulfillment/pick-lists?limit=200", lambda shown: bool(of(shown, order_id)))
    return of(shown, order_id)


def of(page: dict[str, Any], order_id: str) -> list[dict[str, Any]]:
    return [one for one in page["pick_lists"] if one["order_id"] == order_id]


def url_of(pick_list: dict[str, Any], what: str) -> str:
    name = "/".join(str(pick_list[part]) for part in ("order_id", "revision", "attempt", "location"))
    return f"fulfillment/pick-lists/{name}/{what}"


async def tell(shop: Shop, pick_list: dict[str, Any], what: str, **report: object) -> None:
    answer = await shop.http.post(shop.url(url_of(pick_list, what)), json={"reported_by": "Pat", **report})
    assert answer.status_code == 202, answer.text
