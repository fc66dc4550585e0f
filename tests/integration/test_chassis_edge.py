"""Instances of one service on real engines: partitions move under load, and every message counts once."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import choice
from string import ascii_lowercase

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from chassis.clock import WallClock
from chassis.decision import Decision, Document, Documents, Input
from chassis.engine.partition import Partition
from chassis.entry import Entry
from chassis.kafka.edge import Edge
from chassis.kafka.log import KafkaLog, KafkaPublisher
from chassis.limits import Limits
from chassis.mongo.client import connect
from chassis.mongo.reader import MongoReader
from chassis.mongo.store import MongoStore
from chassis.ports import BY_ID, Feed
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.stuck.parking import Parked
from chassis.telemetry import Meters
from contracts.order import CancelOrder
from contracts.payment import VoidPayment
from contracts.topics import BY_NAME, PARTITIONS, TOPIC_OF, Topic
from contracts.wire import link_of
from oms.fleet import Addresses
from oms.setup import create_topics
from oms.stack.process import until

pytestmark = pytest.mark.integration

ORDERS = [f"shop:{number}" for number in range(40)]
POISON = "poison"
PACE_S = 0.1


class Tally(Document):
    kind = "tally"
    order_id: str
    heard: tuple[str, ...] = ()


def needs(message: Input, _: Documents) -> Iterable[str]:
    return [Tally.key_of(message.order_id)] if isinstance(message, CancelOrder) else []


def decide(documents: Documents, message: Input, _: datetime) -> Decision:
    """Count what is asked, also what is asked twice: a record that is taken twice would show. Poison raises."""
    if not isinstance(message, CancelOrder):
        return Decision()
    if message.reason == POISON:
        raise RuntimeError("a bug")
    order_id = message.order_id
    tally = documents.get(Tally, order_id) or Tally(id=order_id, order_id=order_id)
    heard = (*tally.heard, message.reason)
    return Decision((tally.but(heard=heard),), (VoidPayment(order_id=order_id, revision=1, attempt=len(heard)),))


@dataclass
class Town:
    """A toy service with topics and a database of its own, and its instances."""

    stack: Addresses
    name: str
    asked: Topic
    told: Topic
    log: KafkaLog
    store: MongoStore
    reader: MongoReader
    closing: AsyncExitStack
    sent: dict[str, list[str]] = field(default_factory=lambda: {order_id: [] for order_id in ORDERS})
    meters: list[Meters] = field(default_factory=list)

    @property
    def service(self) -> Service:
        return Service(self.name, (self.asked.name,), (Tally,), needs=needs, decide=decide)

    async def instance(self, batch: int = 50) -> Edge:
        log = KafkaLog(self.stack.kafka, self.name)
        await log.start(PARTITIONS)
        self.closing.push_async_callback(log.stop)
        meters = Meters()
        self.meters.append(meters)
        settings = ChassisSettings(kafka_brokers=self.stack.kafka, session_timeout_s=6, inbox_max_messages=200)
        limits = Limits(
            batch_max_messages=batch,
            inbox_max_messages=settings.inbox_max_messages,
            under_way_max_documents=settings.under_way_max_documents,
            documents_in_memory=5,
            checkpoint_interval_s=0.3,
        )
        writer = f"{self.name}-{len(self.meters)}"

        def open_partition(number: int, feed: Feed) -> Partition:
            return Partition(
                number,
                writer,
                self.service,
                store=self.store,
                log=log,
                clock=WallClock(),
                feed=feed,
                limits=limits,
                meters=meters,
            )

        edge = Edge(self.name, (self.asked.name,), settings, open_partition, meters)
        await edge.start()
        self.closing.push_async_callback(edge.stop)
        return edge

    async def send(self, rounds: int) -> None:
        publisher = KafkaPublisher(self.log, self.name, WallClock())
        for _ in range(rounds):
            for order_id in ORDERS:
                self.sent[order_id].append(f"number {len(self.sent[order_id])}")
            asks = [
                CancelOrder(order_id=order_id, reason=sent[-1], requested_by="Ann")
                for order_id, sent in self.sent.items()
            ]
            await asyncio.gather(*(publisher.publish(ask) for ask in asks))

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Ask again and again, for as long as the block takes."""
        enough = asyncio.Event()

        async def keep_sending() -> None:
            while not enough.is_set():
                await self.send(1)
                await asyncio.sleep(PACE_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(keep_sending())
            yield
            enough.set()

    async def goes_on(self) -> None:
        """Wait until every order hears something that is not sent yet."""
        before = {order_id: len(sent) for order_id, sent in self.sent.items()}

        async def is_so() -> bool:
            heard = await self.heard()
            return all(len(heard.get(order_id, ())) > sent for order_id, sent in before.items())

        assert await until(is_so, 40)

    async def heard(self) -> dict[str, list[str]]:
        tallies = await self.reader.find(Tally, {}, sort=BY_ID, limit=1000)
        return {tally.id: list(tally.heard) for tally in tallies}

    async def hears_all(self, within_s: float = 60) -> None:
        """Wait until every order has heard all that was sent, once and in order."""
        async with asyncio.timeout(within_s):
            while await self.heard() != self.sent:
                for order_id, heard in (await self.heard()).items():
                    assert heard == self.sent[order_id][: len(heard)]
                await asyncio.sleep(0.2)

    async def links(self) -> dict[str, list[int]]:
        """The numbers on each link, in the order of the log."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.kafka, auto_offset_reset="earliest")
        await consumer.start()
        parts = [TopicPartition(self.told.name, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found: dict[str, list[int]] = {}
        for part in parts:
            while await consumer.position(part) < ends[part]:
                for record in (await consumer.getmany(part, timeout_ms=500)).get(part, ()):
                    source, sequence = link_of(record) or ("", 0)
                    found.setdefault(f"{source} {part.partition}", []).append(sequence)
        await consumer.stop()
        return found

    async def told_everything_once(self) -> None:
        """Every link runs 1, 2, 3, …; what comes again is an echo."""
        links = await self.links()
        told = 0
        for numbers in links.values():
            heard = 0
            for number in numbers:
                assert number <= heard + 1, "a gap"
                heard = max(heard, number)
            told += heard
        assert told == sum(map(len, self.sent.values()))


@pytest.fixture
async def town(stack: Addresses, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    await create_topics(stack.kafka)
    name = "toy" + "".join(choice(ascii_lowercase) for _ in range(8))  # noqa: S311 - nothing secret
    asked = Topic(f"{name}.asked", name, ("order_id",), (CancelOrder,), readers=(name,), open=True)
    told = Topic(f"{name}.told", name, ("order_id",), (VoidPayment,))
    for topic in (asked, told):
        monkeypatch.setitem(BY_NAME, topic.name, topic)
        monkeypatch.setitem(TOPIC_OF, topic.messages[0], topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in (asked.name, asked.dead_letter, told.name)])
    await admin.close()
    client = connect(stack.mongo)
    log = KafkaLog(stack.kafka, name)
    await log.start(PARTITIONS)
    async with AsyncExitStack() as closing:
        closing.callback(client.close)
        closing.push_async_callback(client.drop_database, name)
        closing.push_async_callback(log.stop)
        service = Service(name, (asked.name,), (Tally,), needs=needs, decide=decide)
        store, reader = MongoStore(client, name, service), MongoReader(client, name, service)
        await store.prepare(PARTITIONS)
        yield Town(stack, name, asked, told, log, store, reader, closing)


@pytest.fixture
def gate(town: Town, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Nothing is journaled before it is set, so what comes stays in the inboxes."""
    opened = asyncio.Event()
    append = town.store.append

    async def append_later(entry: Entry) -> None:
        await opened.wait()
        await append(entry)

    monkeypatch.setattr(town.store, "append", append_later)
    return opened


async def serves(edge: Edge, partitions: int) -> None:
    """Wait until the instance has so many partitions, and is ready."""

    async def is_so() -> bool:
        ready, details = edge.health()
        return ready and len(details["partitions"]) == partitions

    assert await until(is_so, 40)


async def is_full(edge: Edge) -> None:
    """Wait until there is no room for more in any partition."""

    async def is_so() -> bool:
        return {where.partition for where in edge._consumer.paused()} == set(range(PARTITIONS))

    assert await until(is_so, 40)


async def lags(edge: Edge) -> list[float]:
    """How much waits, of each topic partition that the instance speaks of."""
    await edge.measure()
    families = edge._meters.registry.collect()
    return [sample.value for one in families if one.name == "throughline_lag_messages" for sample in one.samples]


async def cut_short(town: Town) -> None:
    """Remove all records that were asked so far."""
    admin = AIOKafkaAdminClient(bootstrap_servers=town.stack.kafka)
    await admin.start()
    cut = {TopicPartition(town.asked.name, number): RecordsToDelete(-1) for number in range(PARTITIONS)}
    await admin.delete_records(cut, timeout_ms=10_000)
    await admin.close()


async def test_partitions_move_between_instances_under_load_and_nothing_is_lost_or_doubled(town: Town) -> None:
    one = await town.instance()
    await serves(one, PARTITIONS)
    async with town.load():
        await town.goes_on()
        two = await town.instance()
        await serves(two, PARTITIONS // 2)
        await serves(one, PARTITIONS // 2)
        await town.goes_on()
        await one.stop()
        await serves(two, PARTITIONS)
        await town.goes_on()
    await town.hears_all()
    await town.told_everything_once()


async def test_a_partition_is_taken_away_while_its_inbox_is_full(
    town: Town, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await town.instance(batch=5)
    await serves(one, PARTITIONS)
    await town.send(80)
    await is_full(one)
    full: set[TopicPartition] = set()
    revoked = one.on_partitions_revoked

    async def revoke(partitions: Iterable[TopicPartition]) -> None:
        full.update(one._consumer.paused())
        gate.set()
        await revoked(partitions)

    monkeypatch.setattr(one, "on_partitions_revoked", revoke)
    two = await town.instance(batch=5)
    await serves(two, PARTITIONS // 2)
    assert {where.partition for where in full} == set(range(PARTITIONS))
    await town.hears_all()
    await town.told_everything_once()


async def test_an_instance_that_was_fenced_reads_on_from_where_the_journal_stands(town: Town) -> None:
    one = await town.instance()
    await serves(one, PARTITIONS)
    async with town.load():
        for times, number in enumerate((0, 1, 0, 2), 1):
            await town.goes_on()
            await town.store.recover(number, "somebody else")

            async def is_fenced(times: int = times) -> bool:
                return town.meters[0].registry.get_sample_value("throughline_fenced_total") == times

            assert await until(is_fenced, 40)
    await town.hears_all()
    await town.told_everything_once()


async def test_a_message_that_makes_decide_raise_parks_its_order_only(town: Town) -> None:
    sick = ORDERS[0]
    one = await town.instance()
    await serves(one, PARTITIONS)
    await town.send(3)
    poison = CancelOrder(order_id=sick, reason=POISON, requested_by="Ann")
    await KafkaPublisher(town.log, town.name, WallClock()).publish(poison)
    await town.send(3)
    town.sent[sick], waiting = town.sent[sick][:3], town.sent[sick][3:]
    await town.hears_all()
    await town.told_everything_once()
    parked = await town.reader.get(Parked, f"{town.log.partition_of(sick)}/{sick}")
    assert parked is not None
    kept = [CancelOrder.model_validate_json(record.again(0).value or b"").reason for record in parked.records]
    assert kept == [POISON, *waiting]
    assert town.meters[0].registry.get_sample_value("throughline_bugs_total") == 1
    assert one.health()[0]


async def test_lag_goes_to_nothing_and_does_not_linger_where_a_partition_was(town: Town) -> None:
    await town.send(3)
    one = await town.instance()
    await serves(one, PARTITIONS)
    await town.hears_all()
    assert set(await lags(one)) == {0}
    two = await town.instance()
    await serves(two, PARTITIONS // 2)
    await one.stop()
    assert await lags(one) == []


async def test_lag_counts_what_comes_while_the_inbox_is_full_and_nothing_is_fetched(
    town: Town, gate: asyncio.Event
) -> None:
    one = await town.instance()
    await serves(one, PARTITIONS)
    await town.send(80)
    await is_full(one)
    await town.send(3)
    assert sum(await lags(one)) == 83 * len(ORDERS)  # none of them is decided on yet
    gate.set()
    await town.hears_all()


@pytest.mark.parametrize("taken", [True, False], ids=["some of it was taken", "nothing was taken"])
async def test_a_topic_that_was_cut_short_under_the_journal_is_told_instead_of_passed_over(
    town: Town, taken: bool
) -> None:
    one = await town.instance()
    await serves(one, PARTITIONS)
    if taken:
        await town.send(5)
        await town.hears_all()
    await one.stop()
    await town.send(3)
    await cut_short(town)
    two = await town.instance()

    async def stands_still() -> bool:
        return {state["state"] for state in two.health()[1]["partitions"].values()} == {"gap"}

    assert await until(stands_still, 40)
    assert not two.health()[0]


async def test_what_is_cut_off_before_an_instance_has_read_it_is_told_instead_of_passed_over(town: Town) -> None:
    one = await town.instance()
    await serves(one, PARTITIONS)
    await town.send(2)
    await town.hears_all()
    for running in one._running.values():
        running.feed.pause([town.asked.name])  # as it is while there is no room
    await town.send(3)
    await cut_short(town)
    await town.send(1)
    for running in one._running.values():
        running.feed.resume([town.asked.name])

    async def stands_still() -> bool:
        return {state["state"] for state in one.health()[1]["partitions"].values()} == {"gap"}

    assert await until(stands_still, 40)
    assert all(len(heard) == 2 for heard in (await town.heard()).values())


async def test_partitions_that_were_added_while_a_service_runs_are_not_served_and_make_it_not_ready(town: Town) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=town.stack.kafka)
    await admin.start()
    await admin.create_partitions({town.asked.name: NewPartitions(total_count=2 * PARTITIONS)})
    await admin.close()
    one = await town.instance()
    await town.send(3)  # to where the orders have always been
    await town.hears_all()

    async def is_told() -> bool:
        ready, details = one.health()
        states = {number: state["state"] for number, state in details["partitions"].items()}
        old, new = range(PARTITIONS), range(PARTITIONS, 2 * PARTITIONS)
        return not ready and states == {str(n): "running" for n in old} | {str(n): "recovering" for n in new}

    assert await until(is_told, 20)
