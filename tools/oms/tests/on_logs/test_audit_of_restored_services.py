"""Services that are restored while everything else goes on: every order ends, and the audit finds nothing."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
from contracts.inventory import GoodsLine, TransferStock
from contracts.order import CancelOrder, OrderPlaced
from oms.audit.auditor import Verdict

Stage = Any
"""The conftest's class, which cannot be imported from here."""

ALL = ("order", "inventory", "payment", "fulfillment", "shipping")


async def place(shop: Stage, orders: Iterable[OrderPlaced]) -> None:
    """Send these orders over some minutes, and cancel some of them."""
    for order in orders:
        shop.send(order)
        await asyncio.sleep(shop.chance.random() * 20)
        if shop.chance.random() < 0.3:
            shop.send(CancelOrder(order_id=order.order_id, reason="changed mind", requested_by="Ada"))


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL], ids="-".join)
@pytest.mark.parametrize("seed", range(6))
async def test_finds_nothing_when_services_are_restored(
    stage: Callable[[int], Stage],
    all_is_well: Callable[[Stage, int], Verdict],
    everything: Sequence[dict[str, Any]],
    placed: Callable[..., OrderPlaced],
    names: Sequence[str],
    seed: int,
) -> None:
    def sorts(first: int) -> Iterator[OrderPlaced]:
        return (placed(str(number), **fields) for number, fields in enumerate(everything, first))

    shop = stage(seed)
    shop.latency_s = 0.002  # or what followed from each other would have been written at the same time
    shop.stock("LON", 90, "MUG")
    shop.stock("MAN", 5, "MUG", "TEA", "CUP")
    shop.stock("LON", 5, "TEA")
    await place(shop, sorts(1))
    backups = {}
    for name in names:
        backups[name] = shop.backup(name)
        await asyncio.sleep(shop.chance.random() * 10)
    await place(shop, sorts(101))
    shop.stock("MAN", 30, "TEA")
    mugs = (GoodsLine(sku="MUG", quantity=3),)
    shop.send(TransferStock(movement_id="transfer-1", location="LON", to_location="MAN", lines=mugs))
    await asyncio.sleep(shop.chance.random() * 200)

    shop.restore(backups)
    await place(shop, sorts(201))
    await shop.settle()
    shop.stock("MAN", 99, "CUP", "TEA", "MUG")
    await shop.settle()

    all_is_well(shop, 3 * len(everything))
