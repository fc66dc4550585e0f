"""The command line on running services: stock, orders, what became of them, why, and whether all of it is right."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from contracts.order import OrderCancelled, OrderCompleted
from oms.fleet import Addresses

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

PAUSE_S = 2
"""Longer than it takes to return once all is sent."""


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it printed
        return json.loads(self.out)


@dataclass(frozen=True)
class Oms:
    """The `oms` command."""

    engines: Addresses

    async def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Done:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("oms"),
            *map(str, arguments),
            env={**os.environ, "KAFKA_BROKERS": self.engines.kafka, "MONGO_URL": self.engines.mongo},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        return Done(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def oms(stack: Addresses) -> Oms:
    return Oms(stack)


def lines(*orders: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(order).encode() + b"\n" for order in orders)


async def test_loads_a_stock_file_once_however_often_it_is_loaded(shop: Shop, oms: Oms, tmp_path: Path) -> None:
    sku, file = shop.item(), tmp_path / "stock.csv"
    file.write_text(f"location,sku,quantity,bin\nLON,{sku},5,A-1\n")

    first = await oms("stock", "load", file, "--json")
    again = await oms("stock", "load", file, "--json")
    orders = lines(shop.fields({sku: 5}), shop.fields({sku: 1}))
    placed = await oms("place", "-", "--follow", "--json", stdin=orders)

    assert (first.status, again.status) == (0, 0)
    assert first.json == again.json
    assert first.json["locations"] == [{"location": "LON", "items": 1, "units": 5}]
    assert placed.json["states"] == {"completed": 1, "rejected": 1}


async def test_returns_from_loading_stock_when_it_is_on_the_shelves(
    shop: Shop, oms: Oms, witness: Witness, tmp_path: Path
) -> None:
    sku, file = shop.item(), tmp_path / "stock.csv"
    file.write_text(f"location,sku,quantity\nLON,{sku},5\n")

    async with shop.services.paused("inventory"):
        loading = asyncio.create_task(oms("stock", "load", file, "--json"))
        await witness.is_to_have("LON", sku)
        await asyncio.wait([loading], timeout=PAUSE_S)
        waited = not loading.done()
    loaded = await loading

    assert waited
    assert loaded.status == 0, loaded.err
    assert loaded.json["not_on_the_shelves"] == []


async def test_names_the_locations_that_have_not_taken_their_stock(shop: Shop, oms: Oms, tmp_path: Path) -> None:
    sku, file = shop.item(), tmp_path / "stock.csv"
    file.write_text(f"location,sku,quantity\nLON,{sku},5\nMAN,{sku},5\n")

    async with shop.services.paused("inventory"):
        loaded = await oms("stock", "load", file, "--patience", "1")

    assert loaded.status == 1
    assert "not on the shelves so far: LON, MAN" in loaded.err


async def test_adds_the_same_delivery_again_when_told_so(shop: Shop, oms: Oms, tmp_path: Path) -> None:
    sku, file = shop.item(), tmp_path / "stock.csv"
    file.write_text(f"location,sku,quantity\nLON,{sku},5\n")

    await oms("stock", "load", file)
    await oms("stock", "load", file, "--again")
    placed = await oms("place", "-", "--follow", "--json", stdin=lines(shop.fields({sku: 10})))

    assert placed.json["states"] == {"completed": 1}


async def test_names_every_line_of_a_stock_file_that_is_wrong(oms: Oms, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    file.write_text("location,sku,quantity\nLON,MUG,-5\nlon,MUG,5\n")

    done = await oms("stock", "load", file)

    assert done.status == 2
    assert "line 2: quantity" in done.err
    assert "line 3: location" in done.err


async def test_sends_what_can_be_sent_and_names_the_lines_that_cannot(shop: Shop, oms: Oms) -> None:
    sku = await shop.stocked(LON=5)

    done = await oms("place", "-", "--follow", "--json", stdin=b"{broken\n" + lines(shop.fields({sku: 1})))

    assert done.status == 1
    assert [line["line"] for line in done.json["not_sent"]] == [1]
    assert done.json["states"] == {"completed": 1}


async def test_follows_refused_repeated_and_unreadable_orders_to_their_end(shop: Shop, oms: Oms) -> None:
    sku = await shop.stocked(LON=5)
    order = shop.fields({sku: 1})
    await oms("place", "-", "--follow", stdin=lines(order))
    wrong = shop.fields({sku: 1}, total=1)
    repeated, other = order, {**shop.fields({sku: 1}), "channel": "UPPER CASE"}

    done = await oms("place", "-", "--follow", "--json", stdin=lines(repeated, wrong, other))

    assert done.status == 0
    assert done.json["states"] == {"completed": 1, "rejected": 1, "dead letter": 1}
    assert done.json["unfinished"] == []


async def test_gives_up_on_orders_that_come_to_no_end(shop: Shop, oms: Oms) -> None:
    waits = shop.fields({await shop.announced("ROT"): 1}, allow_backorder=True)

    done = await oms("place", "-", "--follow", "--patience", "5", "--json", stdin=lines(waits))

    assert done.status == 1
    assert done.json["states"] == {"backordered": 1}
    assert done.json["unfinished"] == [f"{waits['channel']}:{waits['number']}"]


async def test_cancels_what_a_file_lists(shop: Shop, oms: Oms, witness: Witness) -> None:
    order_id = await shop.place({await shop.announced("ROT"): 1}, allow_backorder=True)
    request = {"order_id": order_id, "reason": "no longer wanted", "requested_by": "customer"}

    done = await oms("cancel", "--file", "-", "--json", stdin=lines(request))

    assert done.json["sent"] == 1
    await witness.hears(order_id, OrderCancelled)


async def test_cancels_an_order_by_its_id_and_says_when_that_is_too_late(shop: Shop, oms: Oms) -> None:
    waits = await shop.place({await shop.announced("ROT"): 1}, allow_backorder=True)
    await shop.reads(f"order/orders/{waits}", lambda shown: shown.get("status") == "backordered")
    asking = ("--reason", "no longer wanted", "--url", f"order={shop.url('order')}", "--json")

    cancelled = await oms("cancel", waits, "--by", "Ann", *asking)
    again = await oms("cancel", waits, "--by", "Ben", *asking)

    assert cancelled.status == 0, cancelled.err
    assert [one["outcome"] for one in cancelled.json["cancellations"]] == ["done"]
    assert again.status == 1
    assert [one["outcome"] for one in again.json["cancellations"]] == ["refused"]


async def test_rebuilds_an_order_from_the_topics_alone(shop: Shop, oms: Oms, witness: Witness) -> None:
    sku = await shop.stocked(LON=5)
    order_id = await shop.place({sku: 2})
    await witness.hears(order_id, OrderCompleted)

    whole = await oms("replay", order_id, "--json")
    confirmed = next(step for step in whole.json["transitions"] if "OrderConfirmed" in step["said"])
    then = await oms("replay", order_id, "--at", confirmed["at"], "--json")
    before = await oms("replay", order_id, "--at", "2001-01-01", "--json")
    for_people = await oms("replay", order_id)

    assert whole.status == 0, whole.err
    assert whole.json["order"]["status"] == "completed"
    assert all(step["difference"] is None for step in whole.json["transitions"])
    assert then.json["order"]["status"] == "fulfilling"
    assert (before.json["transitions"], before.json["order"]) == ([], None)
    assert "say exactly what is on the topics" in for_people.out


async def test_says_that_it_knows_no_such_order(oms: Oms) -> None:
    done = await oms("replay", "tests:nobody")

    assert done.status == 2
    assert "the log says nothing about an order 'tests:nobody'" in done.err


async def test_audits_everything_that_was_done_here(shop: Shop, oms: Oms, witness: Witness) -> None:
    sku = await shop.stocked(LON=5)
    order_id = await shop.place({sku: 2})
    await witness.hears(order_id, OrderCompleted)

    audited = await oms("audit", "--json")
    on_the_log = await oms("audit", "--log-only", "--json")

    # Other tests bury what no service can read, which is our own fault where only services write.
    for done in (audited, on_the_log):
        assert [found for found in done.json["findings"] if found["check"] not in {"dead letters", "messages"}] == []
        assert done.json["orders"]["completed"] >= 1
        assert done.json["links"]["messages"] > 0


async def test_says_where_nobody_answers(oms: Oms) -> None:
    done = await oms("audit", "--brokers", "127.0.0.1:1", "--log-only")

    assert done.status == 2
    assert "Kafka does not answer at 127.0.0.1:1" in done.err
    assert "oms up" in done.err
    assert "Traceback" not in done.err
