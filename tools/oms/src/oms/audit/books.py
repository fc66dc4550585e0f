"""Nothing is oversold: for every item in every location, received = available + reserved + shipped after every message,
and nothing is ever below zero.

The events of a book lie on several topics and partitions. Their ids say in which order the book wrote them, so that it
can be kept again from the log alone, and compared with each StockLevel on the way.

What the log does not say: while an order waits for stock, a book may set arriving units aside for it bit by bit; it
says so once it has them all. Until then a StockLevel may have up to the missing units fewer available and as many more
reserved than the events come to, and no more.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import attrgetter, itemgetter

from contracts.inventory import StockLevel

from oms.audit.book import Book, Event, Held, Level, Moved, event_of
from oms.history.lives import Lives
from oms.history.logged import Logged

LEVEL = struct.Struct(">QIIQIQQQQ")
"""A StockLevel as bytes, of which there are many: they take a tenth of the memory and sort by the turn that they begin
with. Entry, place in it, topic partition, offset, item, and the four levels."""


class Books:
    """Takes the events, the ledger and the levels of the inventory service, in any order."""

    def __init__(self) -> None:
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._levels: defaultdict[str, list[bytes]] = defaultdict(list)
        self._items: dict[tuple[str, str], int] = {}
        self._parts: dict[str, int] = {}

    def take(self, logged: Logged) -> None:
        turn, message, source = logged.turn, logged.message, logged.envelope.source
        if turn is None:
            return
        if isinstance(message, StockLevel):
            self._levels[source].append(self._packed(turn, logged, message))
        elif isinstance(message, Held | Moved):
            self._events[source].append(event_of(turn, logged.place, message))

    def _packed(self, turn: tuple[int, int], logged: Logged, level: StockLevel) -> bytes:
        part = self._parts.setdefault(f"{logged.record.topic}/{logged.record.partition}", len(self._parts))
        item = self._items.setdefault((level.location, level.sku), len(self._items))
        levels = (level.available, level.reserved, level.shipped, level.received)
        return LEVEL.pack(*turn, part, logged.record.offset, item, *levels)

    def keep(self, lives: Lives, *, is_whole: bool = True) -> list[Book]:
        """Every book, kept from beginning to end; each says what it found. If not all is there, only levels count."""
        items, parts = list(self._items), list(self._parts)
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for source in sorted(self._events.keys() | self._levels.keys()):
            lines[lives.of(source).line].append(source)
        if not is_whole:
            self._events.clear()
        return [self._keep(line, sources, lives, items, parts, is_whole=is_whole) for line, sources in lines.items()]

    def _keep(
        self,
        line: str,
        sources: Sequence[str],
        lives: Lives,
        items: Sequence[tuple[str, str]],
        parts: Sequence[str],
        *,
        is_whole: bool,
    ) -> Book:
        def unpacked(packed: bytes) -> tuple[tuple[int, int], Level]:
            entry, place, part, offset, item, *levels = LEVEL.unpack(packed)
            return (entry, place), Level(f"{parts[part]}/{offset}", *items[item], *levels)

        book = Book(line)
        lasts = [(source, lives.of(source).last) for source in sources]
        heard = [event for source, last in lasts for event in self._events[source] if event.turn[0] <= last]
        events = ((event.turn, event) for event in sorted(heard, key=attrgetter("turn")))
        told = [level for source, last in lasts for level in self._levels[source] if _entry_of(level) <= last]
        levels = map(unpacked, sorted(told))
        turn_before = None
        written: Iterator[tuple[tuple[int, int], Event | Level]] = merge(events, levels, key=itemgetter(0))
        for turn, said in written:
            if isinstance(said, Level):
                if not is_whole:
                    book.believe(said)
                book.compare(said)
            elif turn != turn_before:  # or else it was published again after a crash
                book.hear(said)
            turn_before = turn
        book.close()
        return book


def _entry_of(level: bytes) -> int:
    """The entry that wrote it, which it begins with."""
    return int.from_bytes(level[:8])
