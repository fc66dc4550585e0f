"""The stock books that one source keeps, kept again from its events."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from sys import intern

from contracts.inventory import (
    StockAdjusted,
    StockBackordered,
    StockIssued,
    StockReceived,
    StockReleased,
    StockReserved,
    StockTransferred,
)

from oms.audit.finding import Finding

Units = Counter[str]
"""By SKU."""
Attempt = tuple[str, int, int]
"""Order, revision and attempt."""
NOTHING: Units = Counter()
Held = StockReserved | StockBackordered | StockReleased | StockIssued
Moved = StockReceived | StockAdjusted | StockTransferred


@dataclass(frozen=True, slots=True)
class Event:
    """A message of the book, without what is not asked for here."""

    turn: tuple[int, int]
    place: str
    kind: type[Held | Moved]
    location: str
    units: Units
    missing: Units
    """What an order still waits for."""
    written_off: Units
    """Of what is released, what was not there."""
    attempt: Attempt | None
    """Where it is about an order's."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a StockLevel says."""

    place: str
    location: str
    sku: str
    available: int
    reserved: int
    shipped: int
    received: int


@dataclass(slots=True)
class Hold:
    """What is set aside for one attempt of an order."""

    place: str
    location: str
    units: Units
    missing: Units
    """What it still waits for."""
    gone: str = ""
    """`released` or `issued`, once it is."""


@dataclass(slots=True)
class Item:
    """One item in one location, as the events leave it."""

    available: int = 0
    reserved: int = 0
    shipped: int = 0
    missing: int = 0
    """What orders wait for: up to that much may have been set aside for them already."""
    untold: str = ""
    """Where the last event is that moved it, until a StockLevel tells what it came to."""
    broken: bool = False
    """Whether something was found: what follows would only follow from it."""

    @property
    def received(self) -> int:
        return self.available + self.reserved + self.shipped


def event_of(turn: tuple[int, int], place: str, message: Held | Moved) -> Event:
    """The message as the book needs it."""
    if isinstance(message, Held):
        missing = message.missing if isinstance(message, StockBackordered) else ()
        attempt = (message.order_id, message.revision, message.attempt)
        units = _added_up((line.sku, line.quantity) for line in message.lines)
        gaps = _added_up((line.sku, line.quantity) for line in missing) if missing else NOTHING
        lost = message.written_off if isinstance(message, StockReleased) else ()
        written_off = _added_up((line.sku, line.quantity) for line in lost) if lost else NOTHING
        return Event(turn, place, type(message), message.location, units, gaps, written_off, attempt)
    return Event(turn, place, type(message), message.location, _changes(message), NOTHING, NOTHING, None)


def _changes(message: Moved) -> Units:
    match message:
        case StockReceived():
            return _added_up((line.sku, line.quantity) for line in message.lines)
        case StockAdjusted():
            return _added_up((line.sku, line.change) for line in message.lines)
        case StockTransferred():
            return _added_up((line.sku, -line.quantity) for line in message.lines)


def _added_up(lines: Iterable[tuple[str, int]]) -> Units:
    units: Units = Counter()
    for sku, quantity in lines:
        units[intern(sku)] += quantity
    return units


class Book:
    """The books of one source, all its locations, from its events and levels in the order in which it wrote them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.items: defaultdict[tuple[str, str], Item] = defaultdict(Item)
        """By location and SKU."""
        self.levels: dict[tuple[str, str], Level] = {}
        """The last StockLevel of each."""
        self.holds: dict[tuple[str, Attempt], Hold] = {}
        """By location and attempt."""
        self.findings: list[Finding] = []

    def hear(self, event: Event) -> None:
        if event.attempt is None:
            for sku, change in event.units.items():
                self._move(event, sku, available=change)
            return
        hold = self.holds.get((event.location, event.attempt))
        if event.kind is StockReleased:
            self._release(event, hold)
        elif event.kind is StockIssued:
            self._issue(event, hold)
        elif hold is not None and hold.gone:
            self._find(event, event.attempt[0], f"says that units are set aside which were {hold.gone} before")
        else:
            self._set_aside(event, event.attempt, hold)

    def _set_aside(self, event: Event, attempt: Attempt, hold: Hold | None) -> None:
        """Set aside what is new in it: a waiting order that got everything is told of all its units."""
        if hold is None:
            hold = self.holds[event.location, attempt] = Hold(event.place, event.location, Counter(), Counter())
        for sku in event.units.keys() | hold.units.keys():
            new = event.units[sku] - hold.units[sku]
            if new < 0:
                self._find(event, attempt[0], f"has {-new} {sku} fewer set aside than before, and none were released")
            self._move(event, sku, available=-new, reserved=new)
        self._wait(event.location, hold.missing, -1)
        self._wait(event.location, event.missing, 1)
        hold.units, hold.missing = event.units, event.missing

    def _release(self, event: Event, hold: Hold | None) -> None:
        order = event.attempt[0] if event.attempt else ""
        if hold is None:
            if event.units:
                self._find(event, order, "releases units that were never set aside")
            return
        if hold.gone:
            return  # said again to somebody who asked again
        for sku in event.units.keys() | event.written_off.keys() | hold.units.keys():
            lost = event.written_off[sku]
            secretly = event.units[sku] + lost - hold.units[sku]
            if not 0 <= secretly <= hold.missing[sku]:
                said = f"releases {event.units[sku] + lost} {sku} where {hold.units[sku]} were set aside"
                self._find(event, order, said)
            self._move(event, sku, available=hold.units[sku] - lost, reserved=-hold.units[sku])
        self._wait(event.location, hold.missing, -1)
        hold.gone = "released"

    def _issue(self, event: Event, hold: Hold | None) -> None:
        order = event.attempt[0] if event.attempt else ""
        if hold is None or hold.gone == "released":
            self._find(event, order, "issues units that are not set aside")
            return
        if hold.gone:
            return  # said again to somebody who asked again
        if event.units != hold.units or hold.missing:
            self._find(event, order, f"issues {_list(event.units)} where {_list(hold.units)} are set aside")
        for sku, units in hold.units.items():
            self._move(event, sku, reserved=-units, shipped=units)
        hold.gone = "issued"

    def _move(self, event: Event, sku: str, *, available: int = 0, reserved: int = 0, shipped: int = 0) -> None:
        if not (available or reserved or shipped):
            return
        item = self.items[event.location, sku]
        item.available += available
        item.reserved += reserved
        item.shipped += shipped
        item.untold = event.place
        if item.available < 0 or item.reserved < 0:
            below = "available" if item.available < 0 else "reserved"
            self._find_of_item(event.place, event.location, sku, item, f"leaves {getattr(item, below)} {below}")

    def _wait(self, location: str, missing: Units, sign: int) -> None:
        for sku, units in missing.items():
            self.items[location, sku].missing += sign * units

    def believe(self, level: Level) -> None:
        """Take over what a StockLevel says, of which the events are not all there."""
        self.items[level.location, level.sku] = Item(level.available, level.reserved, level.shipped)

    def compare(self, level: Level) -> None:
        """Whether a StockLevel says what the events before it come to."""
        item = self.items[level.location, level.sku]
        self.levels[level.location, level.sku] = level
        item.untold = ""
        secretly = item.available - level.available
        if (
            level.received == level.available + level.reserved + level.shipped
            and level.received == item.received
            and level.shipped == item.shipped
            and 0 <= secretly <= item.missing
        ):
            return
        waiting = f", of which up to {item.missing} for orders that wait" if item.missing else ""
        self._find_of_item(
            level.place,
            level.location,
            level.sku,
            item,
            f"says {level.available} available + {level.reserved} reserved + {level.shipped} shipped = "
            f"{level.received} received, but the events come to {item.available} + {item.reserved} + {item.shipped} = "
            f"{item.received}{waiting}",
        )

    def close(self) -> None:
        """Say what was moved and never told."""
        for (location, sku), item in self.items.items():
            if item.untold:
                self._find_of_item(item.untold, location, sku, item, "moves an item whose new StockLevel never came")

    def held(self) -> Iterator[tuple[Attempt, Hold]]:
        """What is set aside, or waits, at the end of the log; where a split found nothing, there is no more to it."""
        return (
            (attempt, hold)
            for (_, attempt), hold in self.holds.items()
            if not hold.gone and (hold.units or hold.missing)
        )

    def _find(self, event: Event, about: str, what: str) -> None:
        self.findings.append(Finding("stock", event.place, about, f"the message here {what} in {event.location}"))

    def _find_of_item(self, place: str, location: str, sku: str, item: Item, what: str) -> None:
        if not item.broken:
            item.broken = True
            self.findings.append(Finding("stock", place, f"{sku} in {location}", f"the message here {what}"))


def _list(units: Units) -> str:
    return ", ".join(f"{quantity} {sku}" for sku, quantity in sorted(units.items())) or "nothing"
