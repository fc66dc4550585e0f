"""A stage for a service's pure core: documents in memory, the time in hand, no I/O."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.message import Message

from chassis.decision import AlarmRang, Call, CallAnswered, D, Document, Documents, Input
from chassis.ports import Count, Sort
from chassis.service import Decide, Needs, needed
from chassis.stuck.document import Stuck

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Rehearsal:
    """Feeds inputs to `decide` and keeps what it changes, as a partition would.

    It loads only what `needs` asked for, so a document that was forgotten there shows up as a KeyError.
    """

    def __init__(self, needs: Needs, decide: Decide, now: datetime = NOON) -> None:
        self.needs = needs
        self.decide = decide
        self.now = now
        self.documents: dict[str, Document] = {}

    def take(self, *inputs: Input) -> tuple[Message, ...]:
        """Everything that is said in answer to the inputs, in order."""
        said: list[Message] = []
        for message in inputs:
            decision = self.decide(needed(self.needs, message, self.documents), message, self.now)
            self.documents.update({document.key: document for document in decision.documents})
            said.extend(decision.messages)
        return tuple(said)

    def get(self, model: type[D], id: str) -> D | None:  # noqa: A002 - it is the field's name
        """The document as it is now, or None."""
        return Documents({model.key_of(id): self.documents.get(model.key_of(id))}).get(model, id)

    def advance(self, by: timedelta) -> tuple[Message, ...]:
        """Let time pass, ringing every alarm that comes due, the earliest first."""
        until = self.now + by
        said: list[Message] = []
        while due := [
            (document.alarm, document.key)
            for document in self.documents.values()
            if document.alarm is not None and document.alarm <= until
        ]:
            moment, key = min(due)
            self.now = max(self.now, moment)
            before = self.documents[key]
            said.extend(self.take(AlarmRang(key)))
            if self.documents[key].alarm == before.alarm:
                msg = f"{key} heard its alarm and did not clear it"
                raise AssertionError(msg)
        self.now = until
        return tuple(said)

    @property
    def calls(self) -> tuple[tuple[str, Call], ...]:
        """The calls that are still to be answered, each with the key of the document that holds it."""
        return tuple((document.key, call) for document in self.documents.values() for call in document.calls)

    def answer(self, reply: Callable[[Call], object]) -> tuple[Message, ...]:
        """Answer every pending call once, with what `reply` says to it."""
        said: list[Message] = []
        for key, call in self.calls:
            said.extend(self.take(CallAnswered(key, call, reply(call))))
        return tuple(said)


class Shelf:
    """What an API module gets in a test: it reads a rehearsal's documents, and keeps what is published."""

    def __init__(self, stage: Rehearsal) -> None:
        self.stage = stage
        self.published: list[Message] = []

    async def get(self, model: type[D], id: str, /) -> D | None:  # noqa: A002 - it is the field's name
        return self.stage.get(model, id)

    async def find(self, model: type[D], where: Mapping[str, object], /, *, sort: Sort, limit: int) -> list[D]:
        found = [
            (document.model_dump(mode="json"), document)
            for document in self.stage.documents.values()
            if isinstance(document, model) and _matches(document.model_dump(mode="json"), where)
        ]
        for name, direction in reversed(sort):
            found.sort(key=lambda pair: _value(pair[0], name), reverse=direction < 0)
        return [document for _, document in found[:limit]]

    async def stuck(self) -> AsyncIterator[Count]:
        for document in self.stage.documents.values():
            if isinstance(document, Stuck) and document.open:
                yield Count(document.partition, document.kind, document.why, 1, document.since)

    async def publish(self, message: Message, /) -> str:
        self.published.append(message)
        return f"test/{len(self.published)}"


def _value(body: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a document holds anything
    """What stands at a dotted name; None if there is no such field, as in MongoDB."""
    value: Any = body
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _matches(body: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """The part of MongoDB's query language that our APIs speak. Raises NotImplementedError for any other."""
    return all(
        any(_matches(body, part) for part in condition)
        if name == "$or"
        else all(_holds(_value(body, name), operator, bound) for operator, bound in _operators(condition))
        for name, condition in where.items()
    )


def _operators(condition: object) -> Sequence[tuple[str, Any]]:
    return list(condition.items()) if isinstance(condition, dict) else [("$eq", condition)]


def _holds(value: Any, operator: str, bound: Any) -> bool:  # noqa: ANN401 - a document holds anything
    match operator:
        case "$eq":
            return bool(value == bound)
        case "$in":
            return value in bound
        case "$gt":
            return value is not None and bool(value > bound)
        case "$gte":
            return value is not None and bool(value >= bound)
        case "$lt":
            return value is not None and bool(value < bound)
        case "$elemMatch":
            return any(_matches(element, bound) for element in value or ())
        case _:
            raise NotImplementedError(operator)
