"""Every movement of stock that was asked for was booked or refused, or is still to be taken; and nothing was booked but
what was asked for, once, and in the quantities that were asked for.

So stock that one location sent to another arrives there, all of it and no more: a transfer asks the other location to
receive it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.inventory import (
    AdjustStock,
    MovementRefused,
    ReceiveStock,
    ReceiveTransfer,
    SkuChange,
    StockAdjusted,
    StockReceived,
    StockTransferred,
    TransferStock,
)
from inventory.movements import arrival_of
from inventory.state import Movement as Kept

from oms.audit.finding import Finding
from oms.audit.spool import Spool
from oms.history.lives import Lives
from oms.history.logged import Logged, logged

Asked = ReceiveStock | ReceiveTransfer | AdjustStock | TransferStock
Booked = StockReceived | StockAdjusted | StockTransferred
Answer = Booked | MovementRefused


@dataclass(frozen=True, slots=True)
class Movement:
    """What the log says about one movement."""

    location: str
    movement_id: str
    asked: list[tuple[Logged, Asked]] = field(default_factory=list)
    """Several may come under one id: the first of them is done or refused."""
    answers: list[tuple[Logged, Answer]] = field(default_factory=list)
    """What became of it, as far as it counts today; what was published again after a crash, once."""
    departures: list[tuple[Logged, StockTransferred]] = field(default_factory=list)
    """If it is the arrival of a transfer, how that left the other location."""

    def findings(self, lives: Lives) -> Iterator[Finding]:
        asked = [_content(message) for _, message in self.asked]
        lines: set[str] = set()
        for one, message in self.answers:
            if not asked:
                yield self._finding(one, "answers a movement that nobody asked for")
            if not isinstance(message, Booked):
                continue
            line = lives.of(one.envelope.source).line
            if line in lines:
                yield self._finding(one, "books a movement for the second time")
            elif asked and _content(message) not in asked:
                yield self._finding(one, "books something else than the movement was asked for")
            lines.add(line)  # a book whose database was wiped begins another, and books everything once more
        is_refused = bool(self.answers) and not any(isinstance(message, Booked) for _, message in self.answers)
        left = [_units(message) for _, message in self.departures]
        for one, asking in self.asked:
            if isinstance(asking, ReceiveTransfer) and _units(asking) not in left:
                yield self._finding(one, "brings something else than left the other location")
            elif isinstance(asking, ReceiveTransfer) and is_refused:
                yield self._finding(one, "brings what left the other location, and is refused: it is nowhere now")

    def _finding(self, one: Logged, what: str) -> Finding:
        return Finding("stock", one.place, f"movement {self.movement_id}", f"the message here {what}")


class Movements:
    """Takes the movements and the ledger of the inventory service, in any order."""

    def __init__(self) -> None:
        self._spool = Spool()

    def close(self) -> None:
        """Remove the files."""
        self._spool.close()

    def take(self, one: Logged) -> None:
        message = one.message
        if isinstance(message, Asked | Answer):
            place = _place(message)
            self._spool.add(place, one.record)
            if isinstance(message, StockTransferred):
                self._spool.add(Kept.place(message.to_location, arrival_of(place)), one.record)

    def gathered(self, lives: Lives) -> Iterator[Movement]:
        """Each movement of which anything is told."""
        for place, records in self._spool.gathered():
            location, _, movement_id = place.partition("/")
            movement = Movement(location, movement_id)
            turns: set[tuple[str, tuple[int, int]]] = set()
            for one in map(logged, records):
                message = one.message
                if isinstance(message, Asked):
                    movement.asked.append((one, message))
                elif one.turn is None:
                    continue  # nobody but a book may answer; what others say is found as such
                elif isinstance(message, StockTransferred) and _place(message) != place:
                    movement.departures.append((one, message))
                elif isinstance(message, Answer) and lives.counts(one) and (one.envelope.source, one.turn) not in turns:
                    turns.add((one.envelope.source, one.turn))
                    movement.answers.append((one, message))
            yield movement


def _place(message: Asked | Answer) -> str:
    return Kept.place(message.location, message.movement_id)


def _content(message: Asked | Booked) -> tuple[str, Counter[str]]:
    """What a movement comes to: of which kind it is and where it leads, and its units by SKU."""
    match message:
        case ReceiveStock() | ReceiveTransfer() | StockReceived():
            return "receive", _units(message)
        case TransferStock() | StockTransferred():
            return f"transfer to {message.to_location}", _units(message)
        case AdjustStock() | StockAdjusted():
            return "adjust", _units(message)


def _units(message: Asked | Booked) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in message.lines:
        units[line.sku] += line.change if isinstance(line, SkuChange) else line.quantity
    return units
