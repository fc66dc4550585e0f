"""Where a log begins late: what its retention has cut off is not lost, and what began before it is not all there."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.kafka.partitioner import home_of
from contracts.inventory import ReserveStock, StockBackordered, StockRejected, StockReserved
from contracts.order import OrderPlaced
from contracts.record import Record
from contracts.topics import TOPICS
from order.repair import Request
from order.state import MalformedOrder

from oms.history.lives import FOR_EVER
from oms.history.logged import History
from oms.history.repairs import AnswerAboutOrder
from oms.history.replay import SERVICE
from oms.log import Part, Spans

Placing = OrderPlaced | MalformedOrder
BookAnswer = StockReserved | StockBackordered | StockRejected
APART_MS = 60_000
"""The clocks of those who write are not further apart."""
SELDOM = frozenset({"order.repairs", "inventory.commands"})
"""What people ask for about orders, and what is asked of the books of locations. There may be so little of it in a
partition that nobody could say since when all is there. Whether it is there of an order, the answers to it tell."""
OF_ORDERS = frozenset(
    topic.name
    for topic in TOPICS
    if topic.key == ("order_id",) and SERVICE in {topic.owner, *topic.readers} and topic.name not in SELDOM
)
"""The other topics that say what became of an order, each in the partition of that."""
OF_STOCK = frozenset({"inventory.events", "inventory.ledger", "inventory.stock"})
OF_MOVEMENTS = frozenset({"inventory.movements", "inventory.transfers", "inventory.ledger"})


@dataclass(frozen=True, slots=True, order=True)
class Late:
    """A topic partition that does not begin with its first record."""

    place: str
    """What it begins with, as `topic/partition/offset`."""
    since: datetime | None
    """When that was written; None where nothing is left."""


class Beginnings:
    """Takes all records, each topic partition's in order; `spans` says where these begin and end."""

    def __init__(self, spans: Spans, partitions: int) -> None:
        self._partitions = partitions
        self._offsets: dict[Part, int] = {part: start for part, (start, _) in spans.items() if start > 0}
        self._since: dict[Part, int] = {}

    def take(self, record: Record) -> None:
        part = (record.topic, record.partition)
        if part in self._offsets:
            self._since.setdefault(part, record.timestamp)

    @property
    def parts(self) -> Collection[Part]:
        """The topic partitions that begin late."""
        return self._offsets.keys()

    def since(self, topics: Collection[str], partition: int | None = None) -> int:
        """Since when all records of these topics are there, in milliseconds since 1970; 0 if none was cut off."""
        late = (part for part in self._offsets if part[0] in topics and partition in {None, part[1]})
        return max((self._since.get(part, FOR_EVER) for part in late), default=0)

    def since_of(self, order_id: str) -> int:
        """The same of what the topics say about an order."""
        return self.since(OF_ORDERS, home_of(order_id, self._partitions))

    def has_all_of(self, history: History) -> bool:
        """Whether all is there about an order, from its first placing on."""
        if not self._offsets:
            return True
        if self.since(SELDOM) and not _answered(history) <= _asked(history):
            return False
        since = self.since_of(history.order_id)
        begun = min((logged.record.timestamp for logged in history.messages), default=0)
        placed = {
            logged.record.timestamp
            for logged in history.messages
            if isinstance(logged.message, Placing) and logged.message.revision == 1
        }
        return not since or (begun in placed and begun > since + APART_MS)

    def late(self) -> list[Late]:
        return sorted(
            Late(f"{topic}/{number}/{offset}", _moment(self._since.get((topic, number))))
            for (topic, number), offset in self._offsets.items()
        )


def _moment(timestamp: int | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp / 1000, UTC)


def _asked(history: History) -> set[object]:
    """What of the seldom topics is there."""
    messages = [logged.message for logged in history.messages]
    repairs = {message.repair_id for message in messages if isinstance(message, Request)}
    return repairs | {_of_book(message) for message in messages if isinstance(message, ReserveStock)}


def _answered(history: History) -> set[object]:
    """What must have been there."""
    messages = [logged.message for logged in history.messages]
    repairs = {message.repair_id for message in messages if isinstance(message, AnswerAboutOrder)}
    return repairs | {_of_book(message) for message in messages if isinstance(message, BookAnswer)}


def _of_book(step: ReserveStock | BookAnswer) -> object:
    return step.revision, step.attempt, step.location
