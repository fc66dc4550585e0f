"""What the engine and the HTTP APIs know of the outside: ports, so that a test or a simulator can stand in for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from contracts.message import Message

from chassis.decision import D


class Reader(Protocol):
    """Reads documents as they were at the last checkpoint, about a second ago at the most."""

    async def get(self, model: type[D], id: str, /) -> D | None:  # noqa: A002 - it is the field's name
        """The document, or None."""

    async def find(
        self,
        model: type[D],
        where: Mapping[str, object],
        /,
        *,
        sort: Sequence[tuple[str, int]] = (("id", 1),),
        limit: int = 100,
    ) -> list[D]:
        """Documents whose fields match, MongoDB's query language with the document's own field names."""


class Publisher(Protocol):
    """Sends a message from outside any partition: the HTTP APIs' way in."""

    async def publish(self, message: Message, /) -> str:
        """Send it to its topic by its key and return its id once Kafka has it.

        Raises Unavailable when Kafka does not take it in time.
        """


class Unavailable(Exception):  # noqa: N818 - named for the state
    """Something we depend on does not answer; the caller may try again."""
