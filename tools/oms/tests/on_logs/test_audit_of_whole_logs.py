"""The audit of logs that the real services wrote: it finds nothing, whatever came in, and whenever it was taken."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from chassis.decision import Document
from contracts.order import CancelOrder, OrderCompleted, OrderPlaced
from oms.audit.auditor import Judged, Verdict
from oms.audit.stored import compare_order, compare_stock, key_of_stock
from oms.log import Record
from oms.replay import Replayer

World = Any
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
    {"units": 6, "skus": ("CUP", "MUG"), "allow_backorder": True},
    {"total": 7},
)


@pytest.mark.parametrize("seed", range(15))
async def test_finds_nothing_in_what_the_services_wrote(
    world: Callable[[int], World], judge: Judge, replayer: Replayer, placed: Callable[..., OrderPlaced], seed: int
) -> None:
    stage = world(seed)
    stage.crashes = 0.3
    stage.stock("LON", 40, "MUG")
    stage.stock("MAN", 5, "MUG", "TEA", "CUP")
    stage.stock("LON", 5, "TEA")
    for number, fields in enumerate(EVERYTHING):
        stage.send(placed(str(number), **fields))
        if stage.chance.random() < 0.3:
            await stage.settle(timedelta(seconds=stage.chance.randint(0, 40)))
        if stage.chance.random() < 0.3:
            stage.send(CancelOrder(order_id=f"web:{number}", reason="changed mind", requested_by="Ada"))
    await stage.settle()
    stage.stock("MAN", 3, "CUP")
    await stage.settle()
    stage.stock("MAN", 50, "CUP", "TEA", "MUG")
    await stage.settle()

    verdict, judged = judge(stage.log)

    assert verdict.findings == []
    assert verdict.waiting == []
    assert len(judged) == len(EVERYTHING)
    assert verdict.orders.total() == len(EVERYTHING)
    assert stage.of_type(OrderCompleted)
    assert [found for one in judged for found in compare_order(one, documents_of(stage), replayer)] == []
    levels = [level for book in verdict.books for level in book.levels.values()]
    stocks = documents_of(stage)["inventory"]
    assert {level.sku for level in levels} == {"MUG", "TEA", "CUP"}
    assert [found for level in levels for found in compare_stock(level, stocks.get(key_of_stock(level)))] == []


def documents_of(stage: World) -> dict[str, dict[str, Document]]:
    """What each service remembers."""
    found: dict[str, dict[str, Document]] = {}
    for node in stage.nodes:
        documents = {key: stored.document for key, stored in node.documents.items()}
        found.setdefault(node.service.name, {}).update(documents)
    return found
