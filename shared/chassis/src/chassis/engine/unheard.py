"""What was said before a partition came, or while it stood still, and is not heard yet."""

import asyncio
from collections.abc import Collection, Mapping

from contracts.topics import BY_NAME

from chassis.ports import Feed
from chassis.telemetry import logger

HELD_UP_S = 30.0
"""After how many seconds in which nothing was taken, as where MongoDB, Kafka or the whole process stood still, answers
may be there that were not heard. An election in MongoDB or Kafka takes some ten seconds, and needs no look."""


class Unheard:
    """Until all of it is heard no deadline counts: the answer to what is overdue may be there, or be missing."""

    def __init__(self, feed: Feed, topics: Collection[str], partition: int) -> None:
        self._feed = feed
        self._topics = topics
        self._logger = logger(partition=partition)
        self._ends: Mapping[str, int] = {}
        """By topic, up to where it must be heard, unless it is."""

    def note(self, ends: Mapping[str, int]) -> None:
        """All up to there must be heard, of our own services: strangers give no answers, and could keep deadlines
        waiting.
        """
        self._ends = {topic: end for topic, end in ends.items() if not BY_NAME[topic].open}

    def is_over(self, positions: Mapping[str, int]) -> bool:
        """Whether who has come so far has heard all of it."""
        if self._ends:
            self._ends = {topic: end for topic, end in self._ends.items() if positions.get(topic, 0) < end}
        return not self._ends

    async def look_after(self, since: float, positions: Mapping[str, int]) -> None:
        """Nothing was taken since then, by the event loop's clock: if that was long ago, see what there is by now.

        Not where something is unheard anyway: where all takes long, deadlines would never come to count.
        """
        held_up_s = asyncio.get_running_loop().time() - since
        if held_up_s >= HELD_UP_S and self.is_over(positions):
            self._logger.warning("held up; deadlines wait for what came meanwhile", seconds=round(held_up_s))
            self.note(await self._feed.ends(self._topics))
