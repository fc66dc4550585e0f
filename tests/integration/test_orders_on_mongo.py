"""Lists of orders on a real MongoDB: it reads no more orders than it shows, and sorts none."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from unittest.mock import AsyncMock
from uuid import uuid4

import httpx
import order.main
import pytest
from chassis.entry import Change
from chassis.http.shell import create_app
from chassis.mongo.client import Client, connect
from chassis.mongo.reader import MongoReader
from chassis.mongo.store import MongoStore
from chassis.service import Service
from chassis.telemetry import Meters
from contracts.order import OrderPlaced
from fastapi import APIRouter
from oms.bench.orders import spread
from oms.fleet import Addresses
from order.state import Happening, Order, Status

pytestmark = pytest.mark.integration

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
USUAL = 150
"""So many orders are alike, and newer than the one that is found by each filter."""


class Shop(NamedTuple):
    """What the order service keeps its orders in, and shows them by."""

    client: Client
    database: str
    http: httpx.AsyncClient

    async def asked(self, params: dict[str, str]) -> tuple[list[str], dict[str, Any]]:
        """The orders that a list shows, and what MongoDB did for it."""
        answer = await self.http.get("/orders", params=params)
        assert answer.status_code == 200, answer.text
        profile = self.client[self.database]["system.profile"]
        done = await profile.find_one({"op": "query", "ns": f"{self.database}.{Order.kind}"}, sort=[("$natural", -1)])
        assert done is not None
        return [shown["order_id"] for shown in answer.json()["orders"]], dict(done)


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> tuple[Service, Callable[..., APIRouter]]:
    """The service and its routes, as its `main` hands them to the chassis."""
    handed: list[tuple[Service, Callable[..., APIRouter]]] = []
    monkeypatch.setattr(order.main, "run", lambda service, _, routes: handed.append((service, routes)))
    order.main.main()
    return handed[0]


@pytest.fixture
async def shop(stack: Addresses, wired: tuple[Service, Callable[..., APIRouter]]) -> AsyncIterator[Shop]:
    async def measure() -> None: ...

    service, routes = wired
    client, database = connect(stack.mongo), f"orders_{uuid4().hex[:8]}"
    store, reader = MongoStore(client, database, service), MongoReader(client, database, service)
    await store.prepare(1)
    owner = await store.recover(0, "w")
    await store.checkpoint(replace(owner.checkpoint, number=1), [*map(change, orders())])
    app = create_app("order", "", [routes(reader, AsyncMock())], lambda: (True, {}), measure, Meters())
    await client[database].command("profile", 2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://order") as http:
        yield Shop(client, database, http)
    await client[database].command("profile", 0)
    await client.drop_database(database)
    client.close()


def orders() -> list[Order]:
    """The newest last."""
    rare, *usual = islice(spread(1).orders("web"), USUAL + 1)
    rare = rare.model_copy(update={"channel": "pos", "customer": rare.customer.model_copy(update={"id": "rare"})})
    placings: list[tuple[OrderPlaced, Status]] = [(rare, "completed"), *((placed, "reserving") for placed in usual)]
    return [
        Order(
            id=placed.order_id,
            received_ms=int((NOON + timedelta(seconds=number)).timestamp() * 1000),
            changed_ms=int((NOON + timedelta(seconds=number)).timestamp() * 1000),
            revision=1,
            placed=placed,
            status=status,
            timeline=(Happening(at=NOON, heard="OrderPlaced", source=placed.channel),),
            definition=1,
        )
        for number, (placed, status) in enumerate(placings)
    ]


def change(document: Order) -> Change:
    return Change(document.key, document.model_dump_json().encode(), None, None, None, 1)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, 50),
        ({"status": "completed"}, 1),
        ({"channel": "pos"}, 1),
        ({"customer": "rare"}, 1),
        ({"since": (NOON + timedelta(seconds=USUAL - 1)).isoformat()}, 2),
        ({"changed_since": (NOON + timedelta(seconds=USUAL - 1)).isoformat()}, 2),
    ],
    ids=["all", "status", "channel", "customer", "since", "changed since"],
)
async def test_each_filter_of_a_list_is_served_by_an_index(shop: Shop, params: dict[str, str], found: int) -> None:
    shown, done = await shop.asked(params)
    assert len(shown) == found
    assert done["planSummary"].startswith("IXSCAN")
    assert done["docsExamined"] == done["nreturned"]
    assert not done.get("hasSortStage")
