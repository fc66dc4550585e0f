"""From records to what is to be decided on: echoes are dropped, gaps are seen, foreign records are sent on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.dead_letter import FAILED
from contracts.message import Reason
from contracts.reasons import Unreadable
from contracts.record import Received
from contracts.repair import RepairCommand
from contracts.topics import BY_NAME, REPAIRS, SERVICES
from contracts.wire import FORWARDED, Envelope, decode, link_of, salvaged

from chassis.cause import Cause
from chassis.decision import AlarmRang, CallAnswered, Input, correlation_of
from chassis.engine.inbox import Taken
from chassis.engine.outbox import Outbox, forwarded, is_forwarded, weight_of
from chassis.engine.trouble import Trouble, in_a_line
from chassis.entry import Progress
from chassis.ports import Damaged, Hole, Log, RecordDamaged, Unread
from chassis.service import Service
from chassis.stuck.gap import Gap
from chassis.stuck.parking import empty

MOST_FORWARDED_BYTES = 1_000_000
"""The largest record sent on: its topic might not take a larger one a second time, with one header more."""


@dataclass(slots=True)
class Item:
    """An input that is to be decided on."""

    input: Input
    cause: Cause
    key: str
    record: Received | None = None


@dataclass(slots=True)
class Read:
    """What came of reading a batch."""

    items: list[Item] = field(default_factory=list)
    echoes: int = 0
    forwarded: int = 0
    gap: Gap | None = None
    """The first message that is missing; nothing after it was read."""


class Reading:
    """Reads the inputs of one batch."""

    def __init__(self, service: Service, partition: int, log: Log, outbox: Outbox, trouble: Trouble) -> None:
        self._service = service
        self._partition = partition
        self._log = log
        self._outbox = outbox
        self._trouble = trouble
        self._read = Read()

    def read(self, taken: Sequence[Taken], progress: Progress, now: datetime) -> Read:
        """Read the inputs in order, moving `progress` past them. Raises RecordDamaged."""
        items = self._read.items
        for one in taken:
            if isinstance(one, AlarmRang):
                items.append(Item(one, Cause(f"alarm:{one.document}", one.document, None), one.document))
            elif isinstance(one, CallAnswered):
                items.append(Item(one, Cause(f"call:{one.call.id}", one.document, None), one.document))
            elif one.offset >= progress.positions.get(one.topic, 0):
                self._read.gap = self._hear(one, progress, now)
                if self._read.gap is not None:
                    break
        return self._read

    def _hear(self, record: Received, progress: Progress, now: datetime) -> Gap | None:
        if isinstance(record.value, Damaged):
            raise RecordDamaged(f"{record.topic}/{self._partition}: {record.value.decode()}")
        link = link_of(record)
        if link is None:
            progress.positions[record.topic] = record.offset + 1
            if not isinstance(record, Hole):
                self._take_in(record, now)
            return None
        source, sequence = link
        heard = progress.heard.get((record.topic, source), 0)
        if sequence > heard + 1:
            return Gap.on_link(self._partition, record.topic, record.offset, source, heard + 1, sequence - 1, now)
        progress.positions[record.topic] = record.offset + 1
        if sequence <= heard:
            self._read.echoes += 1
        else:
            progress.heard[record.topic, source] = sequence
            self._take_in(record, now)
        return None

    def _take_in(self, record: Received, now: datetime) -> None:
        if (item := self.open(record, now)) is not None:
            self._read.items.append(item)

    def open(self, record: Received, now: datetime) -> Item | None:
        """What is to be decided on, whether the record was heard before or not; None if that is not for us to do."""
        if record.topic == REPAIRS.name and self._is_for_another(record):
            return None
        if isinstance(record.value, Unread):
            why = Reason(path="", code="unreadable", message=record.value.decode()[:1000])
            self._trouble.bury(empty(record), [why], now)
            return None
        try:
            envelope = self._decode(record)
        except Unreadable as unreadable:
            self._trouble.bury(record, unreadable.reasons, now)
            return None
        except Exception as bug:  # noqa: BLE001 - whatever `salvage` raises concerns this record only
            self._trouble.bury(record, [Reason(path="", code=FAILED, message=in_a_line(bug))], now, bug)
            return None
        return self._route(record, envelope, now)

    def _is_for_another(self, record: Received) -> bool:
        """Whether the key says that another service is to do it: then reading it is that one's business, too."""
        named = (record.key or b"").partition(b"/")[0].decode(errors="replace")
        return named in SERVICES and named != self._service.name

    def _decode(self, record: Received) -> Envelope:
        try:
            return decode(record)
        except Unreadable as unreadable:
            message = self._service.salvage(record, unreadable.reasons) if self._service.salvage else None
            if message is None:
                raise
            return salvaged(record, message)

    def _route(self, record: Received, envelope: Envelope, now: datetime) -> Item | None:
        """Other clients' partitioners differ: what belongs elsewhere is sent on, once, to where its key lives.

        What was written there directly, such as the cancellation of an order, may overtake it.
        """
        topic = BY_NAME[record.topic]
        key = topic.key_of(envelope.message)
        if isinstance(envelope.message, RepairCommand):
            if envelope.message.service != self._service.name:
                return None
            if envelope.message.partition != self._partition:
                why = f"it is for partition {envelope.message.partition}, and lies on {self._partition}"
                self._trouble.bury(record, [Reason(path="partition", code="misplaced", message=why)], now)
                return None
        elif topic.open and (home := self._log.partition_of(key)) != self._partition:
            self._forward(record, home, key, now)
            return None
        correlation = correlation_of(envelope.message, envelope.correlation_id or key)
        cause = Cause(envelope.id, correlation, envelope.traceparent)
        return Item(envelope.message, cause, key, record)

    def _forward(self, record: Received, home: int, key: str, now: datetime) -> None:
        moved = forwarded(record, home, key)
        if is_forwarded(record):
            why = f"it was forwarded before, and {key} still belongs to partition {home}"
            self._trouble.bury(record, [Reason(path=FORWARDED, code="forwarded_twice", message=why)], now)
        elif weight_of(moved) > MOST_FORWARDED_BYTES:
            why = f"it belongs to partition {home}, and is too large to be forwarded"
            self._trouble.bury(record, [Reason(path="", code="too_large", message=why)], now)
        else:
            self._outbox.pass_on(moved)
            self._read.forwarded += 1
