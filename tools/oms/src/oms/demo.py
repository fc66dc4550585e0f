"""The product in a minute: real orders through five services, a crash in the middle, and a proof at the end."""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from contracts.order import CancelOrder, OrderCancelled, OrderPlaced, OrderRejected
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME
from contracts.wire import decode

from oms.log import LogReader
from oms.placing import orders_file, shelves, stock_file
from oms.placing.orders_file import BadLine, Line
from oms.placing.place import DEAD_LETTERS, EVENTS, Tally, send
from oms.placing.sending import Sender
from oms.system import System

RATE = 50.0
"""Orders a second: slow enough to watch."""
KILLED = "payment"
KILL_AFTER = 0.4
"""The service is killed when this part of the orders is placed."""
PATIENCE_S = 45.0
"""How long nothing may happen, in seconds, before the demo gives up on an order."""

Look = Callable[[str], None]
"""Hears what is going on, at least twice a second."""


class Stuck(Exception):  # noqa: N818 - named for the state
    """Orders came to no end, and nothing happens any more."""


@dataclass(frozen=True)
class Samples:
    """The files that the demo takes its data from."""

    directory: Path

    @property
    def stock(self) -> Path:
        return self.directory / "stock.csv"

    @property
    def orders(self) -> Path:
        return self.directory / "orders.ndjson"

    @property
    def cancellations(self) -> Path:
        return self.directory / "cancellations.ndjson"

    @property
    def restock(self) -> Path:
        return self.directory / "restock.csv"

    def made_to_fail(self) -> dict[str, str]:
        """By order, what was arranged to go wrong."""
        with (self.directory / "made-to-fail.csv").open(encoding="utf-8", newline="") as text:
            return {row["order"]: row["what goes wrong"] for row in csv.DictReader(text)}


@dataclass
class Outcomes:
    """What has become of each order so far, and why."""

    tally: Tally = field(default_factory=Tally)
    why: dict[str, str] = field(default_factory=dict)
    """By order, the code of the reason why it was not completed."""
    parcels: Counter[int] = field(default_factory=Counter)

    def see(self, record: Record) -> bool:
        news = self.tally.see(record)
        if news and record.topic in BY_NAME:
            try:
                event = decode(record).message
            except Unreadable:
                return news
            if isinstance(event, OrderRejected):
                self.why[event.order_id] = event.reasons[0].code
            elif isinstance(event, OrderCancelled):
                self.why[event.order_id] = event.reason.code
        return news

    @property
    def by_reason(self) -> Counter[tuple[str, str]]:
        """How many orders are in which state, and for which reason."""
        return Counter((state, self.why.get(order, "")) for order, state in self.tally.state.items())

    @property
    def waiting_for_stock(self) -> int:
        return self.tally.states["backordered"]


class Demo:
    """The acts of the demo, in their order."""

    def __init__(self, system: System, samples: Samples, look: Look) -> None:
        self._system = system
        self._samples = samples
        self._look = look
        self._news = asyncio.Event()
        self.outcomes = Outcomes()

    async def play(self) -> None:
        """Place everything, break and mend something, and wait until every order has ended. Raises Stuck."""
        async with LogReader(self._system.addresses.kafka) as log, Sender(self._system.addresses.kafka) as sender:
            await self._load(self._samples.stock)
            begun = asyncio.Event()
            watching = asyncio.create_task(self._watch(log, begun))
            try:
                await begun.wait()
                await asyncio.gather(self._place(sender), self._kill_and_restart())
                await self._cancel(sender)
                self._look("waiting for all but the backorders")
                await self._until(lambda: len(self.outcomes.tally.open) == self.outcomes.waiting_for_stock)
                self._look(f"restocking: {self.outcomes.waiting_for_stock} orders wait for stock")
                await self._load(self._samples.restock)
                await self._until(lambda: not self.outcomes.tally.open)
            finally:
                watching.cancel()

    def undone(self) -> str | None:
        """An order that had come far and was undone: its story is worth telling."""
        made_to_fail = self._samples.made_to_fail()
        cancelled = [order for order, state in self.outcomes.tally.state.items() if state == "cancelled"]
        return max(cancelled, key=lambda order: (order in made_to_fail, self.outcomes.why[order]), default=None)

    async def _load(self, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as text:
            rows = stock_file.read(text)
        delivery = stock_file.delivery_name(rows)
        arrivals = await shelves.deliver(self._system.addresses.kafka, rows, delivery, patience_s=PATIENCE_S)
        if arrivals.missing:
            raise Stuck(f"{path.name} did not come onto the shelves of {', '.join(arrivals.missing)}")

    async def _place(self, sender: Sender) -> None:
        self._look(f"placing orders, {RATE:.0f} a second")
        placed = self.outcomes.tally.placed
        await send(_lines(self._samples.orders), sender, OrderPlaced, rate=RATE, on_sent=placed, on_bad=_cannot_be)

    async def _cancel(self, sender: Sender) -> None:
        def sent(_: Line, __: str) -> None:
            return

        await send(_lines(self._samples.cancellations), sender, CancelOrder, on_sent=sent, on_bad=_cannot_be)

    async def _kill_and_restart(self) -> None:
        with self._samples.orders.open("rb") as file:
            wanted = int(sum(1 for _ in file) * KILL_AFTER)
        await self._until(lambda: len(self.outcomes.tally.state) >= wanted)
        instance = self._system.fleet.of(KILLED)[0]
        instance.kill()
        self._look(f"{KILLED}-service killed with SIGKILL")
        await instance.start()
        self._look(f"{KILLED}-service started again")

    async def _watch(self, log: LogReader, begun: asyncio.Event) -> None:
        async with aclosing(log.news([EVENTS, DEAD_LETTERS])) as news:
            async for records in news:
                begun.set()
                news_of_ours = [self.outcomes.see(record) for record in records]
                if any(news_of_ours):
                    self._news.set()
                self._look("")

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._news.wait()
            except TimeoutError:
                still = self.outcomes.tally.open
                raise Stuck(f"{len(still)} orders came to no end: {', '.join(still[:10])}") from None


async def _lines(path: Path) -> AsyncIterator[Line | BadLine]:
    with path.open("rb") as file:
        for line in orders_file.read(file):
            yield line


def _cannot_be(bad: BadLine) -> None:
    raise ValueError(f"line {bad.number} of the samples is damaged: {bad.reason}")
