"""A shop that knows only HTTP: it places orders, follows them, cancels them, and reads what became of them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import metadata
from typing import Any

import pytest
from contracts.order import OrderCompleted, OrderRejected, OrderValidated
from contracts.topics import SERVICES
from fulfillment.decide import NOBODY_PICKS
from payment.gateway import DECLINED

from tests.integration.shop import CHANNEL, Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def test_an_order_is_placed_and_its_story_read_at_its_location(shop: Shop) -> None:
    fields = shop.fields({await shop.stocked(LON=1): 1})

    accepted = await shop.http.post(shop.url("order/orders"), json=fields)

    order_id = f"{CHANNEL}:{fields['number']}"
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"/orders/{order_id}"
    shown: Any = await shop.reads(f"order/orders/{order_id}?wait_s=5", lambda shown: shown.get("status") == "completed")
    assert shown["captured"] == fields["total"]
    heard = [happening["heard"] for happening in shown["timeline"]]
    assert heard[0] == "OrderPlaced"
    assert {"StockReserved", "PaymentAuthorized", "OrderPacked", "ShipmentCreated", "PaymentCaptured"} <= set(heard)
    assert sum(("OrderCompleted" in happening["said"]) for happening in shown["timeline"]) == 1
    assert all(happening["at"] and happening["source"] for happening in shown["timeline"])
    assert shown["parcels"][0]["tracking_number"]


async def test_the_same_order_again_is_the_same_order_and_another_under_its_number_is_refused(
    shop: Shop, witness: Witness
) -> None:
    fields = shop.fields({await shop.stocked(LON=5): 1})
    order_id = f"{CHANNEL}:{fields['number']}"
    first = await shop.http.post(shop.url("order/orders"), json=fields)
    await witness.hears(order_id, OrderCompleted)
    await shop.reads(f"order/orders/{order_id}", lambda shown: shown.get("status") == "completed")

    again = await shop.http.post(shop.url("order/orders"), json=fields)
    other = await shop.http.post(shop.url("order/orders"), json=fields | {"special_instructions": "Ring twice"})

    assert (again.status_code, again.json()) == (202, first.json())
    assert other.status_code == 409
    assert [error["code"] for error in other.json()["errors"]] == ["other_content"]
    await witness.caught_up()
    assert len(list(witness.said(order_id, OrderValidated))) == 1


async def test_many_that_place_the_same_order_at_once_place_one(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=10)
    fields = shop.fields({mug: 1})

    answers = await asyncio.gather(*(shop.http.post(shop.url("order/orders"), json=fields) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {202}
    await witness.hears(f"{CHANNEL}:{fields['number']}", OrderCompleted)
    await witness.stands("LON", mug, available=9, shipped=1)


async def test_an_order_is_cancelled_and_what_is_too_late_is_refused(shop: Shop) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1}, special_instructions=NOBODY_PICKS)
    await shop.reads(f"order/orders/{order}", lambda shown: shown.get("status") == "fulfilling")
    wish = {"reason": "wrong size", "requested_by": "Ann"}

    accepted = await shop.http.post(shop.url(f"order/orders/{order}/cancel"), json=wish)
    shown = await shop.reads(f"order/orders/{order}", lambda shown: shown["status"] == "cancelled")
    again = await shop.http.post(shop.url(f"order/orders/{order}/cancel"), json=wish)
    others = await shop.http.post(shop.url(f"order/orders/{order}/cancel"), json=wish | {"requested_by": "Ben"})

    assert (accepted.status_code, again.status_code) == (202, 202)
    assert (shown["ended_by"], shown["reasons"][0]["message"]) == ("Ann", "wrong size")
    assert (others.status_code, others.json()["errors"][0]["code"]) == (409, "already_cancelled")


async def test_orders_are_listed_by_customer_and_status_page_by_page(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    customer = {"id": mug, "name": "Ann Archer"}
    completed = [await shop.place({mug: 1}, customer=customer) for _ in range(3)]
    declined = await shop.place({mug: 1}, customer=customer, payment_token=DECLINED + "lost_card")
    for order in completed:
        await witness.hears(order, OrderCompleted)
    await witness.hears(declined, OrderRejected)
    listed = f"order/orders?customer={mug}&status=completed&limit=2"

    page = await shop.reads(f"order/orders?customer={mug}&status=completed", lambda page: len(page["orders"]) == 3)
    first: Any = await shop.reads(listed, lambda _: True)
    second: Any = await shop.reads(f"{listed}&cursor={first['next']}", lambda _: True)

    assert [one["order_id"] for one in first["orders"] + second["orders"]] == [
        one["order_id"] for one in page["orders"]
    ]
    assert {one["order_id"] for one in page["orders"]} == set(completed)
    assert (len(first["orders"]), second["next"]) == (2, None)


async def test_the_life_of_an_order_is_followed_as_it_happens(shop: Shop) -> None:
    fields = shop.fields({await shop.stocked(LON=1): 1}, special_instructions=NOBODY_PICKS)
    order_id = f"{CHANNEL}:{fields['number']}"
    await shop.http.post(shop.url("order/orders"), json=fields)
    statuses = []

    async with asyncio.timeout(20), aclosing(statuses_of(shop, order_id)) as changes:
        async for status in changes:
            statuses.append(status)
            if status == "fulfilling":
                await shop.cancel(order_id)
            if status == "cancelled":
                break

    assert statuses.index("fulfilling") < statuses.index("cancelled")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_says_how_it_is_and_what_it_offers(shop: Shop, service: str) -> None:
    alive, ready, metrics, offered = [
        await shop.http.get(shop.url(f"{service}/{path}")) for path in ("healthz", "readyz", "metrics", "openapi.json")
    ]

    assert alive.json() == {"status": "alive"}
    assert ready.json()["ready"] is True
    assert {one["state"] for one in ready.json()["partitions"].values()} == {"running"}
    assert metrics.headers["content-type"].startswith("text/plain")
    assert offered.json()["info"]["title"] == f"Throughline {service}"
    assert offered.json()["info"]["description"] == metadata(f"throughline-{service}")["Summary"]


async def statuses_of(shop: Shop, order_id: str) -> AsyncGenerator[str]:
    """An order's status and each change of it, without end."""
    async with shop.http.stream("GET", shop.url(f"order/orders/{order_id}/events")) as events:
        async for line in events.aiter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))["status"]
