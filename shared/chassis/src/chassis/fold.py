"""One batch: inputs in, one journal entry out. No write happens here; only missing documents are read."""

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.message import Message, Reason
from contracts.topics import BY_NAME, TOPIC_OF
from contracts.wire import Envelope, Received, Unreadable, decode, encode, link_of

from chassis.dead_letter import dead_letter
from chassis.decision import AlarmRang, CallAnswered, Decision, Document, Documents, Input
from chassis.entry import Change, Entry, Outgoing, Progress, Stored
from chassis.memory import Memory, Working
from chassis.parking import MOST_RECORDS, Parked, parking_place, with_record
from chassis.ports import Log, Store
from chassis.service import Service
from chassis.telemetry import Meters, logger
from chassis.trace import child_of

Taken = Received | AlarmRang | CallAnswered

MOST_BYTES = 12_000_000
"""An entry holds so much at the most, to stay well under MongoDB's limit of 16 MB a document."""


class TooHeavy(Exception):  # noqa: N818 - named for what the batch is
    """The entry would be too large: fewer inputs must be taken at once."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A message is missing on a link: one was lost, or the topic no longer has it."""

    topic: str
    offset: int
    source: str
    heard: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a message."""

    id: str
    correlation_id: str
    traceparent: str | None


@dataclass(slots=True)
class Folded:
    """What came of a batch."""

    progress: Progress
    entry: Entry | None = None
    """None when nothing changed and nothing is to be said."""
    stored: dict[str, Stored] = field(default_factory=dict)
    gap: Gap | None = None


@dataclass(slots=True)
class Item:
    """An input that is to be decided on."""

    input: Input
    cause: Cause
    key: str
    record: Received | None = None


class Fold:
    """Folds `decide` over one batch of a partition."""

    def __init__(
        self, service: Service, partition: int, log: Log, store: Store, memory: Memory, parked: set[str], meters: Meters
    ) -> None:
        self._service = service
        self._partition = partition
        self._log = log
        self._store = store
        self._memory = memory
        self._parked = set(parked)
        self._meters = meters
        self._working = Working(memory)
        self._said: list[tuple[Message, Cause] | Outgoing] = []

    async def run(
        self, taken: Sequence[Taken], progress: Progress, source: str, number: int, writer: str, now: datetime
    ) -> Folded:
        """Fold the batch into entry `number`; `progress` is copied, not changed. Raises TooHeavy."""
        folded = Folded(progress.copy())
        items = self._read(taken, folded, now)
        await self._prefetch(items)
        for item in items:
            await self._take(item, now)
        changes = tuple(
            Change(
                key=key,
                body=stored.document.__pydantic_serializer__.to_json(stored.document),
                alarm=stored.document.alarm,
                calling=bool(stored.document.calls),
                trace=stored.trace,
                entry=number,
            )
            for key, stored in self._working.changed.items()
        )
        outbox = tuple(self._outbox(folded.progress, source, number, now))
        weight = sum(len(change.body) for change in changes) + sum(len(record.value or b"") for record in outbox)
        if weight > MOST_BYTES and len(taken) > 1:
            raise TooHeavy
        if changes or outbox:
            made = folded.progress.since(progress)
            folded.entry = Entry(self._partition, number, writer, made, changes, outbox)
            folded.stored = self._working.changed
        return folded

    # Reading: what to decide on, what to drop, what becomes a dead letter.

    def _read(self, taken: Sequence[Taken], folded: Folded, now: datetime) -> list[Item]:
        items: list[Item] = []
        for one in taken:
            if isinstance(one, AlarmRang):
                items.append(Item(one, Cause(f"alarm:{one.document}", one.document, None), one.document))
            elif isinstance(one, CallAnswered):
                items.append(Item(one, Cause(f"call:{one.call.id}", one.document, None), one.document))
            elif one.offset >= folded.progress.positions.get(one.topic, 0):
                gap = self._read_record(one, folded.progress, items, now)
                if gap is not None:
                    folded.gap = gap
                    break
        return items

    def _read_record(self, record: Received, progress: Progress, items: list[Item], now: datetime) -> Gap | None:
        link = link_of(record)
        if link is not None:
            source, sequence = link
            heard = progress.heard.get((record.topic, source), 0)
            if sequence > heard + 1:
                return Gap(record.topic, record.offset, source, heard, sequence)
            progress.positions[record.topic] = record.offset + 1
            if sequence <= heard:
                self._meters.echoes.inc()
                return None
            progress.heard[record.topic, source] = sequence
        else:
            progress.positions[record.topic] = record.offset + 1
        try:
            envelope = decode(record)
        except Unreadable as unreadable:
            salvaged = self._service.salvage(record, unreadable.reasons) if self._service.salvage else None
            if salvaged is None:
                self._bury(record, unreadable.reasons, now)
                return None
            headers = dict(record.headers)
            envelope = Envelope(
                message=salvaged,
                id=headers.get("ce_id", b"").decode(errors="replace"),
                source=headers.get("ce_source", b"").decode(errors="replace"),
                time=now,
                correlation_id="",
                causation_id="",
            )
        self._route(record, envelope, items)
        return None

    def _route(self, record: Received, envelope: Envelope, items: list[Item]) -> None:
        """Other clients' partitioners differ: what belongs elsewhere is sent on, once, to where its key lives."""
        topic = BY_NAME[record.topic]
        key = topic.key_of(envelope.message)
        if topic.open and (home := self._log.partition_of(key)) != self._partition:
            headers = [*record.headers, ("forwarded_from", f"{record.partition}/{record.offset}".encode())]
            self._said.append(Outgoing(record.topic, home, key.encode(), record.value, headers))
            self._meters.forwarded.inc()
            return
        correlation = str(getattr(envelope.message, "order_id", "")) or envelope.correlation_id or key
        cause = Cause(envelope.id, correlation, envelope.traceparent)
        items.append(Item(envelope.message, cause, key, record))

    # Deciding.

    async def _prefetch(self, items: Sequence[Item]) -> None:
        """Load what the whole batch needs with one read for each step that one document leads to the next."""
        wanted = {item.key for item in items if item.record is None}
        while True:
            documents = Documents(self._working)
            for item in items:
                if item.record is not None or item.key in self._working:
                    wanted.update(self._service.needs(item.input, documents))
            if not await self._load(wanted):
                return
            wanted = set()

    async def _load(self, keys: Iterable[str]) -> bool:
        missing = [key for key in keys if key not in self._working]
        if missing:
            self._memory.learn(missing, await self._store.load(missing))
        return bool(missing)

    async def _take(self, item: Item, now: datetime) -> None:
        place = self._place_of(item)
        if place in self._parked:
            await self._park(place, item, now)
            return
        cause = item.cause
        if item.record is None:
            stored = self._working.stored(item.key)
            if stored is None or self._is_stale(item.input, stored.document, now):
                return
            correlation = str(getattr(stored.document, "order_id", stored.document.id))
            cause = Cause(cause.id, correlation, stored.trace)
        try:
            documents = Documents(self._working)
            while await self._load(self._service.needs(item.input, documents)):
                pass
            decision = self._service.decide(documents, item.input, now)
        except Exception as bug:  # noqa: BLE001 - whatever decide raises concerns this order only
            await self._set_aside(item, bug, now)
            return
        self._meters.taken.labels(type(item.input).__name__).inc()
        self._apply(decision, cause)

    @staticmethod
    def _is_stale(message: Input, document: Document, now: datetime) -> bool:
        """Whether an alarm was moved, or a call is no longer waited for, since it was queued."""
        if isinstance(message, AlarmRang):
            return document.alarm is None or document.alarm > now
        return isinstance(message, CallAnswered) and all(call.id != message.call.id for call in document.calls)

    def _apply(self, decision: Decision, cause: Cause) -> None:
        for document in decision.documents:
            self._working.changed[document.key] = Stored(document, cause.traceparent)
        for message in decision.messages:
            self._said.append((message, cause))

    # What could not be handled.

    def _bury(self, record: Received, reasons: Sequence[Reason], now: datetime, trace: str = "") -> None:
        self._said.append(dead_letter(record, self._service.name, reasons, now, trace))
        self._meters.dead_letters.labels(record.topic).inc()
        logger(topic=record.topic, partition=record.partition, offset=record.offset).warning(
            "dead letter", reasons=[f"{reason.path}: {reason.message}" for reason in reasons[:5]]
        )

    async def _set_aside(self, item: Item, bug: Exception, now: datetime) -> None:
        """A bug: the record becomes a dead letter with the traceback, and its order is parked."""
        self._meters.bugs.inc()
        place = self._place_of(item)
        logger(order_id=item.cause.correlation_id).error("decide raised; the order is parked", exc_info=bug)
        reason = f"{type(bug).__name__}: {bug}"[:500]
        if item.record is not None:
            trace = "".join(traceback.format_exception(bug))
            self._bury(item.record, [Reason(path="", code="bug", message=reason)], now, trace)
        self._apply(Decision((Parked(id=place, since=now, reason=reason),)), item.cause)
        self._parked.add(place)

    async def _park(self, place: str, item: Item, now: datetime) -> None:
        """The order is parked: what comes for it waits. Its alarms and answers come again when it is released."""
        if item.record is None:
            return
        await self._load([Parked.key_of(place)])
        parked = Documents(self._working).get(Parked, place)
        if parked is None or len(parked.records) >= MOST_RECORDS:
            full = Reason(path="", code="parked", message=f"{place} is parked, and no more records are kept for it")
            self._bury(item.record, [full], now)
            return
        self._apply(Decision((with_record(parked, item.record),)), item.cause)

    def _place_of(self, item: Item) -> str:
        if isinstance(item.input, Message):
            return parking_place(item.input, item.key)
        stored = self._working.stored(item.key) if item.key in self._working else None
        return str(getattr(stored.document, "order_id", stored.document.id)) if stored else item.key

    # Saying.

    def _outbox(self, progress: Progress, source: str, number: int, now: datetime) -> Iterable[Outgoing]:
        for place, said in enumerate(self._without_overtaken()):
            if isinstance(said, Outgoing):
                yield said
                continue
            message, cause = said
            topic = TOPIC_OF[type(message)]
            key = topic.key_of(message)
            partition = self._log.partition_of(key)
            link = (topic.name, partition)
            progress.sent[link] = sequence = progress.sent.get(link, 0) + 1
            correlation = str(getattr(message, "order_id", cause.correlation_id))
            message_id = f"{source}/{number}/{place}"
            value, headers = encode(
                Envelope(
                    message=message,
                    id=message_id,
                    source=source,
                    time=now,
                    correlation_id=correlation,
                    causation_id=cause.id,
                    sequence=sequence,
                    traceparent=child_of(cause.traceparent, message_id, correlation),
                )
            )
            yield Outgoing(topic.name, partition, key.encode(), value, headers)

    def _without_overtaken(self) -> list[tuple[Message, Cause] | Outgoing]:
        """Of a compacted topic's messages only the last of each key in a batch: those before it are state gone by."""
        last: dict[tuple[str, str], int] = {}
        for place, said in enumerate(self._said):
            if isinstance(said, tuple) and (topic := TOPIC_OF[type(said[0])]).compacted:
                last[topic.name, topic.key_of(said[0])] = place
        if not last:
            return self._said
        return [
            said
            for place, said in enumerate(self._said)
            if isinstance(said, Outgoing)
            or not (topic := TOPIC_OF[type(said[0])]).compacted
            or last[topic.name, topic.key_of(said[0])] == place
        ]
