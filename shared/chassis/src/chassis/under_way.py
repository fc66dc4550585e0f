"""What a partition has begun and not yet brought to rest: it bounds how much is begun beside it."""

from collections import OrderedDict
from datetime import datetime, timedelta

from chassis.entry import Change

PATIENCE = timedelta(seconds=10)
"""What has not moved for so long waits for the world, and no longer keeps others from being begun."""


class UnderWay:
    """Documents that wait for an alarm or an answer and moved not long ago; `most` of them leave no room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._moved: OrderedDict[str, datetime] = OrderedDict()

    def see(self, change: Change, now: datetime) -> None:
        """Take in what an entry changed."""
        self._moved.pop(change.key, None)
        if change.alarm is not None or change.calling:
            self._moved[change.key] = now

    def room(self, now: datetime) -> int:
        """How many more may be begun."""
        while self._moved and now - next(iter(self._moved.values())) >= PATIENCE:
            self._moved.popitem(last=False)
        return self._most - len(self._moved)

    def next_room(self) -> datetime | None:
        """When there will be room even if nothing moves; None if there is some."""
        return next(iter(self._moved.values())) + PATIENCE if len(self._moved) >= self._most else None
