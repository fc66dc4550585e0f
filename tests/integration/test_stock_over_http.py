"""What people do with stock over HTTP, and what they and shops read of it from the real databases."""

from typing import Any
from uuid import uuid4

import pytest
from contracts.order import OrderCompleted

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def post(shop: Shop, what: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
    """What became of a movement."""
    answer = await shop.http.post(shop.url(f"inventory/movements/{what}"), json=fields)
    assert answer.status_code == 202, answer.text
    return (await shop.http.get(shop.url(f"inventory{answer.headers['Location']}?wait_s=20"))).json()


def lines(sku: str, quantity: int) -> list[dict[str, object]]:
    return [{"sku": sku, "quantity": quantity}]


async def waits_at(shop: Shop, order: str) -> str:
    """The location where an order waits for stock."""

    def waiting(page: Any) -> list[str]:  # noqa: ANN401 - JSON
        return [shown["location"] for shown in page["reservations"] if shown["state"] == "waiting"]

    page = await shop.reads(f"inventory/reservations?order_id={order}", lambda page: bool(waiting(page)))
    return waiting(page)[0]


async def test_what_arrives_is_available_wherever_somebody_asks(shop: Shop) -> None:
    sku, delivery = shop.item(), f"lorry/{uuid4()}"
    for location in ("LON", "ROT"):
        await post(shop, "receive", movement_id=delivery, location=location, lines=lines(sku, 5), reference="PO 17")

    again = await post(shop, "receive", movement_id=delivery, location="LON", lines=lines(sku, 5), reference="PO 17")
    shown: Any = await shop.reads(f"inventory/availability?sku={sku}", lambda page: len(page["levels"]) == 2)

    assert (again["state"], again["note"]) == ("done", "PO 17")
    assert shown["levels"] == [
        {"location": location, "sku": sku, "available": 5, "reserved": 0} for location in ("LON", "ROT")
    ]


async def test_an_order_waits_until_a_transfer_brings_what_it_lacks(shop: Shop, witness: Witness) -> None:
    sku = await shop.announced("ROT")
    order = await shop.place({sku: 3}, allow_backorder=True)
    place = await waits_at(shop, order)
    backorders = (await shop.http.get(shop.url(f"inventory/backorders?location={place}&limit=200"))).json()
    assert order in [waiting["order_id"] for waiting in backorders["reservations"]]

    await post(shop, "receive", location="DEPOT", lines=lines(sku, 4))
    short = await post(shop, "transfer", location="DEPOT", to_location=place, lines=lines(sku, 5))
    sent = await post(shop, "transfer", location="DEPOT", to_location=place, lines=lines(sku, 4))
    await witness.hears(order, OrderCompleted)

    assert (short["state"], [reason["path"] for reason in short["reasons"]]) == ("refused", ["lines[0].sku"])
    assert sent["state"] == "done"
    ledger: Any = await shop.reads(f"inventory/ledger?location={place}&sku={sku}", lambda page: len(page["lines"]) == 3)
    assert [(line["what"], line["available"], line["reserved"], line["shipped"]) for line in ledger["lines"]] == [
        ("issue", 0, -3, 3),
        ("receive", 4, 0, 0),
        ("receive", -3, 3, 0),
    ]
    for line in ledger["lines"]:
        assert (await shop.http.get(shop.url(f"inventory{line['cause_url']}"))).status_code == 200


async def test_a_correction_cannot_take_what_is_set_aside(shop: Shop) -> None:
    sku = await shop.announced("ROT")
    place = await waits_at(shop, await shop.place({sku: 3}, allow_backorder=True))
    await post(shop, "receive", location=place, lines=lines(sku, 2))
    await shop.reads(f"inventory/stock/{place}/{sku}", lambda shown: shown["reserved"] == 2)

    refused = await post(shop, "adjust", location=place, lines=[{"sku": sku, "change": -1}], reason="broken")

    assert [(reason["path"], reason["code"]) for reason in refused["reasons"]] == [("lines[0].sku", "short")]


async def test_an_item_is_kept_as_it_is_told(shop: Shop) -> None:
    sku = shop.item()
    answer = await shop.http.put(shop.url(f"inventory/items/LON/{sku}"), json={"bin": "A-7", "low_threshold": 3})

    shown: Any = await shop.reads(f"inventory{answer.headers['Location']}", lambda item: "bin" in item)

    assert (shown["bin"], shown["low_threshold"], shown["low"]) == ("A-7", 3, True)
