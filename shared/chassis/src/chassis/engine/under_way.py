"""What a partition has begun and not yet brought to rest: it bounds how much is begun beside it."""

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from chassis.decision import Document, id_of

PATIENCE = timedelta(seconds=10)
"""How long a document may stand still before it counts as waiting for the world, and takes no more room, unless it is
queued."""


class UnderWay:
    """Documents that are queued, or that wait for an alarm or an answer and moved not long ago; `most` leave no room.

    What is queued and `parked` (see `chassis.stuck.parking`) waits for a person, and takes no room.
    """

    def __init__(self, most: int, parked: AbstractSet[str]) -> None:
        self._most = most
        self._parked = parked
        self._queued: set[str] = set()
        self._moved: OrderedDict[str, datetime] = OrderedDict()

    def recall(self, queued: Iterable[str]) -> None:
        """Take in the keys of what was queued when it was stored."""
        self._queued.update(queued)

    def see(self, document: Document, now: datetime) -> None:
        """Take in a document that changed."""
        self._queued.discard(document.key)
        self._moved.pop(document.key, None)
        if document.is_queued:
            self._queued.add(document.key)
        elif document.alarm is not None or document.calls:
            self._moved[document.key] = now

    def room(self, now: datetime) -> int:
        """How many more may be begun; none where it is less than one."""
        while self._moved and now - next(iter(self._moved.values())) >= PATIENCE:
            self._moved.popitem(last=False)
        return self._most - self._count()

    def next_room(self) -> datetime | None:
        """When something under way will count no more even if nothing moves; None if there is room, or nothing will."""
        if self._count() < self._most or not self._moved:
            return None
        return next(iter(self._moved.values())) + PATIENCE

    def _count(self) -> int:
        parked = sum([id_of(key) in self._parked for key in self._queued]) if self._parked else 0
        return len(self._moved) + len(self._queued) - parked
