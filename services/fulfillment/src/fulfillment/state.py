"""What the fulfillment service remembers: one document an attempt, with a pick list for each location."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Literal, Self

from chassis.decision import Document
from contracts.fulfillment import Pick, PickedLine
from contracts.message import Reason, SagaStep, Value, names_of

ListState = Literal["picking", "picked", "packed", "to_put_back", "called_off"]
State = Literal["picking", "picked", "packed", "failed", "cancelled", "tombstone"]


class PickLine(Value):
    """One item in one bin."""

    sku: str
    """The item."""
    bin: str
    """The shelf or bin; empty when nobody knows."""
    quantity: int
    """Units to pick."""
    picked: int = 0
    """Units taken off the shelf so far."""


class PickList(Value):
    """What is picked and packed in one location."""

    location: str
    """Where."""
    lines: tuple[PickLine, ...]
    """One line an item and bin, in the order in which a picker walks past the bins."""
    state: ListState = "picking"
    """How far it is; `called_off` when its order does not want it any more and nothing of it is off the shelf."""

    def line(self, sku: str, bin: str) -> PickLine | None:  # noqa: A002 - it is the field's name
        return next((line for line in self.lines if (line.sku, line.bin) == (sku, bin)), None)

    def with_picked(self, progress: Iterable[PickedLine]) -> Self:
        """The list after these lines went on. A total never goes back, so late and repeated reports change nothing."""
        reported = {(line.sku, line.bin): line.picked for line in sorted(progress, key=lambda line: line.picked)}
        lines = tuple(
            line.model_copy(
                update={"picked": max(line.picked, min(line.quantity, reported.get((line.sku, line.bin), 0)))}
            )
            for line in self.lines
        )
        done = all(line.picked == line.quantity for line in lines)
        return self._gone_on(lines, "picked" if done else self.state)

    def all_picked(self) -> Self:
        return self if self.state == "packed" else self._complete("picked")

    def all_packed(self) -> Self:
        """What is in a parcel has been picked, whether or not somebody said so."""
        return self._complete("packed")

    def taken_as_packed(self) -> Self:
        """The list of an order that ships, whatever became of it: nothing of it is to be put back."""
        return self.model_copy(update={"lines": self._all_lines_picked(), "state": "packed"})

    def _complete(self, state: ListState) -> Self:
        return self._gone_on(self._all_lines_picked(), state)

    def _all_lines_picked(self) -> tuple[PickLine, ...]:
        return tuple(line.model_copy(update={"picked": line.quantity}) for line in self.lines)

    def _gone_on(self, lines: tuple[PickLine, ...], state: ListState) -> Self:
        """What is taken off the shelf for an order that does not want it any more is to be put back."""
        if self.state in {"to_put_back", "called_off"}:
            state = self.state if lines == self.lines else "to_put_back"
        return self.model_copy(update={"lines": lines, "state": state})

    def called_off(self) -> Self:
        """The list of an order that does not want it any more."""
        state = "to_put_back" if any(line.picked for line in self.lines) else "called_off"
        return self.model_copy(update={"state": state})

    def put_back(self) -> Self:
        return self.model_copy(update={"state": "called_off"})


class Fulfillment(Document):
    """One attempt at having one placing of an order picked and packed."""

    kind: ClassVar[str] = "fulfillments"

    order_id: str
    """The order, as `<channel>:<number>`."""
    revision: int
    """Which placing of the order this is."""
    attempt: int
    """Which attempt at its fulfillment this is."""
    state: State
    """`tombstone`: it was cancelled before anybody asked for it."""
    requested_at: datetime
    """When it was asked for, or cancelled if that came first."""
    since: datetime | None = None
    """When it came into its state; None where a version brought it there that did not remember it."""
    lists: tuple[PickList, ...] = ()
    """The pick lists, one a location."""
    special_instructions: str = ""
    """What the customer wants the packers to know."""
    failure: Reason | None = None
    """Why it failed, also where a person has taken it as done since."""
    not_found: tuple[Pick, ...] = ()
    """What of it was not there."""

    @classmethod
    def begin(cls, command: SagaStep, state: State, now: datetime) -> Self:
        names = names_of(command)
        return cls(id=fulfillment_id(**names), state=state, requested_at=now, since=now, **names)

    @property
    def at_work(self) -> bool:
        """Whether people have still to pick or pack."""
        return self.state in {"picking", "picked"}

    def list_at(self, location: str) -> PickList | None:
        return next((pick_list for pick_list in self.lists if pick_list.location == location), None)


def fulfillment_id(order_id: str, revision: int, attempt: int) -> str:
    return f"{order_id}/{revision}/{attempt}"


def pick_lists(picks: Iterable[Pick]) -> tuple[PickList, ...]:
    """One list a location and one line an item and bin, however the command spread them, each in walk order."""
    wanted: dict[str, dict[tuple[str, str], int]] = {}
    for pick in picks:
        lines = wanted.setdefault(pick.location, {})
        for line in pick.lines:
            lines[line.bin, line.sku] = lines.get((line.bin, line.sku), 0) + line.quantity
    return tuple(
        PickList(
            location=location,
            lines=tuple(
                PickLine(sku=sku, bin=bin_, quantity=quantity)
                for (bin_, sku), quantity in sorted(lines.items(), key=lambda item: _walk_order(*item[0]))
            ),
        )
        for location, lines in wanted.items()
    )


def _walk_order(bin_: str, sku: str) -> tuple[bool, list[str | int], str]:
    """Bins by their names with numbers read as numbers, so that A-2 comes before A-10; what has no bin comes last."""
    parts: list[str | int] = [
        int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", bin_))
    ]
    return not bin_, parts, sku


DOCUMENTS: tuple[type[Document], ...] = (Fulfillment,)
"""Every kind of document that this service keeps."""
