"""What the engine and the HTTP APIs know of the outside: ports, so that a test or a simulator can stand in for it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from contracts.message import Message
from contracts.record import Headers, Received

from chassis.decision import D
from chassis.entry import Calling, Change, Checkpoint, Entry, Outgoing, Recovered, Stored

RecordPlace = tuple[str, int, int]
"""Where a record is: topic, partition and offset."""
Sort = Sequence[tuple[str, int]]
"""Field names with 1 (ascending) or -1 (descending). Together they tell the documents of a list apart."""
BY_ID: Sort = (("id", 1),)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
"""A moment that never comes."""


class Clock(Protocol):
    """Tells the time; waiting is asyncio's business."""

    def now(self) -> datetime:
        """The time in UTC."""


class Store(Protocol):
    """Keeps the journal, the checkpoints and the documents of a service."""

    async def recover(self, partition: int, writer: str, /) -> Recovered:
        """Take the partition over, so that no earlier owner can write a checkpoint any more, and read its state."""

    async def alarms(
        self, partition: int, since: datetime | None, until: datetime, /
    ) -> Sequence[tuple[str, datetime]]:
        """The keys of the partition's documents that want to be woken from `since` on, None being ever, and before
        `until`, and when; as they were at the last checkpoint.
        """

    async def calling(self, partition: int, since: datetime, some: int, /) -> tuple[Sequence[Calling], datetime]:
        """The partition's documents whose first call is due from `since` on and before the moment that is answered, as
        they were at the last checkpoint.

        That moment is just behind the one at which `some` of them are due, or FOR_EVER where there are fewer.
        """

    async def append(self, entry: Entry, /) -> None:
        """Write an entry for good (majority, journaled), in the place of the entry JOURNAL_PLACES before it.

        A write whose outcome is unknown is read back. Raises Fenced if somebody else wrote this entry or a later one.
        """

    async def load(self, keys: Collection[str], /) -> Mapping[str, Stored]:
        """The documents of these keys that exist, as they were at the last checkpoint."""

    async def checkpoint(self, checkpoint: Checkpoint, changes: Sequence[Change], /) -> None:
        """Write the documents, none over a newer one, and then the checkpoint.

        Raises Fenced if the partition has a new owner, or a later checkpoint.
        """


class Log(Protocol):
    """The topics, as a partition writes them."""

    def partition_of(self, key: str, /) -> int:
        """The partition where everything with this key meets."""

    async def publish(self, records: Sequence[Outgoing], /) -> None:
        """Publish all of them, in order within each topic partition; return when all replicas in sync have them.

        It raises only when the records must be published again, all of them, in order.
        """

    async def read(self, places: Collection[RecordPlace], /) -> Mapping[RecordPlace, Received | None]:
        """The records at these places, None where the topic has none there, or not any more.

        What Kafka does not give in time is left out: some seconds for all of them, for a partition may wait for it.
        """


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets that have no record to be read, up to this one: what an aborted transaction leaves, and the marker that
    ends each transaction. It is delivered in the place of a record, so that a partition gets past it.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


class Unread(bytes):
    """In the place of a record's value: why nobody can read the batch that the record stands for."""


class Damaged(Unread):
    """The batch was good once; perhaps it is whole when it is fetched again."""


class Feed(Protocol):
    """Where the records of one partition come from."""

    async def ends(self, topics: Collection[str], /) -> Mapping[str, int]:
        """By topic, the offset after its last record. Raises when Kafka does not answer."""

    async def start_at(self, positions: Mapping[str, int], topics: Collection[str], /) -> Mapping[str, tuple[int, int]]:
        """Deliver these topics, from these offsets on, from the earliest where there is none; say where each one
        begins and ends.

        Only what is committed is delivered, and where a topic has no record a Hole, at the latest when nothing follows.

        What was fetched before and is delivered late does not count: the partition must not be given it. Raises
        PositionLost if a topic does not reach from there on.
        """

    def pause(self, topics: Collection[str], /) -> None:
        """Deliver nothing of these topics until `resume` or `start_at`."""

    def resume(self, topics: Collection[str], /) -> None:
        """Go on where it was paused."""

    def commit(self, positions: Mapping[str, int], /) -> None:
        """Tell lag monitors how far the partition has come; nothing else depends on it."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many things of one kind are stuck in a partition for one reason."""

    partition: int
    what: str
    """The kind of document that remembers it."""
    why: str
    count: int
    since: datetime
    """Since when the oldest is."""


class Reader(Protocol):
    """Reads documents as they were at the last checkpoint: about a second ago; under load, or where the store is slow,
    ten seconds and more.

    Its methods raise Unavailable when the store does not answer.
    """

    async def get(self, model: type[D], id: str, /) -> D | None:  # noqa: A002 - it is the field's name
        """The document, or None."""

    async def find(self, model: type[D], where: Mapping[str, object], /, *, sort: Sort, limit: int) -> list[D]:
        """At most `limit` documents whose fields match, in MongoDB's query language with their own field names."""

    def stuck(self) -> AsyncIterator[Count]:
        """How much of what waits for a person, in every partition of the service: one kind after the other, last
        the one of which there may be so many that counting takes long.
        """


class Publisher(Protocol):
    """Sends a message from outside any partition: the HTTP APIs' way in."""

    async def publish(self, message: Message, /) -> str:
        """Send it to its topic by its key and return its id once Kafka has it.

        Raises Unavailable when Kafka does not confirm it in time; it may have taken it.
        """


class PositionLost(Exception):  # noqa: N818 - named for what happened
    """A topic does not hold the record that the journal would take next: it was emptied, cut short or made anew."""

    def __init__(self, topic: str, position: int, earliest: int) -> None:
        super().__init__(f"{topic} begins at {earliest}, but the journal goes on at {position}")
        self.topic = topic
        self.position = position
        self.earliest = earliest


class RecordDamaged(Exception):  # noqa: N818 - named for what happened
    """What Kafka keeps is not what was written to it."""


class Unavailable(Exception):  # noqa: N818 - named for the state
    """Something we depend on does not answer; the caller may try again."""
