"""What makes a service: its pure core and the few things of the outside world that it needs."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from contracts.message import Message, Reason
from contracts.record import Received

from chassis.decision import AlarmRang, Call, CallAnswered, Decision, Document, Documents, Input

Copy = Any
"""What a view shows of a document. It must be small and must not hold the document: many may be waiting at once."""


class Decide(Protocol):
    """Pure and total: the same documents, input and time give the same decision, and nothing is refused by raising."""

    def __call__(self, documents: Documents, message: Input, now: datetime, /) -> Decision: ...


class Needs(Protocol):
    """The keys of the documents that deciding this input needs.

    It is asked again with what it asked for, until it asks for nothing new, so that one document may lead to the next.
    """

    def __call__(self, message: Input, documents: Documents, /) -> Iterable[str]: ...


def needed(needs: Needs, message: Input, known: Mapping[str, Document]) -> Documents:
    """What deciding an input needs of all the documents that are known, and no more than that."""
    found: dict[str, Document | None] = {}
    if isinstance(message, AlarmRang | CallAnswered):
        found[message.document] = known.get(message.document)
    while missing := [key for key in needs(message, Documents(found)) if key not in found]:
        found.update({key: known.get(key) for key in missing})
    return Documents(found)


class Gateway(Protocol):
    """The outside world. An exception or a time-out means that the outcome is unknown."""

    async def perform(self, call: Call, /) -> object: ...


class Outside:
    """The outside world of a service: how it is called, and what bounds that, for all partitions of a process."""

    def __init__(self, gateway: Gateway, *, timeout_s: float, at_once: int) -> None:
        self.gateway = gateway
        self.timeout_s = timeout_s
        """After how long a call counts as unanswered."""
        self.slots = asyncio.Semaphore(at_once)
        """Each call that is being made takes one."""


class _Nobody:
    """The gateway of a service that calls nobody."""

    async def perform(self, call: Call, /) -> object:
        raise RuntimeError(f"there is no gateway for {call.id}")


class View(Protocol):
    """What is shown of the state elsewhere, such as Redis; losing it loses nothing but speed."""

    def of(self, document: Document, /) -> Copy | None:
        """What is to be shown of a document that changed; None if nothing."""

    async def show(self, shown: Sequence[Copy], /) -> None:
        """Show what `of` made of some documents, each as it is now. Where that fails, it comes again later."""


class Salvage(Protocol):
    """What can still be understood of a record that is not a valid message, or None if it must become a dead letter."""

    def __call__(self, record: Received, reasons: tuple[Reason, ...], /) -> Message | None: ...


@dataclass(frozen=True, slots=True)
class Index:
    """A query on documents of one kind that must be fast, as field names with 1 (ascending) or -1 (descending)."""

    kind: str
    fields: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """Documents that count as stuck, because they have waited for something for too long."""

    kind: str
    what: str
    """What they are called among all that is stuck."""
    since_ms: str
    """The field that says since when, in milliseconds since 1970 (UTC); it is None where nothing is waited for."""
    why: str
    """The field that says why, in a word."""
    after: timedelta
    """How long is too long."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service, as the chassis runs it."""

    name: str
    topics: tuple[str, ...]
    """The topics it listens to."""
    documents: tuple[type[Document], ...]
    """Every kind of document it keeps."""
    needs: Needs
    decide: Decide
    outside: Outside = field(default_factory=lambda: Outside(_Nobody(), timeout_s=1, at_once=1))
    """Whom it calls."""
    salvage: Salvage | None = None
    view: View | None = None
    indexes: tuple[Index, ...] = ()
    overdue: Overdue | None = None
