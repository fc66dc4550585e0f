"""Orders that keep coming until told to stop: each that was announced is sent."""

import asyncio
from types import TracebackType
from typing import Self

import pytest
from oms.chaos import load
from oms.chaos.load import Load
from oms.placing.sending import Letter


class Sender:
    """Takes everything; says when it has."""

    taken: list[Letter]
    flushed: asyncio.Event

    def __init__(self, _: str) -> None:
        self.flushed.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        return

    async def send(self, letter: Letter) -> None:
        self.taken.append(letter)

    async def flush(self) -> None:
        self.flushed.set()
        await asyncio.sleep(0)


async def test_sends_every_order_that_it_announced_whenever_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "Sender", Sender)
    monkeypatch.setattr(Sender, "taken", [], raising=False)
    monkeypatch.setattr(Sender, "flushed", asyncio.Event(), raising=False)
    announced: list[str] = []
    placing = Load("nowhere", 10.0, announced.append, "shop")
    run = asyncio.create_task(placing.run())
    await Sender.flushed.wait()

    placing.stop()
    await run

    assert {letter.key for letter in Sender.taken} == {order_id.encode() for order_id in announced}
    assert announced[0] == "shop:1"
