"""When each document wants to be woken."""

import heapq
from datetime import datetime, timedelta

from chassis.ports import FOR_EVER

AHEAD = timedelta(minutes=10)
"""How far ahead alarms are held in memory; those after that, of which there may be a million, are left to the store."""


class Alarms:
    """The next alarm of each key that rings before `until`; setting it again replaces it.

    It may ring for a key that wants to be woken later, or not any more: whoever hears it looks.
    """

    def __init__(self) -> None:
        self.until = FOR_EVER
        self._when: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._more: set[tuple[datetime, str]] = set()
        """What the store said of keys that were set otherwise: nobody knows which of the two is newer."""

    def __len__(self) -> int:
        return len(self._when) + len(self._more)

    def set(self, key: str, when: datetime | None) -> None:
        """The key's document was changed, and wants this."""
        if when is None or when >= self.until:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))
        if len(self._heap) > 2 * len(self) + 1000:
            self._heap = [*((when, key) for key, when in self._when.items()), *self._more]
            heapq.heapify(self._heap)

    def learn(self, key: str, when: datetime) -> None:
        """The store has this alarm; the document may have been changed since."""
        known = self._when.get(key)
        if known is None:
            self.set(key, when)
        elif known != when:
            self._more.add((when, key))
            heapq.heappush(self._heap, (when, key))

    def _is_set(self, when: datetime, key: str) -> bool:
        return self._when.get(key) == when or (when, key) in self._more

    def next(self) -> datetime | None:
        """When the earliest alarm rings."""
        while self._heap and not self._is_set(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, limit: int) -> list[str]:
        """The keys whose alarms have come, the earliest first, at most `limit` of them; they are not set any more."""
        keys: list[str] = []
        while len(keys) < limit and (when := self.next()) is not None and when <= now:
            _, key = heapq.heappop(self._heap)
            self._more.discard((when, key))
            if self._when.get(key) == when:
                del self._when[key]
            keys.append(key)
        return keys
