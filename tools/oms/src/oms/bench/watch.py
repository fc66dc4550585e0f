"""Watches orders being placed and completed, by key and header alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time

from contracts.order import OrderCompleted, OrderPlaced
from contracts.record import Record
from contracts.topics import TOPIC_OF

from oms.log import LogReader

STALLED_S = 60.0
INTAKE, EVENTS = TOPIC_OF[OrderPlaced].name, TOPIC_OF[OrderCompleted].name
COMPLETED = OrderCompleted.__name__.encode()


class Stalled(Exception):  # noqa: N818 - named for the state
    """Orders stopped completing."""


class Watch:
    """When each order was placed and when it was completed."""

    def __init__(self) -> None:
        self.placed_ms: dict[bytes | None, int] = {}
        """By order, the time that the record of its OrderPlaced carries."""
        self.completed_ms: dict[bytes | None, int] = {}
        """By order, the time that the record of its OrderCompleted carries."""
        self.seen_s: dict[bytes | None, float] = {}
        """By order, when its OrderCompleted had come from Kafka to us."""
        self._news = asyncio.Event()

    @property
    def orders_per_s(self) -> float:
        """From the first order placed to the last completed."""
        return len(self.completed_ms) / (max(self.completed_ms.values()) - min(self.placed_ms.values())) * 1000

    def see(self, records: Sequence[Record]) -> None:
        now = time()
        for record in records:
            if record.topic == INTAKE:
                self.placed_ms[record.key] = record.timestamp
            elif dict(record.headers)["ce_type"] == COMPLETED:
                # What is said again after a crash does not count.
                self.completed_ms.setdefault(record.key, record.timestamp)
                self.seen_s.setdefault(record.key, now)
        if records:
            self._news.set()

    async def until(self, orders: int) -> None:
        """Wait until this many completed. Raises Stalled when nothing happens for a minute."""
        try:
            while len(self.completed_ms) < orders:
                self._news.clear()
                async with asyncio.timeout(STALLED_S):
                    await self._news.wait()
        except TimeoutError:
            done = len(self.completed_ms)
            raise Stalled(f"{done} of {orders} orders completed, then nothing for a minute") from None


@asynccontextmanager
async def watching(brokers: str) -> AsyncIterator[Watch]:
    """Watch from now on until the block ends. Raises Unreachable."""
    watch = Watch()
    async with LogReader(brokers) as log:
        news = log.news([INTAKE, EVENTS])
        await anext(news)  # from here on nothing is missed

        async def see_all() -> None:
            async for records in news:
                watch.see(records)

        seeing = asyncio.create_task(see_all())
        try:
            yield watch
        finally:
            seeing.cancel()
            await asyncio.wait([seeing])
