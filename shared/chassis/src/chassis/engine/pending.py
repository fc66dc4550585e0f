"""Which calls are pending: the next ones are held, and the others, maybe a million, are left to the store."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from chassis.decision import Call, correlation_of
from chassis.entry import Calling, Stored
from chassis.ports import FOR_EVER, Clock

ALWAYS = datetime.min.replace(tzinfo=UTC)
MOST = 1_000
"""The most documents held whose calls are still to be made; each takes some two kilobytes."""
AT_A_TIME = 500
"""How many are kept where there would be more, and how many are read when half of that is left."""


@dataclass(slots=True)
class Waiting:
    """A document whose calls are pending: no more of it than making them needs."""

    due: datetime
    """When its first call is due; see `chassis.entry.Change`."""
    calls: tuple[Call, ...]
    correlation: str
    trace: str | None
    made: set[Call] = field(default_factory=set)
    """Those that were made, and whose answers are not decided on yet."""


class Pending:
    """Documents whose first call is due before a horizon, which is drawn back where they are too many.

    When they run short, the store is asked for what is due from there on. Between `begin_reading` and `learn` all that
    changes is held: nobody knows whether the store had it when it was asked.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = ALWAYS
        self._documents: dict[str, Waiting] = {}
        self._to_make: set[str] = set()
        """Those with calls that are still to be made."""
        self._queue: list[tuple[datetime, int, str, Call]] = []
        """Calls by the time from which on they may be made; some are made or gone."""
        self._order = count()
        self._changed: set[str] | None = None
        """While the store is asked, what has changed since: what it says of that is overtaken."""

    def get(self, key: str) -> Waiting | None:
        return self._documents.get(key)

    @property
    def runs_short(self) -> bool:
        """Whether the store should be asked for more."""
        return not self.is_reading and self._until < FOR_EVER and len(self._to_make) <= AT_A_TIME // 2

    @property
    def is_reading(self) -> bool:
        return self._changed is not None

    def put(self, key: str, stored: Stored, due: datetime | None) -> None:
        """The key's document was changed: its first call is due then, None if it has none."""
        if self._changed is not None:
            self._changed.add(key)
        before = self._documents.pop(key, None)
        made = before.made.intersection(stored.document.calls) if before is not None else set()
        if due is not None and (made or due < self._until):
            self._hold(key, stored, due, made, before.calls if before is not None else ())
        else:
            self._to_make.discard(key)

    def _hold(self, key: str, stored: Stored, due: datetime, made: set[Call], queued: Sequence[Call]) -> None:
        document = stored.document
        correlation = correlation_of(document, document.id)
        self._documents[key] = Waiting(due, document.calls, correlation, stored.trace, made)
        for call in document.calls:
            if call not in queued:
                # What may be made at once was wanted when it was due, but not later than now: clocks differ.
                when = call.not_before or min(due, self._clock.now())
                heapq.heappush(self._queue, (when, next(self._order), key, call))
        self._note(key)
        if len(self._to_make) > MOST:
            self._draw_back()
        if len(self._queue) > 2 * len(self._to_make) + MOST:
            self._queue = [entry for entry in self._queue if self._is_to_be_made(*entry[2:])]
            heapq.heapify(self._queue)

    def _note(self, key: str) -> None:
        """Whether any of its calls is still to be made may be otherwise than before."""
        waiting = self._documents[key]
        (self._to_make.add if len(waiting.made) < len(waiting.calls) else self._to_make.discard)(key)

    def _draw_back(self) -> None:
        """Leave to the store what is due last; not what waits for an answer, too, or its call might be made twice."""
        last = sorted((key for key in self._to_make if not self._documents[key].made), key=self._due)[AT_A_TIME:]
        for key in last:
            self._until = min(self._until, self._due(key))
            del self._documents[key]
        self._to_make.difference_update(last)

    def _due(self, key: str) -> datetime:
        return self._documents[key].due

    def _is_to_be_made(self, key: str, call: Call) -> bool:
        waiting = self._documents.get(key)
        return waiting is not None and call in waiting.calls and call not in waiting.made

    def first(self) -> datetime | None:
        """From when on the next call may be made; None if none of those that are held is still to be made."""
        while self._queue and not self._is_to_be_made(*self._queue[0][2:]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def take(self) -> tuple[str, Call] | None:
        """The next call, which is made from now on; None if there is none, or its time has not come."""
        first = self.first()
        if first is None or first > self._clock.now():
            return None
        _, _, key, call = heapq.heappop(self._queue)
        self._documents[key].made.add(call)
        self._note(key)
        return key, call

    # What the store has.

    def begin_reading(self) -> datetime:
        """The store is to be asked for what is due from then on."""
        since, self._until, self._changed = self._until, FOR_EVER, set()
        return since

    def learn(self, found: Sequence[Calling], until: datetime) -> None:
        """The store has these; see `chassis.ports.Store.calling`."""
        changed, self._changed = self._changed or set(), None
        self._until = min(self._until, until)
        for key, due, stored in found:
            if key not in changed and key not in self._documents:
                self._hold(key, stored, due, set(), ())
