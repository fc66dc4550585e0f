"""What the log says about one order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from chassis.service import Salvage
from contracts.message import Message
from contracts.order import (
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderRejected,
    OrderShipped,
    OrderValidated,
    StepSkipped,
)
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME
from contracts.wire import Envelope, decode, salvaged

M = TypeVar("M", bound=Message)
Ending = OrderCompleted | OrderRejected | OrderCancelled
STATE_AFTER: dict[type[Message], str] = {
    OrderValidated: "validated",
    OrderBackordered: "backordered",
    OrderConfirmed: "confirmed",
    OrderShipped: "shipped",
    OrderCompleted: "completed",
    OrderRejected: "rejected",
    OrderCancelled: "cancelled",
}
"""What an order is after each of its events, in a word."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A message and the record that carries it."""

    record: Record
    envelope: Envelope
    turn: tuple[int, int] | None
    """Its place in everything that its source ever wrote: the entry, and the place in it.

    None if it was not written by a partition of a service that owns the topic, whose ids say so.
    """

    @property
    def message(self) -> Message:
        return self.envelope.message

    @property
    def place(self) -> str:
        return self.record.place


def logged(record: Record, salvage: Salvage = lambda _record, _reasons: None) -> Logged:
    """The message of a record, or what can be salvaged of it. Raises Unreadable when nothing can."""
    try:
        envelope = decode(record)
    except Unreadable as unreadable:
        message = salvage(record, unreadable.reasons)
        if message is None:
            raise
        envelope = salvaged(record, message)
    return Logged(record, envelope, _turn_of(record.topic, envelope))


def _turn_of(topic: str, envelope: Envelope) -> tuple[int, int] | None:
    source, entry, place = [*envelope.id.rsplit("/", 2), "", ""][:3]
    is_writer = source == envelope.source and source.partition("/")[0] in BY_NAME[topic].writers
    if is_writer and entry.isdecimal() and place.isdecimal():
        return int(entry), int(place)
    return None


@dataclass(slots=True)
class History:
    """Every message about one order, each topic partition's in order; what came twice on a link counts once."""

    order_id: str
    messages: list[Logged] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, logged: Logged) -> None:
        if logged.envelope.sequence is not None:
            name = (logged.record.topic, logged.envelope.id)
            if name in self._seen:
                return
            self._seen.add(name)
        self.messages.append(logged)

    def of(self, *models: type[M]) -> Iterator[tuple[Logged, M]]:
        """The messages of these types."""
        for logged in self.messages:
            if isinstance(logged.message, models):
                yield logged, logged.message

    def skipped(self, revision: int) -> set[str]:
        """The steps of a placing that a person took as done, or their undos, though nobody said so."""
        return {message.step for _, message in self.of(StepSkipped) if message.revision == revision}

    def endings(self) -> dict[int, tuple[Logged, Ending]]:
        """By revision, what it came to, as it was said first."""
        found: dict[int, tuple[Logged, Ending]] = {}
        for logged in self.messages:
            if isinstance(logged.message, Ending):
                found.setdefault(logged.message.revision, (logged, logged.message))
        return found
