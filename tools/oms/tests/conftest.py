"""All five services in memory, for tests of what reads their log: the real decisions, folds, links and ids."""

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import fulfillment.decide
import inventory.decide
import order.decide
import payment.decide
import pytest
import shipping.decide
from chassis.decision import AlarmRang, CallAnswered, Document, Retry, Unknown
from chassis.entry import Outgoing, Progress, Stored
from chassis.fold import Fold, Start
from chassis.inbox import Taken
from chassis.memory import Memory
from chassis.parking import Parked
from chassis.service import Service
from chassis.telemetry import Meters
from contracts.inventory import ReceiveStock
from contracts.message import Currency, Message, SkuQuantity
from contracts.order import OrderPlaced
from contracts.topics import TOPIC_OF, topics_read_by
from contracts.wire import Envelope, encode
from fulfillment.state import Fulfillment
from inventory.state import Book, LedgerEntry, Movement, Reservation, Stock
from oms.audit.auditor import Auditor, Judged, Verdict
from oms.history import History, Logged, logged
from oms.log import Record
from oms.replay import Replayer, home_of
from order.definition import Policy
from order.sourcing import Routes
from order.state import Order
from order.validation import salvage
from payment.gateway import Simulator as Provider
from payment.state import Payment
from shipping.gateway import Simulator as Carrier
from shipping.state import Shipment

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
PARTITIONS = 2
POLICY = Policy(
    routes=Routes(default=("LON", "MAN"), by_country={}),
    reserve_within=timedelta(minutes=10),
    authorize_within=timedelta(minutes=10),
    fulfill_within=timedelta(days=1),
    ship_within=timedelta(hours=1),
    backorder_within=timedelta(days=5),
    undo_again_after=timedelta(minutes=1),
    forward_again_after=timedelta(minutes=1),
)
RETRY = Retry(timedelta(seconds=1), timedelta(minutes=1))
NO_TIME = timedelta(0)
SERVICES = (
    Service(
        name="order",
        topics=topics_read_by("order"),
        documents=(Order,),
        needs=order.decide.needs,
        decide=order.decide.decider(POLICY),
        salvage=salvage,
    ),
    Service(
        name="inventory",
        topics=topics_read_by("inventory"),
        documents=(Book, Stock, Reservation, Movement, LedgerEntry),
        needs=inventory.decide.needs,
        decide=inventory.decide.decider(inventory.decide.Policy(backorder_queue_max_orders=100)),
    ),
    Service(
        name="payment",
        topics=topics_read_by("payment"),
        documents=(Payment,),
        needs=payment.decide.needs,
        decide=payment.decide.decider(RETRY),
        gateway=Provider(slow=NO_TIME, capture_failures=2),
    ),
    Service(
        name="fulfillment",
        topics=topics_read_by("fulfillment"),
        documents=(Fulfillment,),
        needs=fulfillment.decide.needs,
        decide=fulfillment.decide.decider(
            fulfillment.decide.SimulatedPickers(timedelta(seconds=20), timedelta(seconds=10))
        ),
    ),
    Service(
        name="shipping",
        topics=topics_read_by("shipping"),
        documents=(Shipment,),
        needs=shipping.decide.needs,
        decide=shipping.decide.decider(shipping.decide.Policy(RETRY, timedelta(minutes=1), timedelta(hours=1))),
        gateway=Carrier("GB", Currency("GBP"), slow=NO_TIME),
    ),
)
METERS = {service.name: Meters() for service in SERVICES}


@dataclass
class Node:
    """One partition of one service, as its store and its engine would have it."""

    service: Service
    partition: int
    documents: dict[str, Stored] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    journaled: Progress = field(default_factory=Progress)
    number: int = 0

    async def load(self, keys: Collection[str]) -> Mapping[str, Stored]:
        return {key: self.documents[key] for key in keys if key in self.documents}

    def partition_of(self, key: str) -> int:
        return home_of(key, PARTITIONS)

    def due(self, now: datetime) -> list[AlarmRang]:
        alarms = [(s.document.alarm, key) for key, s in self.documents.items() if s.document.alarm is not None]
        return [AlarmRang(key) for when, key in sorted(alarms) if when <= now]

    def next_moment(self) -> datetime | None:
        """When something happens by itself."""
        alarms = [s.document.alarm for s in self.documents.values() if s.document.alarm is not None]
        calls = [call.not_before or NOON for s in self.documents.values() for call in s.document.calls]
        return min([*alarms, *calls], default=None)


class World:
    """Five services in two partitions each, and the topics between them; `chance` decides who goes on when."""

    def __init__(self, seed: int = 1) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a test's dice
        self.now = NOON
        self.topics: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        self.log: list[Record] = []
        self.nodes = [Node(service, number) for service in SERVICES for number in range(PARTITIONS)]
        self.crashes = 0.0
        """How likely it is that what an entry says is published again."""
        self._ids = 0
        self.policy = POLICY

    # From outside.

    def send(self, message: Message, *, partition: int | None = None, message_id: str = "") -> Record:
        """Send a message as a channel does; to another partition than its key's, if told so."""
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        body = message.model_dump_json().encode()
        return self.send_raw(type(message), body, key, partition=partition, message_id=message_id)

    def send_raw(
        self, model: type[Message], body: bytes, key: str, *, partition: int | None = None, message_id: str = ""
    ) -> Record:
        self._ids += 1
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", model.__name__.encode()),
            ("ce_id", (message_id or f"m-{self._ids}").encode()),
            ("ce_source", b"web"),
        ]
        home = home_of(key, PARTITIONS) if partition is None else partition
        return self._append(Outgoing(TOPIC_OF[model].name, home, key.encode(), body, headers))

    def stock(self, location: str, units: int, *skus: str) -> None:
        self._ids += 1
        lines = tuple(SkuQuantity(sku=sku, quantity=units) for sku in skus)
        self.send(ReceiveStock(movement_id=f"delivery-{self._ids}", location=location, lines=lines))

    def _append(self, said: Outgoing) -> Record:
        part = self.topics[said.topic, said.partition]
        moment = int(self.now.timestamp() * 1000)
        record = Record(said.topic, said.partition, len(part), moment, said.key, said.value, tuple(said.headers))
        part.append(record)
        self.log.append(record)
        return record

    # Going on.

    async def settle(self, within: timedelta = timedelta(hours=6)) -> None:
        """Go on until nothing is left to do before so much time has passed."""
        until = self.now + within
        while True:
            self.now += timedelta(milliseconds=self.chance.randint(1, 20))
            ready = [node for node in self.nodes if self._backlog(node) or self._is_due(node)]
            if ready:
                await self._step(self.chance.choice(ready))
                continue
            moments = [moment for node in self.nodes if (moment := node.next_moment()) is not None]
            if not moments or min(moments) > until:
                return
            self.now = max(self.now, *[min(moments)])

    def _backlog(self, node: Node) -> list[Sequence[Record]]:
        at = node.progress.positions
        backlog = [self.topics[topic, node.partition][at.get(topic, 0) :] for topic in node.service.topics]
        return [records for records in backlog if records]

    def _is_due(self, node: Node) -> bool:
        moment = node.next_moment()
        return moment is not None and moment <= self.now

    async def _step(self, node: Node) -> None:
        """Let the partition take some of what waits for it, in one batch."""
        taken: list[Taken] = [*node.due(self.now), *await self._answers(node)]
        for records in self.chance.sample(backlog := self._backlog(node), k=len(backlog)):
            taken += records[: self.chance.randint(0 if taken else 1, 4)]
        parked = {key.partition("/")[2] for key in node.documents if key.startswith(f"{Parked.kind}/")}
        source = f"{node.service.name}/{node.partition}@a1"
        start = Start(node.progress, node.journaled, source, node.number + 1, "test", self.now)
        # The stand-ins of the ports have the few methods that a fold uses.
        fold = Fold(node.service, node.partition, node, node, Memory(1000), parked, METERS[node.service.name])  # type: ignore[arg-type]
        folded = await fold.run(taken, start)
        assert folded.gap is None
        node.progress = folded.progress
        if folded.entry is None:
            return
        node.number += 1
        node.journaled = folded.progress
        node.documents.update(folded.stored)
        outbox = folded.entry.outbox
        if self.chance.random() < self.crashes:
            outbox = (*outbox[: self.chance.randint(0, len(outbox))], *outbox)
        for said in outbox:
            self._append(said)

    async def _answers(self, node: Node) -> list[CallAnswered]:
        answers = []
        for key, stored in node.documents.items():
            for call in stored.document.calls:
                if node.service.gateway is not None and (call.not_before or NOON) <= self.now:
                    try:
                        answer = await node.service.gateway.perform(call)
                    except TimeoutError:
                        answer = Unknown("timed out")
                    answers.append(CallAnswered(key, call, answer))
        return answers

    # Looking.

    def document(self, service: str, key: str) -> Document | None:
        held = [node.documents[key] for node in self.nodes if node.service.name == service and key in node.documents]
        return held[0].document if held else None

    def of_type(self, model: type[Message]) -> list[Record]:
        return [record for record in self.log if dict(record.headers)["ce_type"] == model.__name__.encode()]


class Pen:
    """Writes single messages as the services do, each from the partition where it belongs."""

    def __init__(self) -> None:
        self._entries: defaultdict[str, int] = defaultdict(int)
        self._sequences: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._offsets: defaultdict[tuple[str, int], int] = defaultdict(int)

    def __call__(self, message: Message, *, cause: str = "", at: datetime = NOON) -> Logged:
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        partition = home_of(key, PARTITIONS)
        source = f"{topic.owner}/0@a1"
        self._entries[source] += 1
        self._sequences[source, topic.name, partition] += 1
        envelope = Envelope(
            message=message,
            id=f"{source}/{self._entries[source]}/0",
            source=source,
            time=at,
            correlation_id=str(getattr(message, "order_id", key)),
            causation_id=cause,
            sequence=self._sequences[source, topic.name, partition],
        )
        body, headers = encode(envelope)
        offset = self._offsets[topic.name, partition]
        self._offsets[topic.name, partition] += 1
        moment = int(at.timestamp() * 1000)
        return logged(Record(topic.name, partition, offset, moment, key.encode(), body, headers))

    def history(self, order_id: str, *messages: Message) -> History:
        history = History(order_id)
        for message in messages:
            history.add(self(message))
        return history


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def world() -> Callable[[int], World]:
    """Makes a world whose chances come from a seed."""
    return World


@pytest.fixture
def judge() -> Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]:
    """Audits a log."""

    def audit(log: Sequence[Record]) -> tuple[Verdict, list[Judged]]:
        auditor = Auditor(POLICY, PARTITIONS)
        for record in log:
            auditor.take(record)
        judged = [one for partition in range(PARTITIONS) for one in auditor.judge(partition)]
        return auditor.conclude(), judged

    return audit


@pytest.fixture
def replayer() -> Replayer:
    return Replayer(POLICY, PARTITIONS)


@pytest.fixture
def placed() -> Callable[..., OrderPlaced]:
    """Makes an order of units of some items, with any other field as told."""

    def make(number: str, *, units: int = 1, skus: Sequence[str] = ("MUG",), **changes: object) -> OrderPlaced:
        address = {"name": "Ada", "street": "1 High St", "city": "Leeds", "postal_code": "LS1", "country": "GB"}
        fields: dict[str, object] = {
            "channel": "web",
            "number": number,
            "customer": {"id": "c-1", "name": "Ada"},
            "shipping_address": address,
            "billing_address": address,
            "lines": [{"sku": sku, "quantity": units, "unit_price": 500} for sku in skus],
            "total": 500 * units * len(skus),
            "currency": "GBP",
            "payment_token": "tok_ok",
        }
        return OrderPlaced.model_validate(fields | changes, strict=False)

    return make
