"""Runs every check over a log."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from chassis.kafka.partitioner import home_of
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.repair import RepairEvent
from contracts.topics import BY_NAME, SERVICES, Topic
from contracts.wire import FORWARDED
from order.definition import Policy
from order.validation import salvage

from oms.audit.beginnings import OF_MOVEMENTS, OF_STOCK, Beginnings, Late
from oms.audit.book import Book
from oms.audit.books import Books
from oms.audit.dead_letters import Cause, DeadLetters
from oms.audit.delivery import Delivery
from oms.audit.endings import endings
from oms.audit.finding import Finding, Waiting
from oms.audit.issued import STEPS_OF_STOCK, issued
from oms.audit.links import Links
from oms.audit.money import STEPS_OF_PAYMENT, money
from oms.audit.movements import Movements
from oms.audit.once import once
from oms.audit.spool import Spool
from oms.history.lives import Lives, settled
from oms.history.logged import STATE_AFTER, History, Logged, logged
from oms.history.repairs import AnswerAboutOrder, Repairs
from oms.history.replay import SERVICE, Replay, Replayer
from oms.log import Spans

NOWHERE: Spans = {}
STEPS_OF = {"money": STEPS_OF_PAYMENT, "stock": STEPS_OF_STOCK}
"""The steps of the saga by what they move."""
BY_ORDER = ("order_id",)
"""The key of the topics whose messages about one order meet in one partition."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An order of which everything on the log was looked at."""

    history: History
    replay: Replay
    records: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the audit came to."""

    findings: list[Finding]
    waiting: list[Waiting]
    records: int
    orders: Counter[str]
    """How many orders came to which end, or wait."""
    links: int
    counted: int
    """Messages that are numbered along a link, each counted once."""
    repeated: int
    """Messages that were published again: after a crash, or where Kafka answered too late."""
    books: list[Book]
    dead_letters: Counter[Cause]
    examples: dict[Cause, list[str]]
    """Some of the dead letters of each cause, as `topic/partition/offset`."""
    repairs: list[RepairEvent | AnswerAboutOrder]
    """What the services were asked to put right, and what came of it: also of what is about one order."""
    late: list[Late]
    """The topic partitions whose beginning was cut off."""
    unchecked: list[str]
    """What could not be checked because of that, as it moved, or as only people know it, in a few words each."""


class Auditor:
    """Takes all records of a log, each topic partition's in order, then judges the orders, then concludes.

    `with Auditor(...) as auditor`: what it has to remember of many orders is in files, which go at the end. `spans`
    says where the log begins and ends, if it may begin late.
    """

    def __init__(self, policy: Policy, partitions: int, spans: Spans = NOWHERE) -> None:
        self._partitions = partitions
        self.beginnings = Beginnings(spans, partitions)
        self._repairs = Repairs()
        self.replayer = Replayer(policy, partitions, self._repairs.retried(SERVICE))
        self._links, self._books = Links(self.beginnings.parts), Books()
        self._lives, self._dead_letters = Lives(), DeadLetters()
        self._delivery, self._movements = Delivery(self.beginnings), Movements()
        self._spool = Spool()
        self._strays: list[tuple[Record, str]] = []
        self._forwarded: defaultdict[str, set[str]] = defaultdict(set)
        self._ended: set[tuple[str, int]] = set()
        self._left_to_people: dict[str, set[tuple[str, int]]] = {what: set() for what in STEPS_OF}
        """Placings of whose money, or of whose stock, a person said how it is."""
        self._states: Counter[str] = Counter()
        self._findings: list[Finding] = []
        self._waiting: list[Waiting] = []
        self._records = 0
        self.unjudged: set[str] = set()
        """Orders that are left out, for their beginning may not be there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._spool.close()
        self._movements.close()

    # Taking in.

    def take(self, record: Record) -> None:
        self._records += 1
        self.beginnings.take(record)
        topic = BY_NAME.get(record.topic)
        if topic is None:
            self._dead_letters.take(record)
            return
        if self._links.take(record):
            self._lives.take(record)
        if topic.open:
            self._take_open(topic, record)
        elif topic.key == BY_ORDER:
            self._spool.add((record.key or b"").decode(errors="replace"), record)
        elif topic.owner == SERVICE:
            # A command to a stock book has the key of the book; which order it is for, it says beside that.
            order_id = (dict(record.headers).get("ce_correlationid") or b"").decode(errors="replace")
            self._spool.add(order_id, record)
        elif (message := self._read(record)) is not None:
            self._books.take(message)
            self._movements.take(message)
            self._repairs.take(message)

    def _take_open(self, topic: Topic, record: Record) -> None:
        """What channels and people wrote: it may be anything, and be anywhere."""
        try:
            message = logged(record, salvage) if topic.owner == SERVICE else logged(record)
        except Exception as unreadable:  # noqa: BLE001 - a bug in `salvage`, too, made a dead letter of it
            self._delivery.due(record, "", f"what is not a message ({unreadable}) should have become a dead letter")
            return
        original = dict(record.headers).get(FORWARDED)
        if original is not None:
            self._forwarded[record.topic].add(original.decode(errors="replace"))
        key = topic.key_of(message.message)
        if topic.partition_of(message.message, lambda key: home_of(key, self._partitions)) != record.partition:
            self._strays.append((record, key))
        elif topic.key == BY_ORDER:
            self._spool.add(key, record)
        else:
            self._movements.take(message)
            self._repairs.take(message)

    def _read(self, record: Record) -> Logged | None:
        """What nobody but one of our own services may have written, and everybody must be able to read.

        Where others may write it is known by now that it can be read.
        """
        if BY_NAME[record.topic].open:
            return logged(record, salvage)
        try:
            message = logged(record)
        except Unreadable as unreadable:
            self._findings.append(
                Finding("messages", record.place, "", f"the message here cannot be read: {unreadable}")
            )
            return None
        if message.turn is None or message.envelope.sequence is None:
            writers, source = BY_NAME[record.topic].writers, message.envelope.source
            what = f"only {' and '.join(writers)} writes here, and numbers what it writes; this came from {source!r}"
            self._findings.append(Finding("messages", record.place, message.envelope.correlation_id, what))
        return message

    # Judging.

    @property
    def to_judge(self) -> int:
        """How many records are about orders."""
        return self._spool.count

    def judge(self) -> Iterator[Judged]:
        """Check every order that is there from its beginning."""
        for order_id, records in self._spool.gathered():
            history = History(order_id)
            for record in records:
                message = self._read(record)
                if message is not None:
                    history.add(message)
                    self._books.take(message)
                    self._repairs.take(message)
            if not self.beginnings.has_all_of(history):
                self.unjudged.add(order_id)
                continue
            history, unsaid = settled(history, self._lives)
            for gone in unsaid:
                what = f"said {type(gone.message).__name__} before its database was restored, and not again since"
                self._findings.append(Finding("lives", gone.place, order_id, f"{gone.envelope.source} {what}"))
            replay = self.replayer.replay(history)
            self._judge(history, replay)
            yield Judged(history, replay, len(records))

    def _judge(self, history: History, replay: Replay) -> None:
        self._findings += [*money(history), *once(history), *issued(history)]
        waits = False
        for said in endings(history, replay.document):
            if isinstance(said, Finding):
                self._findings.append(said)
            else:
                self._waiting.append(said)
                self._states[said.state] += 1
                waits = True
        ends = history.endings()
        self._ended.update((history.order_id, revision) for revision in ends)
        for what, steps in STEPS_OF.items():
            left = {(history.order_id, revision) for revision in ends if history.skipped(revision) & steps}
            self._left_to_people[what] |= left
        if ends and not waits:
            self._states[STATE_AFTER[type(ends[max(ends)][1])]] += 1
        for step in replay.differences:
            self._findings.append(Finding("decisions", step.place, history.order_id, step.difference))
        self._delivery.replayed(replay)

    # Concluding.

    def conclude(self) -> Verdict:
        """What all of it comes to."""
        buried = self._dead_letters.buried
        parked = {(name, place) for name in SERVICES for place in self._dead_letters.parked(name, self._repairs)}
        for stray, key in self._strays:
            if f"{stray.partition}/{stray.offset}" not in self._forwarded[stray.topic]:
                self._delivery.due(stray, key, "the message should have been sent on to where its key lives")
        books = self._books.keep(self._lives, is_whole=not self.beginnings.since(OF_STOCK))
        of_repairs = (*self._links.findings(self._repairs), *self._dead_letters.findings(self._repairs))
        findings = [*self._findings, *of_repairs, *self._findings_of_movements()]
        waiting = [*self._waiting, *map(_not_repaired, self._repairs.unanswered())]
        for book in books:
            findings += [*book.findings, *self._held_for_ended(book)]
        for said in self._delivery.conclude(buried, parked):
            if isinstance(said, Finding):
                findings.append(said)
            else:
                waiting.append(said)
        causes, examples = self._dead_letters.causes()
        return Verdict(
            findings=sorted(findings),
            waiting=sorted(waiting),
            records=self._records,
            orders=self._states,
            links=self._links.count,
            counted=self._links.messages,
            repeated=self._links.repeated,
            books=books,
            dead_letters=causes,
            examples=examples,
            repairs=[*self._repairs.answered.values(), *self._repairs.about_orders.values()],
            late=self.beginnings.late(),
            unchecked=list(self._unchecked()),
        )

    def _findings_of_movements(self) -> Iterator[Finding]:
        if self.beginnings.since(OF_MOVEMENTS):
            return
        for movement in self._movements.gathered(self._lives):
            yield from movement.findings(self._lives)
            self._delivery.moved(movement)

    def _unchecked(self) -> Iterator[str]:
        if self.unjudged:
            yield f"{len(self.unjudged):,} orders of which the beginning may not be there"
        if self.beginnings.since(OF_STOCK):
            yield "whether stock adds up, but for what each StockLevel says"
        if self.beginnings.since(OF_MOVEMENTS):
            yield "which movements were booked"
        left = [
            f"{what} of {len(dict(placings)):,} orders" for what, placings in self._left_to_people.items() if placings
        ]
        if left:
            yield f"{', '.join(left)}, whose step a person took as done"

    def _held_for_ended(self, book: Book) -> Iterator[Finding]:
        for (order_id, revision, _), hold in book.held():
            name = (order_id, revision)
            if name in self._ended and name not in self._left_to_people["stock"]:
                what = f"what is set aside here in {hold.location} stays so, though the order has ended"
                yield Finding("stock", hold.place, order_id, what)


def _not_repaired(asked: Logged) -> Waiting:
    return Waiting(f"{type(asked.message).__name__}", "not answered", f"nothing came of the request yet: {asked.place}")
