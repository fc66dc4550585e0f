"""The audit of logs that the real services wrote: it finds nothing, whatever came in, and whenever it was taken."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from contracts.order import CancelOrder, OrderCompleted, OrderPlaced
from contracts.record import Record
from contracts.repair import ReleaseParked, RepairRefused
from oms.audit.auditor import Judged, Verdict

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Judge = Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]


async def test_finds_nothing_in_what_services_say_to_requests_for_repairs(
    stage: Callable[[int], Stage], judge: Judge
) -> None:
    shop = stage(0)
    for service in ("order", "payment"):
        asked = {"repair_id": f"r-{service}", "service": service, "partition": 1, "by": "kim", "reason": "fixed"}
        shop.send(ReleaseParked.model_validate(asked | {"place": "web:1"}))
    await shop.settle()
    assert len(shop.of_type(RepairRefused)) == 2
    assert judge(shop.log)[0].findings == []


@pytest.mark.parametrize("seed", range(15))
async def test_finds_nothing_in_what_the_services_wrote(
    stage: Callable[[int], Stage],
    all_is_well: Callable[[Stage, int], Verdict],
    everything: Sequence[dict[str, Any]],
    placed: Callable[..., OrderPlaced],
    seed: int,
) -> None:
    shop = stage(seed)
    shop.crashes = 0.01
    shop.stock("LON", 40, "MUG")
    shop.stock("MAN", 5, "MUG", "TEA", "CUP")
    shop.stock("LON", 5, "TEA")
    for number, fields in enumerate(everything):
        shop.send(placed(str(number), **fields))
        if shop.chance.random() < 0.3:
            await asyncio.sleep(shop.chance.random() * 40)
        if shop.chance.random() < 0.3:
            shop.send(CancelOrder(order_id=f"web:{number}", reason="changed mind", requested_by="Ada"))
    await shop.settle()
    shop.stock("MAN", 3, "CUP")
    await shop.settle()
    shop.stock("MAN", 50, "CUP", "TEA", "MUG")
    await shop.settle()

    verdict = all_is_well(shop, len(everything))

    assert shop.of_type(OrderCompleted)
    assert {sku for book in verdict.books for _, sku in book.levels} == {"MUG", "TEA", "CUP"}
