"""Who watches a run of chaos sees everything to its end, or the run ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contracts.message import Message
from contracts.order import OrderCompleted
from contracts.record import Record
from oms.chaos import storm
from oms.chaos.storm import Storm, Wanted
from oms.chaos.watch import Watch
from oms.connection import Unreachable
from oms.fleet import Addresses, Fleet
from oms.system import System

Write = Callable[[Message], Any]


def test_goes_on_watching_after_a_dead_letter(pen: Write) -> None:
    watch = Watch("nowhere")
    watch.placed("web:1")
    completed = pen(OrderCompleted(order_id="web:1", revision=1, captured=1, currency="GBP")).record

    watch._see(Record("order.intake.dead-letter", 0, 0, 0, b"web:1", b"{", [("ce_id", b"1")]))
    watch._see(completed)

    assert watch.tally.states == {"completed": 1}
    assert watch.active(["order"], completed.timestamp / 1000) == [("order", 0)]


@pytest.mark.usefixtures("log_levels_stay")
async def test_a_run_that_nobody_watches_any_more_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    addresses = Addresses("kafka:1", "mongodb://mongo:1", "redis://redis:1")

    @asynccontextmanager
    async def running(*_: object) -> AsyncIterator[System]:
        yield System(addresses, Fleet(addresses, tmp_path, scale={}, first_port=0), None, tmp_path)

    async def fails(_watch: Watch) -> None:
        raise Unreachable("Kafka does not answer")

    async def stocked(*_: object) -> None:
        """There is enough of everything."""

    monkeypatch.setattr(storm, "running", running)
    monkeypatch.setattr(storm, "stock", stocked)
    monkeypatch.setattr(Watch, "run", fails)

    with pytest.raises(Unreachable, match="Kafka does not answer"):
        async with asyncio.timeout(5):
            await Storm(Wanted(1, 1, 1, ()), lambda _: None).run()
