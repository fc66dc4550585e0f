"""Plays one plan to its end, and says what came of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NoReturn

import structlog
from chassis import entry
from chassis.decision import D, Document
from chassis.engine.partition import FAILED, LOST
from chassis.entry import Outgoing
from chassis.kafka.partitioner import home_of
from chassis.service import Service
from chassis.stuck.parking import Parked
from chassis.testing.virtual_time import VirtualTimeLoop
from contracts.message import Message
from contracts.order import OrderValidated
from contracts.record import Record
from contracts.topics import TOPIC_OF
from contracts.wire import Envelope, encode
from order.state import Order
from payment.state import Payment
from shipping.state import Shipment

from oms.audit.auditing import REMEMBERED
from oms.audit.auditor import Auditor
from oms.audit.finding import Finding
from oms.audit.stored import compare_order, compare_stock, key_of_stock, parked
from oms.history.logged import History
from oms.simulate import shop
from oms.simulate.database import Database
from oms.simulate.outside import PARTIES, check_money, check_parcels
from oms.simulate.plan import FAULTS_UNTIL_S, PARTITIONS, Blackout, Fault, Plan
from oms.simulate.process import STOP_WITHIN_S, Seat, World
from oms.simulate.versions import all_known, check_definition

QUIET_S = 15.0
"""How long nothing is written, in seconds, and nobody waits for anything, before it counts as over."""
AT_MOST_S = 400.0
"""By then every deadline has passed, and every order must have ended."""
JOURNAL_PLACES = 20
"""How many places a journal has: few enough that its ring turns in a simulation, as in reality it does in hours."""


@dataclass(slots=True)
class Outcome:
    """What came of a plan."""

    plan: Plan
    findings: list[Finding]
    orders: int
    log: list[Record] = field(repr=False)
    """All records of all topics."""
    passed_s: float
    """How long it took, in virtual time."""
    struck: set[str]
    """Where in the code processes were struck."""
    began: Counter[int]
    """How many orders began with each of the saga's definitions."""
    story: list[str]
    """What happened, in order."""

    @property
    def fingerprint(self) -> str:
        """Of all records on all topics: what is alike in this went alike."""
        digest = sha256()
        for it in self.log:
            digest.update(repr(it).encode())
        return digest.hexdigest()


def play(plan: Plan) -> Outcome:
    """Play the plan: the same plan always comes to the same."""
    with _ring_of(JOURNAL_PLACES), all_known(), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_Game(plan).play())


class _Game:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - nothing secret
        self._story: list[str] = []
        self._findings: list[Finding] = []
        self._began: Counter[int] = Counter()
        self._parties = {service: build() for service, build in PARTIES.items()}
        self._world = World(self._chance, PARTITIONS, self._parties, self._tell)

    def _tell(self, what: str) -> None:
        self._story.append(f"{asyncio.get_running_loop().time():9.3f}  {what}")

    async def play(self) -> Outcome:
        with _listening(self._hear):
            loop = asyncio.get_running_loop()
            self._seats = {
                (name, number): Seat(self._world, service, number)
                for name, service in shop.SERVICES.items()
                for number in range(PARTITIONS)
            }
            self._begin(loop)
            await self._settle(loop)
            await self._stop()
        log = self._world.topics.everything()
        self._judge(log)
        return Outcome(
            plan=self._plan,
            findings=sorted(self._findings),
            orders=len(self._plan.placings),
            log=log,
            passed_s=loop.time(),
            struck=self._world.struck,
            began=self._began,
            story=self._story,
        )

    def _processes(self) -> Iterator[Any]:
        for seat in self._seats.values():
            yield from (*seat.retired, seat.process)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """What comes from outside, each at its time."""
        for at_s, delivery in shop.deliveries():
            loop.call_at(at_s, self._send, delivery, False)
        for placing in self._plan.placings:
            placed = shop.placed(placing.number, placing.kind)
            loop.call_at(placing.at_s, self._send, placed, placing.is_astray)
            if placing.again_s is not None:
                loop.call_at(placing.again_s, self._send, placed, not placing.is_astray)
            if placing.cancel_s is not None:
                loop.call_at(placing.cancel_s, self._send, shop.cancelled(placing.number), False)
        for fault in self._plan.faults:
            if fault.at_s:
                loop.call_at(fault.at_s, self._strike, fault)
            else:
                self._strike(fault)  # before anybody has taken a step
        loop.call_at(FAULTS_UNTIL_S, self._set_right)

    def _strike(self, fault: Fault) -> None:
        if isinstance(fault.what, Blackout):
            self._tell(f"{fault.service}: {fault.what}")
            self._world.database(fault.service).fail(fault.lasts_s)
        else:
            self._seats[fault.service, fault.partition].strike(fault)

    def _set_right(self) -> None:
        """No more faults."""
        for seat in self._seats.values():
            seat.spare()

    def _send(self, message: Message, is_astray: bool) -> None:
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        number = self._world.topics.written
        envelope = Envelope(message, f"web-{number}", "web", self._world.clock.now(), "", "")
        body, headers = encode(envelope)
        home = (home_of(key, PARTITIONS) + is_astray) % PARTITIONS
        self._world.topics.write([Outgoing(topic.name, home, key.encode(), body, headers)])

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it run until nothing happens any more."""
        await asyncio.sleep(FAULTS_UNTIL_S)
        written, since = -1, loop.time()
        while loop.time() < AT_MOST_S and not self._findings:
            if self._world.topics.written != written:
                written, since = self._world.topics.written, loop.time()
            elif loop.time() - since >= QUIET_S and not self._anybody_waits():
                return
            await asyncio.sleep(5.0)

    def _anybody_waits(self) -> bool:
        """Whether a document waits for an alarm or an answer."""
        return any(
            row["alarm"] is not None or row["due"] is not None
            for service in shop.SERVICES.values()
            for model in service.documents
            for row in self._world.database(service.name).rows(model.kind).values()
        )

    async def _stop(self) -> None:
        """Stop everybody: what they know is written by then."""
        for process in self._processes():
            process.partition.stop()
        running = {process.task for process in self._processes()}
        _, late = await asyncio.wait(running, timeout=STOP_WITHIN_S)
        for process in self._processes():
            if process.task in late:
                if not self._findings:
                    said = f"{process.name} does not stop within {STOP_WITHIN_S} s"
                    self._findings.append(Finding("endings", process.name, "", said))
                process.life.end()
        await asyncio.gather(*late, return_exceptions=True)

    def _hear(self, level: str, event: dict[str, Any]) -> None:
        """Listen to what the engine logs: a bug in it is recovered from, and must not pass unnoticed."""
        what = event.pop("event")
        bug = event.pop("exc_info", None)
        self._tell(f"{level}: {what} {event} {bug!r}" if bug else f"{level}: {what} {event}")
        if what == LOST or (what == FAILED and not _is_of_the_line(bug)):
            self._findings.append(Finding("links", "engine", str(event.get("partition")), f"{what}: {event} {bug!r}"))

    # Judging.

    def _judge(self, log: Iterable[Record]) -> None:
        if self._findings:
            return
        stored = {name: _documents(service, self._world.database(name)) for name, service in shop.SERVICES.items()}
        known = self._audit(log, stored)
        for name, documents in stored.items():
            for place, what in self._world.database(name).set_back:
                self._findings.append(Finding("store", f"{name}/{place}", "", what))
            for key, document in documents.items():
                if isinstance(document, Parked):
                    self._findings += parked(name, key, document)
                elif isinstance(document, REMEMBERED["order"]) and document.id not in known:
                    what = "nothing on the log is about it"
                    self._findings.append(Finding("store", f"order/{key}", document.id, what))
        self._findings += check_money(self._parties["payment"], _of(Payment, stored["payment"]))
        self._findings += check_parcels(self._parties["shipping"], _of(Shipment, stored["shipping"]))

    def _audit(self, log: Iterable[Record], stored: Mapping[str, Mapping[str, Document]]) -> set[str]:
        """Do as `oms audit` does, and say which orders there are on the log."""
        known: set[str] = set()
        with Auditor(shop.POLICY, PARTITIONS) as auditor:
            for record in log:
                auditor.take(record)
            for judged in auditor.judge():
                known.add(judged.history.order_id)
                self._findings += compare_order(judged, stored, auditor.replayer)
                self._check_definition(judged.history, stored["order"])
            verdict = auditor.conclude()
        self._findings += verdict.findings
        for one in verdict.waiting:
            self._findings.append(Finding("endings", "", one.about, f"it is still {one.state}: {one.why}"))
        for level in (level for book in verdict.books for level in book.levels.values()):
            self._findings += compare_stock(level, stored["inventory"].get(key_of_stock(level)))
        return known

    def _check_definition(self, history: History, orders: Mapping[str, Document]) -> None:
        self._began.update({validated.definition for _, validated in history.of(OrderValidated)})
        document = orders.get(Order.key_of(history.order_id))
        if isinstance(document, Order):
            self._findings += check_definition(history, document)


def _of(model: type[D], documents: Mapping[str, Document]) -> list[D]:
    return [document for document in documents.values() if isinstance(document, model)]


def _documents(service: Service, database: Database) -> dict[str, Document]:
    """What a service remembers, by key."""
    models: tuple[type[Document], ...] = (*service.documents, Parked)
    return {
        model.key_of(str(id_)): model.model_validate(row["body"], strict=False)
        for model in models
        for id_, row in database.rows(model.kind).items()
    }


def _is_of_the_line(bug: BaseException | None) -> bool:
    """Whether all that failed is what a broken line raises."""
    if isinstance(bug, BaseExceptionGroup):
        return all(map(_is_of_the_line, bug.exceptions))
    return isinstance(bug, ConnectionError | OSError) or type(bug).__module__ == "pymongo.errors"


@contextmanager
def _ring_of(places: int) -> Iterator[None]:
    """Make journals this short; in reality their length must never change, and so it is no setting."""
    usual = entry.JOURNAL_PLACES
    vars(entry).update(JOURNAL_PLACES=places)
    try:
        yield
    finally:
        vars(entry).update(JOURNAL_PLACES=usual)


@contextmanager
def _listening(hear: Callable[[str, dict[str, Any]], None]) -> Iterator[None]:
    """Have all that is logged as a warning, or worse, told to somebody."""

    def pass_on(_: object, level: str, event: Any) -> NoReturn:  # noqa: ANN401 - structlog's protocol
        hear(level, dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[pass_on], wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        yield
    finally:
        structlog.configure(**before)
