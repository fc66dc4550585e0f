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
        self._is_to_look = False
        """Whether there may be more than that."""
        self._has_looked = False
        """Whether that is what a look found, after which deadlines count once: where everything takes long, each look
        would lead to the next one, and no deadline would ever pass."""

    def begin(self, ends: Mapping[str, int]) -> None:
        """The partition was taken over, and its topics reach up to there."""
        self._ends = _of_our_own(ends)
        self._is_to_look = self._has_looked = False

    def is_over(self, positions: Mapping[str, int]) -> bool:
        """Whether a deadline counts for who has come so far."""
        if self._is_heard(positions) and not self._is_to_look:
            self._has_looked = False
            return True
        return False

    async def look_after(self, since: float, positions: Mapping[str, int]) -> None:
        """Nothing was taken since then, by the event loop's clock: if that was long ago, see what there is by now, as
        soon as what is unheard anyway is heard.
        """
        held_up_s = asyncio.get_running_loop().time() - since
        if held_up_s >= HELD_UP_S and not self._has_looked:
            self._logger.warning("held up; deadlines wait for what came meanwhile", seconds=round(held_up_s))
            self._is_to_look = True
        if self._is_to_look and self._is_heard(positions):
            self._ends = _of_our_own(await self._feed.ends(self._topics))
            self._is_to_look, self._has_looked = False, True

    def _is_heard(self, positions: Mapping[str, int]) -> bool:
        if self._ends:
            self._ends = {topic: end for topic, end in self._ends.items() if positions.get(topic, 0) < end}
        return not self._ends


def _of_our_own(ends: Mapping[str, int]) -> Mapping[str, int]:
    """Strangers give no answers, and could keep deadlines waiting."""
    return {topic: end for topic, end in ends.items() if not BY_NAME[topic].open}
