"""Nothing was passed over: what the order service was sent, it has taken, in order; what it could not read, it buried.
So has the inventory service taken the movements of stock.

A service takes the records of a partition in order. So if one of them was answered, all before it have been taken; one
that should have been answered and was not is lost. What comes after the last that was answered may just have to wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.record import Record, place_on_log
from contracts.topics import BY_NAME

from oms.audit.beginnings import APART_MS, Beginnings
from oms.audit.finding import Finding, Waiting
from oms.audit.movements import Movement
from oms.history.replay import Replay


@dataclass(frozen=True, slots=True)
class Due:
    """A record that should have led to something."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    about: str
    """The order, the location or whatever else is parked together with it."""
    what: str

    @property
    def place(self) -> str:
        return place_on_log(self.topic, self.partition, self.offset)


class Delivery:
    """Takes what was answered and what was not."""

    def __init__(self, beginnings: Beginnings) -> None:
        self._beginnings = beginnings
        self._answered: dict[tuple[str, int], int] = {}
        """By topic partition, the last offset that was."""
        self._due: list[Due] = []

    def answered(self, record: Record) -> None:
        part = (record.topic, record.partition)
        self._answered[part] = max(record.offset, self._answered.get(part, -1))

    def due(self, record: Record, about: str, what: str) -> None:
        self._due.append(Due(record.topic, record.partition, record.offset, record.timestamp, about, what))

    def replayed(self, replay: Replay) -> None:
        """Take in which inputs of an order were answered."""
        for step in replay.transitions:
            if step.cause is not None and step.said:
                self.answered(step.cause.record)
        if replay.differences:
            return  # where the log and `decide` part ways, nobody can say what should have been answered
        for untaken in replay.untaken:
            self.due(untaken.record, replay.order_id, f"{type(untaken.message).__name__} should have been answered")

    def moved(self, movement: Movement) -> None:
        """Take in whether a movement of stock was booked or refused, and whether what left is on its way."""
        if not movement.answers:
            for asked, message in movement.asked:
                what = f"{type(message).__name__} {movement.movement_id} should have been booked"
                self.due(asked.record, movement.location, what)
        elif movement.asked:
            self.answered(movement.asked[0][0].record)
        for departed, transferred in movement.departures:
            if movement.asked:
                self.answered(departed.record)
            else:
                what = f"what left by {transferred.movement_id} should have been sent on to {movement.location}"
                self.due(departed.record, movement.location, what)

    def conclude(self, buried: set[str], parked: set[tuple[str, str]]) -> Iterator[Finding | Waiting]:
        """What was lost, and what is still to be taken; `buried` are dead letters, `parked` what is, by service."""
        for due in self._due:
            if due.place in buried or self._may_be_cut_off(due):
                continue
            if any((reader, due.about) in parked for reader in BY_NAME[due.topic].readers):
                yield Waiting(due.about, "parked", f"{due.what}: it is parked since `decide` failed on it")
            elif due.offset < self._answered.get((due.topic, due.partition), -1):
                yield Finding("delivery", due.place, due.about, f"{due.what}, as later ones were, and was passed over")
            else:
                yield Waiting(due.about or due.place, "not taken", f"{due.what} and was not yet: {due.place}")

    def _may_be_cut_off(self, due: Due) -> bool:
        """Whether what should have come of it, the same record elsewhere or a dead letter, may have come."""
        since = self._beginnings.since((due.topic, BY_NAME[due.topic].dead_letter))
        return since > 0 and due.timestamp <= since + APART_MS
