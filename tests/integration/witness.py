"""Reads every topic as it is written, so that tests wait for what they expect to be said and for nothing else."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from chassis.kafka.batches import forgive
from contracts.inventory import Movement, ReceiveStock, StockLevel
from contracts.message import Message, Reason
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME, PARTITIONS, TOPICS
from contracts.wire import Envelope
from oms.history.logged import History, Logged, logged

M = TypeVar("M", bound=Message)
T = TypeVar("T")

SLICE_S = 0.5
PATIENCE_S = 20.0
"""Far more than anything takes on a machine at rest; a test that fails says so after this long."""


class Buried(NamedTuple):
    """A record that could not be handled, and why."""

    reasons: tuple[Reason, ...]
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def paths(self) -> set[str]:
        return {reason.path for reason in self.reasons}

    @property
    def codes(self) -> set[str]:
        return {reason.code for reason in self.reasons}


class Witness:
    """Remembers all that was said. It is in no group, commits nothing, and no service notices it."""

    def __init__(self, brokers: str) -> None:
        forgive()
        self._consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4_194_304,
        )
        names = [name for topic in TOPICS for name in (topic.name, *([topic.dead_letter] if topic.readers else []))]
        self._parts = [TopicPartition(name, partition) for name in names for partition in range(PARTITIONS)]
        self._orders: dict[str, History] = {}
        self._movements: dict[str, Movement] = {}
        self._levels: dict[tuple[str, str], StockLevel] = {}
        self._deliveries: set[tuple[str, str]] = set()
        self._buried: dict[str, Buried] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._news = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.assign(self._parts)
        self._listening = asyncio.create_task(self._listen(), name="witness")

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await self._consumer.stop()

    async def _listen(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=100)
            for records in fetched.values():
                for one in records:
                    self._take(
                        Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
                    )
            # At the end of a topic there may be no record, but the marker of a transaction.
            before, self._positions = (
                self._positions,
                {part: await self._consumer.position(part) for part in self._parts},
            )
            if self._positions != before:
                async with self._news:
                    self._news.notify_all()

    def _take(self, record: Record) -> None:
        if record.topic not in BY_NAME:
            headers = dict(record.headers)
            reasons = tuple(Reason.model_validate(reason) for reason in json.loads(headers["dead_letter_reasons"]))
            self._buried[headers["dead_letter_from"].decode()] = Buried(reasons, record.key, record.value, headers)
            return
        try:
            taken = logged(record)
        except Unreadable:
            return  # what the services make of it is what tests ask for
        message = taken.message
        if isinstance(message, StockLevel):
            self._levels[message.location, message.sku] = message
        elif isinstance(message, ReceiveStock):
            self._deliveries.update((message.location, line.sku) for line in message.lines)
        elif isinstance(message, Movement):
            self._movements[message.movement_id] = message
        elif (order_id := getattr(message, "order_id", None)) is not None:
            self._orders.setdefault(order_id, History(order_id)).add(taken)

    # Waiting.

    async def until(self, look: Callable[[], T | None], what: Callable[[], str], within_s: float = PATIENCE_S) -> T:
        """What `look` finds as soon as it finds something. Fails, saying what was awaited, if it never does."""
        found: T | None = None

        def looked() -> bool:
            nonlocal found
            found = look()
            return found is not None

        async with self._news:
            # In slices, so that a machine that stands still for a minute costs one of them and not all patience.
            for _ in range(int(within_s / SLICE_S)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(SLICE_S):
                        await self._news.wait_for(looked)
                if found is not None:
                    break
        if self._listening is not None and self._listening.done():
            await self._listening  # it raises why nothing was heard any more
        assert found is not None, f"{what()}\nwas awaited for {within_s:.0f} s"
        return found

    async def caught_up(self) -> None:
        """Wait until all that is on the topics now was read."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._parts)

        def there() -> bool | None:
            behind = [part for part in self._parts if self._positions.get(part, 0) < ends[part]]
            return True if not behind else None

        await self.until(there, lambda: "the end of the topics")

    # What was said about an order.

    async def hears(self, order_id: str, *models: type[M], within_s: float = PATIENCE_S, **fields: object) -> M:
        """The first message of one of these types about an order that has these fields."""
        wanted = " or ".join(model.__name__ for model in models)
        return await self.until(
            lambda: next(self.said(order_id, *models, **fields), None),
            lambda: f"{wanted} {fields or ''} about {order_id}; what was said is\n{self.story(order_id)}",
            within_s,
        )

    async def hears_times(self, times: int, order_id: str, model: type[M]) -> None:
        """Wait until a message of this type was said so many times about an order, or more often."""
        await self.until(
            lambda: len(list(self.said(order_id, model))) >= times or None,
            lambda: f"{times} {model.__name__} about {order_id}; what was said is\n{self.story(order_id)}",
        )

    def said(self, order_id: str, *models: type[M], **fields: object) -> Iterator[M]:
        """Every message of these types about an order that has these fields."""
        for one in self._messages(order_id):
            message = one.message
            if isinstance(message, models) and all(getattr(message, name) == value for name, value in fields.items()):
                yield message

    def told(self, order_id: str) -> list[type[Message]]:
        """The types of all that the order service said about an order, in its order, however the topics mix it."""
        by_turn = [
            (one.turn, type(one.message))
            for one in self._messages(order_id)
            if one.turn is not None and BY_NAME[one.record.topic].owner == "order"
        ]
        return [model for _, model in sorted(by_turn, key=lambda pair: pair[0])]

    def envelopes(self, order_id: str) -> list[Envelope]:
        """All that was said about an order, and what is known about its way."""
        return [one.envelope for one in self._messages(order_id)]

    def story(self, order_id: str) -> str:
        """All that was said about an order, for people."""
        messages = self._messages(order_id)
        lines = [f"  {one.envelope.time:%H:%M:%S.%f} {one.place:28} {one.message!r}"[:300] for one in messages]
        return "\n".join(lines) or "  nothing"

    # What was said about everything else.

    async def is_to_have(self, location: str, sku: str) -> None:
        """Wait until a location is told that it has got some of an item."""
        await self.until(lambda: (location, sku) in self._deliveries or None, lambda: f"{sku} for {location}")

    async def moved(self, movement_id: str) -> Movement:
        """What the ledger says of a movement."""
        return await self.until(lambda: self._movements.get(movement_id), lambda: f"the movement {movement_id}")

    async def stands(self, location: str, sku: str, *, available: int, reserved: int = 0, shipped: int = 0) -> None:
        """Wait until an item has come to these levels."""
        wanted = (available, reserved, shipped)

        def looked() -> StockLevel | None:
            level = self._levels.get((location, sku))
            now = (level.available, level.reserved, level.shipped) if level is not None else (0, 0, 0)
            return level if now == wanted else None

        await self.until(looked, lambda: f"{wanted} of {sku} in {location}: {self._levels.get((location, sku))!r}")

    async def buried(self, place: str) -> Buried:
        """The dead letter of the record at `topic/partition/offset`."""
        return await self.until(lambda: self.buried_at(place), lambda: f"a dead letter of {place}")

    def buried_at(self, place: str) -> Buried | None:
        return self._buried.get(place)

    def _messages(self, order_id: str) -> list[Logged]:
        """All about an order in the order in which it was said, which is not that in which the topics were read."""
        history = self._orders.get(order_id) or History(order_id)
        return sorted(history.messages, key=lambda one: (one.envelope.time, one.turn or (0, 0)))
