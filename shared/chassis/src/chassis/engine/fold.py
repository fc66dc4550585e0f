"""One batch: inputs in, one journal entry out. No write happens here; only missing documents are read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.message import Message
from contracts.repair import AcceptGap, RepairCommand, RetryDeadLetter

from chassis.cause import Cause
from chassis.decision import AlarmRang, CallAnswered, Decision, Document, Documents, Input, correlation_of
from chassis.engine.inbox import Taken
from chassis.engine.memory import Memory, Working
from chassis.engine.outbox import Outbox, weight_of_entry
from chassis.engine.reading import Item, Read, Reading
from chassis.engine.repairing import Repairing
from chassis.engine.trouble import Trouble, about
from chassis.entry import Change, Entry, Progress, Stored
from chassis.limits import LARGEST_RECORD_BYTES
from chassis.ports import Log, Store
from chassis.service import Service
from chassis.stuck.gap import Gap
from chassis.stuck.parking import parking_place
from chassis.telemetry import Meters, is_telling, logger

MOST_ENTRY_BYTES = 12_000_000
"""The most that an entry holds, to stay well under MongoDB's limit of 16 MB a document."""
MOST_MESSAGE_BYTES = LARGEST_RECORD_BYTES - 65_536
"""The largest message: a larger one could not be published with its headers, nor what its partition says after it."""


class Unfit(Exception):  # noqa: N818 - named for what the batch is
    """The batch makes no entry, because it would be too large or something in it cannot be written.

    Fewer inputs must be taken at once, and one that is unfit by itself must be set aside.
    """


@dataclass(frozen=True, slots=True)
class Start:
    """Where a batch begins."""

    progress: Progress
    """As of the last batch."""
    journaled: Progress
    """As of the last entry: what changed since then belongs in the next, or its positions and numbers would part."""
    source: str
    number: int
    """Of the entry that it may make."""
    writer: str
    now: datetime
    gap: Gap | None = None
    """The last gap of the partition, if it is not known to be passed."""
    has_written: bool = True
    """Whether this owner has an entry in the journal. Until then an earlier owner's may still come in: what is passed
    over may matter once that is known, so that it is passed over by an entry, too, which would be fenced."""
    stands_still: bool = False
    """Whether the partition stands still there, and takes nothing but requests for repairs."""


@dataclass(slots=True)
class Folded:
    """What came of a batch."""

    progress: Progress
    entry: Entry | None = None
    """None when nothing changed and nothing is to be said."""
    weight: int = 0
    """How many bytes the entry has before it is packed, about."""
    stored: dict[str, Stored] = field(default_factory=dict)
    gap: Gap | None = None
    """Where a message is missing."""
    has_released: bool = False
    """Whether something goes on that was parked."""


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
        self._meters = meters
        self._working = Working(memory)
        self._outbox = Outbox(log)
        self._trouble = Trouble(service.name, partition, parked, self._working, self._outbox, meters)
        self._reading = Reading(service, partition, log, self._outbox, self._trouble)
        self._decided: Counter[str] = Counter()
        self._tells = is_telling()
        self._unfit: Unfit | None = None

    async def run(self, taken: Sequence[Taken], start: Start, unfit: Unfit | None = None) -> Folded:
        """Fold the batch into an entry; what it starts from is copied, not changed.

        Raises Unfit. With `unfit` every input is set aside for that reason, and the batch is fit.
        """
        self._unfit = unfit
        folded = Folded(start.progress.copy())
        read = self._reading.read(taken, folded.progress, start.now)
        folded.gap = read.gap
        await self._prefetch(read.items)
        # It knows the fold, which must not know it: a batch is garbage at once then, without a search for cycles.
        repairing = Repairing(
            self._working, self._outbox, self._trouble, self._reading, self._log, load=self._load, take=self._take
        )
        # Where the partition stands still nothing is taken, unless a request of this batch lets it go on.
        if not start.stands_still or any(isinstance(item.input, AcceptGap) for item in read.items):
            await repairing.look_up([item.input for item in read.items if isinstance(item.input, RetryDeadLetter)])
        for item in read.items:
            if isinstance(item.input, RepairCommand):
                gap = start.gap if start.stands_still else None
                if gap is not None and gap.is_passed(folded.progress, stands_still=True):
                    gap = None  # a request before this one accepted it
                await repairing.carry_out(item.input, item.cause, start.now, gap, folded.progress)
                self._decided[type(item.input).__name__] += 1
            else:
                await self._take(item, start.now)
        folded.has_released = repairing.has_released
        if start.gap is not None:
            await self._remember(
                start.gap, is_passed=start.gap.is_passed(folded.progress, stands_still=start.stands_still)
            )
        try:
            changes = self._changes(start.number, start.now)
            said = tuple(self._outbox.records(folded.progress, start.source, start.number, start.now))
        except Exception as bug:
            raise Unfit(f"it cannot be written: {type(bug).__name__}: {bug}") from bug
        folded.weight = weight_of_entry(changes, said)
        if folded.weight > MOST_ENTRY_BYTES and unfit is None:
            raise Unfit(f"what is to be written has {folded.weight} bytes")
        largest = max([len(record.value or b"") for record in said], default=0)
        if largest > MOST_MESSAGE_BYTES and unfit is None:
            raise Unfit(f"a message that is to be said has {largest} bytes")
        if changes or said or (not start.has_written and folded.progress != start.journaled):
            made = folded.progress.since(start.journaled)
            folded.entry = Entry(self._partition, start.number, start.writer, made, changes, said)
            folded.stored = self._working.changed
        self._report(read)
        return folded

    async def _remember(self, gap: Gap, *, is_passed: bool) -> None:
        """Keep in mind where the partition stands still, until it is past that."""
        await self._load([gap.key])
        gap = gap.but(open=not is_passed)
        if self._working[gap.key] != gap:
            self._working.put(gap, None)

    def _changes(self, number: int, now: datetime) -> tuple[Change, ...]:
        return tuple(
            Change(
                key=key,
                body=stored.document.__pydantic_serializer__.to_json(stored.document),
                alarm=_up_to_ms(stored.document.alarm),
                due=_up_to_ms(min((call.not_before or now for call in stored.document.calls), default=None)),
                trace=stored.trace,
                entry=number,
                is_first=self._memory.is_new(key),
                queued=stored.document.is_queued,
            )
            for key, stored in self._working.changed.items()
        )

    def _report(self, read: Read) -> None:
        self._meters.echoes.inc(read.echoes)
        self._meters.forwarded.inc(read.forwarded)
        for type_, count in self._decided.items():
            self._meters.taken.labels(type_).inc(count)
        self._trouble.report()

    async def _prefetch(self, items: Sequence[Item]) -> None:
        """Load what the whole batch needs with one read for each step that one document leads to the next."""
        documents = Documents(self._working)
        # In the order in which they are wanted, which a set leaves to chance: what is forgotten first follows from it.
        wanted = dict.fromkeys(item.key for item in items if item.record is None)
        await self._load(wanted)
        ours = [item for item in items if not isinstance(item.input, RepairCommand)]
        while True:
            wanted = {}
            for item in ours:
                with suppress(Exception):  # a bug in `needs` concerns its own input only, when that is decided on
                    wanted |= dict.fromkeys(self._service.needs(item.input, documents))
            if not await self._load(wanted):
                return

    async def _load(self, keys: Iterable[str]) -> bool:
        """Load what is not in memory; whether anything was not."""
        missing = [key for key in keys if key not in self._working]
        if missing:
            self._memory.learn(missing, await self._store.load(missing))
        return bool(missing)

    async def _take(self, item: Item, now: datetime) -> None:
        place = self._place_of(item)
        if self._trouble.is_parked(place):
            if item.record is not None:  # alarms and answers come again when the order is released
                await self._trouble.park(place, item.record, item.cause, now, self._load)
            return
        if item.record is None:
            stored = self._working.stored(item.key)
            if stored is None or self._is_stale(item.input, stored.document, now):
                return
            correlation = correlation_of(stored.document, stored.document.id)
            item.cause = Cause(item.cause.id, correlation, stored.trace)
        decision = await self._decide(item, now)
        if isinstance(decision, Exception):
            self._trouble.set_aside(place, item.input, item.record, item.cause, decision, now)
            return
        for document in decision.documents:
            self._working.put(document, item.cause.traceparent)
        self._outbox.say(decision.messages, item.cause)
        self._decided[type(item.input).__name__] += 1
        if self._tells:
            self._tell(item, decision)

    async def _decide(self, item: Item, now: datetime) -> Decision | Exception:
        """The decision, or the bug that it ran into: that concerns this order only."""
        if self._unfit is not None:
            return self._unfit
        documents = Documents(self._working)
        asked = True
        while asked:
            try:
                needed = list(self._service.needs(item.input, documents))
            except Exception as bug:  # noqa: BLE001 - whatever it raises
                return bug
            asked = await self._load(needed)
        try:
            decision = self._service.decide(documents, item.input, now)
            self._check_alarm(item.input, decision, now)
        except Exception as bug:  # noqa: BLE001 - whatever it raises
            return bug
        return decision

    @staticmethod
    def _is_stale(message: Input, document: Document, now: datetime) -> bool:
        """Whether an alarm was moved, or a call is no longer waited for, since it was queued."""
        if isinstance(message, AlarmRang):
            return document.alarm is None or document.alarm > now
        return isinstance(message, CallAnswered) and all(call.id != message.call.id for call in document.calls)

    @staticmethod
    def _check_alarm(message: Input, decision: Decision, now: datetime) -> None:
        """An alarm that stays where it was would ring again at once, and for ever."""
        if isinstance(message, AlarmRang):
            for document in decision.documents:
                if document.key == message.document and document.alarm is not None and document.alarm <= now:
                    raise RuntimeError(f"{message.document} heard its alarm and set it to {document.alarm} again")

    def _place_of(self, item: Item) -> str:
        if isinstance(item.input, Message):
            return parking_place(item.input, item.key)
        stored = self._working.stored(item.key) if item.key in self._working else None
        return correlation_of(stored.document, stored.document.id) if stored else item.key

    def _tell(self, item: Item, decision: Decision) -> None:
        logger(**about(item.cause, self._partition)).debug(
            "decided",
            input=type(item.input).__name__,
            cause=item.cause.id,
            changed=[document.key for document in decision.documents],
            said=[type(message).__name__ for message in decision.messages],
        )


def _up_to_ms(moment: datetime | None) -> datetime | None:
    """The next whole millisecond: MongoDB cuts off the rest, and an alarm that rings too early is not heard."""
    return moment and moment + timedelta(microseconds=-moment.microsecond % 1000)
