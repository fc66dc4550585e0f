"""Services that are restored while everything else goes on: every order ends, and the audit finds nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from contracts.inventory import GoodsLine, TransferStock
from contracts.order import CancelOrder, OrderPlaced
from contracts.record import Record
from oms.audit.auditor import Judged, Verdict
from oms.audit.stored import compare_order, compare_stock, key_of_stock
from oms.history.replay import Replayer

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Judge = Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]

EVERYTHING = (
    {},
    {"units": 3, "skus": ("MUG", "TEA")},
    {"payment_token": "tok_declined_stolen_card"},
    {"payment_token": "tok_timeout"},
    {"payment_token": "tok_capture_fails"},
    {"special_instructions": "[simulate: short pick]"},
    {"units": 9, "skus": ("TEA",)},
    {"units": 8, "skus": ("TEA",), "allow_split": True},
    {"units": 9, "skus": ("TEA",), "allow_backorder": True},
    {"units": 4, "skus": ("CUP",), "allow_backorder": True},
    {"total": 7},
)
ALL = ("order", "inventory", "payment", "fulfillment", "shipping")


async def place(shop: Stage, placed: Callable[..., OrderPlaced], first: int) -> None:
    """One order of every sort, some of which are cancelled, over some minutes."""
    for number, fields in enumerate(EVERYTHING, first):
        shop.send(placed(str(number), **fields))
        await asyncio.sleep(shop.chance.random() * 20)
        if shop.chance.random() < 0.3:
            shop.send(CancelOrder(order_id=f"web:{number}", reason="changed mind", requested_by="Ada"))


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL], ids="-".join)
@pytest.mark.parametrize("seed", range(6))
async def test_finds_nothing_when_services_are_restored(
    stage: Callable[[int], Stage],
    judge: Judge,
    replayer: Replayer,
    placed: Callable[..., OrderPlaced],
    names: Sequence[str],
    seed: int,
) -> None:
    shop = stage(seed)
    shop.latency_s = 0.002  # or what followed from each other would have been written at the same time
    shop.stock("LON", 90, "MUG")
    shop.stock("MAN", 5, "MUG", "TEA", "CUP")
    shop.stock("LON", 5, "TEA")
    await place(shop, placed, 1)
    backups = {}
    for name in names:
        backups[name] = shop.backup(name)
        await asyncio.sleep(shop.chance.random() * 10)
    await place(shop, placed, 101)
    shop.stock("MAN", 30, "TEA")
    mugs = (GoodsLine(sku="MUG", quantity=3),)
    shop.send(TransferStock(movement_id="transfer-1", location="LON", to_location="MAN", lines=mugs))
    await asyncio.sleep(shop.chance.random() * 200)

    shop.restore(backups)
    await place(shop, placed, 201)
    await shop.settle()
    shop.stock("MAN", 99, "CUP", "TEA", "MUG")
    await shop.settle()

    verdict, judged = judge(shop.log)
    assert verdict.findings == []
    assert verdict.waiting == []
    assert verdict.orders.total() == len(judged) == 3 * len(EVERYTHING)
    assert [found for one in judged for found in compare_order(one, shop.documents, replayer)] == []
    levels = [level for book in verdict.books for level in book.levels.values()]
    stocks = shop.documents["inventory"]
    assert [found for level in levels for found in compare_stock(level, stocks.get(key_of_stock(level)))] == []
