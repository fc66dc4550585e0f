"""Watches the topics: which partitions of which service move, and what becomes of each order."""

import asyncio
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import aclosing
from itertools import pairwise
from time import time

from contracts.record import Record
from contracts.topics import BY_NAME, SERVICES
from contracts.wire import link_of

from oms.log import LogReader
from oms.placing.place import DEAD_LETTERS, Tally

Part = tuple[str, int]
"""A service and one of its partitions."""
WATCHED = (*(f"{service}.events" for service in SERVICES), DEAD_LETTERS)
ACTIVE_WITHIN_S = 10.0
"""A partition that wrote nothing for this long before a fault, in seconds, is not expected to write soon after it."""
POLL_S = 0.1


class Watch:
    """Reads everything from now on. All times are seconds since 1970, as the services wrote them."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._moved: defaultdict[Part, list[float]] = defaultdict(list)
        self.tally = Tally()
        self.last_news = time()
        self.begun = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled. Raises Unreachable."""
        async with LogReader(self._brokers) as log, aclosing(log.news(WATCHED)) as news:
            async for records in news:
                self.begun.set()
                for record in records:
                    self._see(record)

    def placed(self, order_id: str) -> None:
        """An order is about to be placed: what becomes of it counts."""
        self.tally.state[order_id] = "placed"

    def _see(self, record: Record) -> None:
        if self.tally.see(record):
            self.last_news = time()
        link = link_of(record) if record.topic in BY_NAME else None  # on those of dead letters nobody counts
        if link is not None:
            service, _, number = link[0].partition("@")[0].partition("/")
            insort(self._moved[service, int(number)], record.timestamp / 1000)

    def active(self, services: Collection[str], moment: float) -> list[Part]:
        """The partitions of these services that wrote something shortly before."""
        return [
            part
            for part, moved in self._moved.items()
            if part[0] in services and any(moment - ACTIVE_WITHIN_S < at <= moment for at in moved[-2000:])
        ]

    async def recovered(self, parts: Collection[Part], since: float, within_s: float) -> Mapping[Part, float]:
        """When each of the partitions wrote something for the first time after that; late ones are left out."""
        deadline = time() + within_s
        while True:
            first = {part: at for part in parts if (at := self._first_after(part, since)) is not None}
            if len(first) == len(parts) or time() > deadline:
                return first
            await asyncio.sleep(POLL_S)

    def _first_after(self, part: Part, since: float) -> float | None:
        moved = self._moved[part]
        place = bisect_right(moved, since)
        return moved[place] if place < len(moved) else None

    def longest_pause_s(self, parts: Collection[Part], begun: float, until: float) -> float:
        """The longest time in which one of the partitions wrote nothing, of those that end after `begun`."""
        longest = 0.0
        for part in parts:
            moved = [at for at in self._moved[part] if begun - ACTIVE_WITHIN_S <= at <= until]
            pauses = [later - earlier for earlier, later in pairwise(moved) if later > begun]
            longest = max(longest, *pauses, 0.0)
        return longest
