"""Hostile records by the thousand, written to the real topics among good orders, and what becomes of each of them."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from contracts.message import Message, Reason
from contracts.order import CancellationRefused, OrderCompleted, OrderRejected, PlacementRefused
from contracts.reasons import Unreadable
from contracts.record import Record as Logged
from contracts.record import place_on_log
from contracts.topics import BY_NAME, TOPIC_OF, TOPICS
from contracts.wire import FORWARDED, decode
from oms.log import LogReader
from order.state import MalformedCancellation, MalformedOrder
from order.validation import salvage

from tests.fuzz.battery import names_what_is_wrong
from tests.fuzz.hostile import Record

EVENTS = TOPIC_OF[OrderCompleted].name
OPEN = tuple(topic for topic in TOPICS if topic.open)
PATIENCE_S = 60.0
NOW_MS = 1_767_614_400_000
"""Kafka refuses to its sender what comes from the future, and keeps a file of its own for what comes from the past."""


class Siege:
    """Writes records, and knows what must become of each: it is read as a service reads it, before it is sent."""

    def __init__(self, log: LogReader, producer: Any) -> None:  # noqa: ANN401 - aiokafka ships no types
        self._log = log
        self._producer = producer
        self._news = asyncio.Event()
        self._unburied: set[str] = set()
        """Where the records are that must become dead letters and have not yet."""
        self._early: set[str] = set()
        """Dead letters of records of which Kafka has not yet said where they are."""
        self._unanswered: set[tuple[type[Message], str]] = set()
        """The orders of which a placing or a cancellation must be refused, and is not yet."""
        self._open: set[str] = set()
        """The good orders that are not completed."""
        self.fates: Counter[str] = Counter()
        """How many hostile records are to be dead letters, or are refused to who sent them, or are nothing but odd."""
        self.codes: Counter[str] = Counter()
        """How often each reason was given in dead letters."""
        self.wrong: list[str] = []
        """What was answered without a name, or as no stranger should be."""

    # Sending.

    async def fire(self, hostile: Iterable[Record], good: Iterator[Record], one_in: int) -> None:
        """Write the records, a good order between every so many of them, and wait until Kafka has them all."""
        parts: defaultdict[tuple[str, int], list[tuple[Record, bool]]] = defaultdict(list)
        for number, record in enumerate(hostile):
            is_doomed = self._must_be_buried(replace(record, timestamp=NOW_MS))
            parts[record.topic, record.partition].append((record, is_doomed))
            if number % one_in == 0:
                order = next(good)
                self._open.add((order.key or b"").decode())
                parts[order.topic, order.partition].append((order, False))
        for (topic, partition), records in parts.items():
            await self._write(topic, partition, records)

    async def _write(self, topic: str, partition: int, records: Iterable[tuple[Record, bool]]) -> None:
        batch, doomed = self._producer.create_batch(), []
        for record, is_doomed in records:
            written = {"timestamp": None, "key": record.key, "value": record.value, "headers": record.headers}
            if batch.append(**written) is None:
                await self._send(topic, partition, batch, doomed)
                batch, doomed = self._producer.create_batch(), []
                batch.append(**written)
            doomed.append(is_doomed)
        await self._send(topic, partition, batch, doomed)

    async def _send(self, topic: str, partition: int, batch: Any, doomed: list[bool]) -> None:  # noqa: ANN401 - as above
        sent = await (await self._producer.send_batch(batch, topic, partition=partition))
        places = {place_on_log(topic, partition, sent.offset + number) for number, it in enumerate(doomed) if it}
        self._unburied |= places - self._early
        self._early -= places

    def _must_be_buried(self, record: Record) -> bool:
        try:
            decode(record)
        except Unreadable as unreadable:
            salvaged = salvage(record, unreadable.reasons) if record.topic == "order.intake" else None
            if salvaged is not None and FORWARDED not in dict(record.headers):
                self.fates["refused"] += 1
                self._unanswered.add((type(salvaged), salvaged.order_id))
                return False
            self.fates["buried" if salvaged is None else "refused or buried"] += 1
            return salvaged is None
        self.fates["harmless"] += 1
        return False

    # Listening.

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear what is answered until the block ends."""
        news = self._log.news([EVENTS, *(topic.dead_letter for topic in OPEN)])
        await anext(news)

        async def listen() -> None:
            async for records in news:
                for record in records:
                    self._hear(record)
                if records:
                    self._news.set()

        listener = asyncio.create_task(listen())
        try:
            yield
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    def _hear(self, record: Logged) -> None:
        if record.topic not in BY_NAME:
            self._bury(record)
            return
        message = decode(record).message
        if isinstance(message, OrderCompleted):
            self._open.discard(message.order_id)
        elif isinstance(message, OrderRejected | PlacementRefused):
            self._unanswered.discard((MalformedOrder, message.order_id))
        elif isinstance(message, CancellationRefused):
            self._unanswered.discard((MalformedCancellation, message.order_id))

    def _bury(self, letter: Logged) -> None:
        # Of headers of one name the last one counts: the service's come after those that a stranger wrote.
        headers = dict(letter.headers)
        place = headers["dead_letter_from"].decode()
        reasons = [Reason.model_validate(reason) for reason in json.loads(headers["dead_letter_reasons"])]
        self.codes.update({reason.code for reason in reasons})
        if not names_what_is_wrong(reasons) or {"bug", "parked"} & {reason.code for reason in reasons}:
            self.wrong.append(f"{place}: {reasons}")
        if place in self._unburied:
            self._unburied.remove(place)
        else:
            self._early.add(place)

    async def is_over(self) -> None:
        """Wait until everything is answered. Fails when nothing has been heard for a minute."""
        while left := [*self._unburied, *self._unanswered, *self._open]:
            self._news.clear()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._news.wait()
            except TimeoutError:
                raise AssertionError(f"{len(left)} were never answered, among them {left[:10]}") from None
        self._early.clear()
