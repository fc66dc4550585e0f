"""Which of a service's messages count when its database was restored.

A restored partition goes on from its backup, under a new incarnation whose name says which entry of which other one it
goes on from. What the other one said after that entry was said in a life that is over: others have heard it, but the
service itself remembers none of it, and says again what it decides again.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace

from chassis.entry import descent_of
from contracts.record import Record
from contracts.topics import BY_NAME
from contracts.wire import link_of

from oms.history.logged import History, Logged

FOR_EVER = 2**63
"""After every moment, in milliseconds since 1970, and after every entry."""


@dataclass(frozen=True, slots=True)
class Life:
    """One incarnation of a partition, as far as it counts today."""

    line: str
    """The source that goes on from it today, over any number of restorings; its own if none does."""
    last: int
    """The last entry that counts."""


@dataclass(slots=True)
class Lives:
    """Takes all records, in any order, then says what counts."""

    _begun: dict[str, int] = field(default_factory=dict)
    """By source, when it wrote for the first time, in milliseconds since 1970."""
    _lives: dict[str, Life] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        link = link_of(record)
        if link is not None and record.timestamp < self._begun.get(link[0], FOR_EVER):
            self._begun[link[0]] = record.timestamp
            self._lives = {}

    def of(self, source: str) -> Life:
        """What is left of the life of a source."""
        if not self._lives:
            self._lives = self._told()
        return self._lives.get(source) or Life(source, FOR_EVER)

    def counts(self, logged: Logged) -> bool:
        """Whether it is, still today, what its source said."""
        return logged.turn is None or logged.turn[0] <= self.of(logged.envelope.source).last

    def _told(self) -> dict[str, Life]:
        families: defaultdict[str, set[str]] = defaultdict(set)
        for source in self._begun:
            families[self._root(source)].add(source)
        return {source: life for family in families.values() for source, life in self._heirs(family).items()}

    def _before(self, source: str) -> tuple[str, int] | None:
        """Which source it goes on from, and after which entry."""
        place, _, incarnation = source.partition("@")
        descent = descent_of(incarnation)
        if descent is None:
            return None
        _, number, name = descent
        full = (other for other in self._begun if other.partition("@")[0] == place and _name(other) == name)
        return next(full, f"{place}@{name}"), number

    def _root(self, source: str) -> str:
        while before := self._before(source):
            source = before[0]
        return source

    def _heirs(self, family: set[str]) -> dict[str, Life]:
        """The line that leads to the youngest counts, each of it up to where the next one left it; nobody else does."""
        youngest = max(family, key=lambda source: (self._begun[source], source))
        lives = {source: Life(youngest, 0) for source in family}
        source, last = youngest, FOR_EVER
        while True:
            lives[source] = Life(youngest, last)
            before = self._before(source)
            if before is None:
                return lives
            source, number = before
            last = min(last, number)


def _name(source: str) -> str:
    incarnation = source.partition("@")[2]
    descent = descent_of(incarnation)
    return descent[0] if descent else incarnation


def settled(history: History, lives: Lives) -> tuple[History, list[Logged]]:
    """The history without what a service said in a life that is over, each message under the name of its line; and
    what was said in such a life and not again since.

    What others said then stays: it was heard, and led to what was said next.
    """
    over = [logged for logged in history.messages if not lives.counts(logged)]
    if not over and all(lives.of(logged.envelope.source).line == logged.envelope.source for logged in history.messages):
        return history, []
    living = History(history.order_id)
    for logged in history.messages:
        if lives.counts(logged):
            line = lives.of(logged.envelope.source).line
            living.add(replace(logged, envelope=replace(logged.envelope, source=line)))
        elif BY_NAME[logged.record.topic].owner != "order":
            living.add(logged)
    said = {_sense(logged) for logged in history.messages if lives.counts(logged)}
    return living, [logged for logged in over if _sense(logged) not in said]


def _sense(logged: Logged) -> tuple[object, ...]:
    """What is the same in two messages that say the same, though at another time."""
    message = logged.message
    named = ("order_id", "revision", "attempt", "location")
    return (type(message), *(getattr(message, name, None) for name in named))
