"""Who wants to be woken when."""

import heapq
from datetime import datetime


class Alarms:
    """The next alarm of each key; setting it again replaces it."""

    def __init__(self) -> None:
        self._when: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: str, when: datetime | None) -> None:
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))
        if len(self._heap) > 2 * len(self._when) + 1000:
            self._heap = [(when, key) for key, when in self._when.items()]
            heapq.heapify(self._heap)

    def next(self) -> datetime | None:
        """When the earliest alarm rings."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, limit: int) -> list[str]:
        """The keys whose alarms have come, the earliest first, at most so many; they are not set any more."""
        keys: list[str] = []
        while len(keys) < limit and (when := self.next()) is not None and when <= now:
            _, key = heapq.heappop(self._heap)
            del self._when[key]
            keys.append(key)
        return keys
