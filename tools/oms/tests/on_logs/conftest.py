"""All five services in one process, on the real engine and a log in memory, in virtual time, crashing now and then."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import chassis.testing.world
import pytest
import shipping.decide
from chassis.backoff import Backoff
from chassis.decision import Decision, Document, Documents, Input
from chassis.entry import Outgoing
from chassis.kafka.partitioner import home_of
from chassis.service import Service
from chassis.testing.store import MemoryStore
from chassis.testing.virtual_time import VirtualTimeLoop
from chassis.testing.world import Process, World, calling
from contracts.inventory import GoodsLine, ReceiveStock
from contracts.message import Currency, Message
from contracts.record import Record
from contracts.topics import TOPIC_OF
from fulfillment.decide import SimulatedPickers
from oms.audit.auditor import Auditor, Judged, Verdict
from oms.audit.stored import compare_order, compare_stock, key_of_stock
from oms.history.replay import Replayer
from oms.simulate.shop import Deadlines, services
from order.definition import Policy
from order.sourcing import Routes
from payment.gateway import Simulator as Provider
from shipping.gateway import Simulator as Carrier

PARTITIONS = 2
POLICY = Policy(
    definition=1,
    routes=Routes(default=("LON", "MAN"), by_country={"FR": ("MAN", "LON")}),
    reserve_within=timedelta(minutes=10),
    authorize_within=timedelta(minutes=10),
    fulfill_within=timedelta(hours=1),
    ship_within=timedelta(minutes=10),
    backorder_within=timedelta(hours=2),
    undo_again_after=timedelta(minutes=1),
    forward_again_after=timedelta(minutes=1),
)
LIMITS = replace(
    chassis.testing.world.LIMITS,
    batch_max_messages=5,
    inbox_max_messages=50,
    documents_in_memory=20,
    checkpoint_interval_s=20.0,
)
QUIET_S = 150.0
"""When nothing has been written for so long, nothing is under way but what waits for hours."""
BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=1))
NO_TIME = timedelta(0)
EVERYTHING: Sequence[dict[str, Any]] = (
    {},
    {"units": 3, "skus": ("MUG", "TEA")},
    {"payment_token": "tok_declined_stolen_card"},
    {"payment_token": "tok_timeout"},
    {"payment_token": "tok_capture_fails"},
    {"special_instructions": "[simulate: short pick]"},
    {"units": 9, "skus": ("TEA",)},
    {"units": 8, "skus": ("TEA",), "allow_split": True},
    {"units": 9, "skus": ("TEA",), "allow_backorder": True},
    {"units": 4, "skus": ("CUP",), "allow_backorder": True},
    {"units": 6, "skus": ("CUP", "MUG"), "allow_backorder": True},
    {"units": 6, "skus": ("CUP",), "allow_split": True, "allow_backorder": True},
    {"lines": [{"sku": "MUG", "quantity": 1, "unit_price": 0}], "total": 0},
    {"total": 7},
)
"""What is special about an order of every sort."""
WIRED = services(
    Deadlines(
        order=POLICY,
        payment=BACKOFF,
        fulfillment=SimulatedPickers(timedelta(seconds=20), timedelta(seconds=10)),
        shipping=shipping.decide.Policy(BACKOFF, timedelta(minutes=1), timedelta(minutes=1)),
    )
)
BY_NAME = WIRED | {
    "payment": calling(WIRED["payment"], Provider(slow=NO_TIME, capture_failures=2)),
    "shipping": calling(WIRED["shipping"], Carrier("GB", Currency("GBP"), slow=NO_TIME)),
}
SERVICES = tuple(BY_NAME.values())
Backup = tuple[MemoryStore, datetime]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}


class Stage:
    """The services at work; `chance` decides who dawdles, and who crashes."""

    policy = POLICY

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a test's dice
        self.crashes = 0.0
        """How likely it is that a process dies at the next step it takes."""
        self.latency_s = 0.0
        """How long each step takes at least."""
        self.world = World(PARTITIONS)
        self._processes: defaultdict[str, list[Process]] = defaultdict(list)
        self._deliveries = 0
        for service in SERVICES:
            for number in range(PARTITIONS):
                self._start(service, number)

    def _start(self, service: Service, number: int) -> None:
        process = self.world.start(service, number, limits=LIMITS)
        self._processes[service.name].append(process)
        process.before = self._dawdle(process, service, number)

    def _dawdle(self, process: Process, service: Service, number: int) -> Callable[[str], Awaitable[None]]:
        async def before(_: str) -> None:
            await asyncio.sleep(self.latency_s)
            if self.chance.random() < self.crashes:
                process.crash()
                self._start(service, number)
            elif self.chance.random() < 0.2:
                await asyncio.sleep(self.chance.random() / 10)

        return before

    @property
    def processes(self) -> list[Process]:
        """Every one that was ever started."""
        return [process for processes in self._processes.values() for process in processes]

    def stop(self, name: str) -> None:
        """Let a service take no further step."""
        for process in self._processes[name]:
            process.freeze()

    def backup(self, name: str) -> Backup:
        """What a service remembers now, and when that is."""
        return self.world.store(BY_NAME[name]).backup(), self.world.clock.now()

    def restore(self, backups: Mapping[str, Backup]) -> None:
        """Stop these services, set what they remember back, and start them again."""
        for name in backups:
            for process in self._processes.pop(name):
                process.crash()
        for name, backup in backups.items():
            topics = BY_NAME[name].topics
            ends = {n: {topic: self.world.topics.end(topic, n) for topic in topics} for n in range(PARTITIONS)}
            self.world.store(BY_NAME[name]).restore(*backup, ends)
        for name in backups:
            for number in range(PARTITIONS):
                self._start(BY_NAME[name], number)

    def upgrade(self, name: str, fails_on: type[Message] | None = None) -> None:
        """Have another version of a service in the place of the one that runs; it has a bug or none."""
        for process in self._processes.pop(name):
            process.crash()
        (good,) = [service for service in SERVICES if service.name == name]

        def decide(documents: Documents, message: Input, now: datetime) -> Decision:
            if fails_on is not None and isinstance(message, fails_on):
                raise KeyError("sku")
            return good.decide(documents, message, now)

        for number in range(PARTITIONS):
            self._start(replace(good, decide=decide), number)

    async def settle(self) -> None:
        """Wait until nothing is under way but what waits for hours."""
        before = -1
        while before != len(self.log):
            before = len(self.log)
            await asyncio.sleep(QUIET_S)

    # What comes from outside.

    def send(self, message: Message, *, partition: int | None = None) -> Record:
        sent = self.world.send(message, partition=partition)
        return self._last(sent.topic, sent.partition)

    def send_raw(self, model: type[Message], body: bytes, key: str, id_: bytes = b"raw") -> Record:
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_type", model.__name__.encode()),
            ("ce_id", id_),
            ("ce_source", b"web"),
        )
        topic, home = TOPIC_OF[model].name, home_of(key, PARTITIONS)
        self.world.topics.write([Outgoing(topic, home, key.encode(), body, headers)])
        return self._last(topic, home)

    def _last(self, topic: str, partition: int) -> Record:
        last = self.world.topics.read(topic, partition)[-1]
        return Record(topic, partition, last.offset, last.timestamp, last.key, last.value, last.headers)

    def stock(self, location: str, units: int, *skus: str) -> None:
        self._deliveries += 1
        lines = tuple(GoodsLine(sku=sku, quantity=units) for sku in skus)
        self.send(ReceiveStock(movement_id=f"delivery-{self._deliveries}", location=location, lines=lines))

    # What can be seen.

    @property
    def log(self) -> list[Record]:
        """Every record, the oldest first."""
        names = [name for topic in TOPIC_OF.values() for name in (topic.name, topic.dead_letter)]
        records = [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
            for name in dict.fromkeys(names)
            for r in self.world.topics.all(name)
        ]
        return sorted(records, key=lambda record: record.timestamp)

    def of_type(self, model: type[Message]) -> list[Record]:
        return [record for record in self.log if dict(record.headers)["ce_type"] == model.__name__.encode()]

    @property
    def documents(self) -> dict[str, dict[str, Document]]:
        """What each service remembers, by service and key."""
        return {service.name: dict(self.world.saved(service)) for service in SERVICES}


@pytest.fixture
async def stage() -> AsyncIterator[Callable[[int], Stage]]:
    """Makes a stage whose chances come from a seed."""
    made: list[Stage] = []

    def make(seed: int) -> Stage:
        made.append(Stage(seed))
        return made[-1]

    yield make
    for one in made:
        await one.world.close()


@pytest.fixture
def judge() -> Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]]:
    """Audits a log."""

    def audit(log: Sequence[Record]) -> tuple[Verdict, list[Judged]]:
        with Auditor(POLICY, PARTITIONS) as auditor:
            for record in log:
                auditor.take(record)
            judged = list(auditor.judge())
            return auditor.conclude(), judged

    return audit


@pytest.fixture
def replayer() -> Replayer:
    return Replayer(POLICY, PARTITIONS)


@pytest.fixture
def everything() -> Sequence[dict[str, Any]]:
    """The fields that make orders of every sort."""
    return EVERYTHING


@pytest.fixture
def all_is_well(
    judge: Callable[[Sequence[Record]], tuple[Verdict, list[Judged]]], replayer: Replayer
) -> Callable[[Stage, int], Verdict]:
    """Checks that so many orders have ended, that nothing is wrong on the log, and that services remember the same."""

    def check(shop: Stage, orders: int) -> Verdict:
        verdict, judged = judge(shop.log)
        assert verdict.findings == []
        assert verdict.waiting == []
        assert verdict.orders.total() == len(judged) == orders
        remembered = shop.documents
        assert [found for one in judged for found in compare_order(one, remembered, replayer)] == []
        levels = [level for book in verdict.books for level in book.levels.values()]
        stocks = remembered["inventory"]
        assert [found for level in levels for found in compare_stock(level, stocks.get(key_of_stock(level)))] == []
        return verdict

    return check
