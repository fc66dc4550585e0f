"""What FastStream hands over reaches its partition only if it follows on where the partition reads."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaTimeoutError
from chassis.engine.partition import Partition
from chassis.kafka.edge import Edge, Running
from chassis.kafka.feed import KafkaFeed
from chassis.ports import Feed, PositionLost
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters
from contracts.record import Record


@dataclass
class Consumer:
    """Says where it would fetch next, and may do something else before it answers."""

    positions: dict[TopicPartition, int]
    earliest: int = 0
    is_away: bool = False
    holds: list[asyncio.Event] = field(default_factory=list)
    """Who asks for the earliest offsets waits for one of these, while there are any."""
    meanwhile: Callable[[], None] = lambda: None
    paused: set[TopicPartition] = field(default_factory=set)

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused.update(partitions)

    async def position(self, where: TopicPartition) -> int:
        self.meanwhile()
        if where not in self.positions:
            raise IllegalStateError(f"{where} is not assigned")
        return self.positions[where]

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self.holds:
            await self.holds.pop().wait()
        if self.is_away:
            raise KafkaTimeoutError
        return dict.fromkeys(partitions, self.earliest)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 100)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.positions[where] = offset

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)


@dataclass
class Reader:
    """A partition that only notes what it is offered, and whether it is to begin anew."""

    offered: list[tuple[int, int]] = field(default_factory=list)
    begins_anew: bool = False
    bug: Exception | None = None
    """What it runs into when it is offered records."""

    def begin_anew(self) -> None:
        self.begins_anew = True

    def stop(self) -> None: ...

    async def run(self) -> None: ...

    def offer(self, records: Sequence[Record]) -> None:
        if self.bug is not None:
            raise self.bug
        self.offered.extend((record.partition, record.offset) for record in records)


def where(partition: int, topic: str = "order.intake") -> TopicPartition:
    return TopicPartition(topic, partition)


def batch(*places: tuple[int, int]) -> tuple[Record, ...]:
    return tuple(Record("order.intake", partition, offset, 0, None, b"", ()) for partition, offset in places)


@pytest.fixture
def consumer() -> Consumer:
    return Consumer({})


@pytest.fixture
async def edge(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> Edge:
    made = Edge("order", ("order.intake",), ChassisSettings(), lambda _number, _feed: pytest.fail("none"), Meters())
    monkeypatch.setattr(Edge, "_consumer", consumer)
    for number in (0, 1):
        feed = KafkaFeed(consumer, [where(number), where(number, "order.repairs")])
        await feed.start_at({}, ["order.intake"])
        made._running[number] = Running(Reader(), feed, SimpleNamespace())  # type: ignore[arg-type] # stand-ins
    consumer.positions |= {where(0): 12, where(1): 7}
    return made


def offered(edge: Edge, number: int) -> list[tuple[int, int]]:
    reader = edge._running[number].partition
    assert isinstance(reader, Reader)
    return reader.offered


def begin_anew(edge: Edge) -> list[bool]:
    """Of each partition, whether it is to begin anew."""
    readers = [edge._running[number].partition for number in (0, 1)]
    return [isinstance(reader, Reader) and reader.begins_anew for reader in readers]


async def test_records_reach_their_partitions_in_order(edge: Edge) -> None:
    await edge._deliver(batch((0, 10), (1, 6), (0, 11)))
    assert offered(edge, 0) == [(0, 10), (0, 11)]
    assert offered(edge, 1) == [(1, 6)]


async def test_records_that_were_fetched_before_the_feed_was_set_back_are_left(edge: Edge, consumer: Consumer) -> None:
    consumer.positions[where(0)] = 4
    await edge._deliver(batch((0, 10), (0, 11), (1, 6)))
    assert offered(edge, 0) == []
    assert offered(edge, 1) == [(1, 6)]


async def test_records_of_a_topic_that_the_feed_does_not_deliver_are_left(edge: Edge, consumer: Consumer) -> None:
    await edge._running[0].feed.start_at({}, ["order.repairs"])
    await edge._deliver(batch((0, 10), (1, 6)))
    await edge._pass_holes()
    assert offered(edge, 0) == []
    assert offered(edge, 1) == [(1, 6)]


@pytest.mark.parametrize("position", [4, 101])
async def test_a_feed_does_not_start_where_its_topic_has_not_begun_yet_or_has_ended_before(
    consumer: Consumer, position: int
) -> None:
    consumer.earliest = 5
    feed = KafkaFeed(consumer, [where(0)])
    with pytest.raises(PositionLost) as lost:
        await feed.start_at({"order.intake": position}, ["order.intake"])
    assert (lost.value.topic, lost.value.position, lost.value.earliest) == ("order.intake", position, 5)
    for there in (5, 100):
        assert await feed.start_at({"order.intake": there}, ["order.intake"]) == {"order.intake": (there, 100)}


async def test_a_partition_that_is_taken_away_meanwhile_costs_the_others_nothing(
    edge: Edge, consumer: Consumer
) -> None:
    def revoke() -> None:
        edge._running.pop(0, None)
        consumer.positions.pop(where(0), None)

    consumer.meanwhile = revoke
    await edge._deliver(batch((0, 10), (1, 6)))
    assert offered(edge, 1) == [(1, 6)]


async def test_a_partition_that_is_gone_before_its_position_is_known_is_not_missed(
    edge: Edge, consumer: Consumer
) -> None:
    consumer.meanwhile = lambda: edge._running.pop(0, None) and None
    await edge._deliver(batch((0, 10), (1, 6)))
    assert offered(edge, 1) == [(1, 6)]


async def test_nothing_is_opened_while_stopping(edge: Edge) -> None:
    edge._is_stopping = True
    await edge.on_partitions_assigned([where(2)])
    assert set(edge._running) == {0, 1}


async def test_a_hole_that_nothing_was_cut_off_in_is_passed_over(edge: Edge) -> None:
    await edge._deliver(batch((0, 9)))
    await edge._deliver(batch((0, 11)))  # at 10 there may be the marker of a transaction
    assert offered(edge, 0) == [(0, 9), (0, 11)]


async def test_records_after_those_that_were_cut_off_before_they_were_read_are_not_taken(
    edge: Edge, consumer: Consumer
) -> None:
    await edge._deliver(batch((0, 9), (1, 6)))
    consumer.earliest = 11
    await edge._deliver(batch((0, 11)))
    assert offered(edge, 0) == [(0, 9)]
    assert begin_anew(edge) == [True, False]


async def test_records_of_which_nobody_knows_whether_some_are_missing_before_them_come_again(
    edge: Edge, consumer: Consumer
) -> None:
    await edge._deliver(batch((0, 9), (1, 5)))
    consumer.is_away = True
    await edge._deliver(batch((0, 11), (1, 6)))
    assert offered(edge, 0) == [(0, 9)]
    assert offered(edge, 1) == [(1, 5), (1, 6)]
    assert begin_anew(edge) == [True, False]


async def test_new_records_of_a_topic_that_lost_its_end_are_not_taken_for_old_ones(edge: Edge) -> None:
    await edge._deliver(batch((0, 11), (1, 6)))
    await edge._deliver(batch((0, 0), (0, 1)))  # as Kafka's consumers do when there is nothing where they stand
    assert offered(edge, 0) == [(0, 11)]
    assert begin_anew(edge) == [True, False]


async def test_who_reads_is_told_of_a_hole_at_the_end_as_of_a_record(edge: Edge, consumer: Consumer) -> None:
    await edge._deliver(batch((0, 10), (0, 11)))
    await edge._pass_holes()  # Kafka would give the record at 12 next, so there is none
    consumer.positions[where(0)] = 14  # at 12 there was what is aborted, at 13 the marker that says so
    await edge._pass_holes()
    await edge._pass_holes()
    assert offered(edge, 0) == [(0, 10), (0, 11), (0, 13)]


async def test_a_hole_that_records_were_cut_off_from_is_not_passed_over(edge: Edge, consumer: Consumer) -> None:
    await edge._deliver(batch((0, 10), (0, 11), (1, 6)))
    consumer.earliest = consumer.positions[where(0)] = 13
    await edge._pass_holes()
    assert offered(edge, 0) == [(0, 10), (0, 11)]
    assert begin_anew(edge) == [True, False]


async def test_a_hole_before_which_the_feed_was_set_back_meanwhile_is_not_passed_over(
    edge: Edge, consumer: Consumer
) -> None:
    await edge._deliver(batch((0, 9)))
    answer = asyncio.Event()
    consumer.holds.append(answer)
    delivering = asyncio.create_task(edge._deliver(batch((0, 11))))
    await asyncio.sleep(0)
    await edge._running[0].feed.start_at({"order.intake": 3}, ["order.intake"])
    answer.set()
    await delivering
    assert offered(edge, 0) == [(0, 9)]


async def test_records_that_a_bug_keeps_from_their_partition_come_again_and_it_is_told(edge: Edge) -> None:
    reader = edge._running[0].partition
    assert isinstance(reader, Reader)
    reader.bug = RuntimeError("a bug in taking in")
    with structlog.testing.capture_logs() as lines:
        await edge._deliver(batch((0, 10), (1, 6)))
    assert begin_anew(edge) == [True, False]
    assert offered(edge, 1) == [(1, 6)]
    assert [(line["log_level"], line["exc_info"]) for line in lines] == [("critical", reader.bug)]


async def test_a_topic_that_older_instances_do_not_read_makes_nobody_an_owner(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def open_partition(number: int, _: Feed) -> Partition:
        opened.append(number)
        return Reader()  # type: ignore[return-value] # a stand-in

    upgraded = Edge("order", ("order.intake", "order.repairs"), ChassisSettings(), open_partition, Meters())
    monkeypatch.setattr(Edge, "_consumer", consumer)
    # The group gives half of the partitions to the older instance, and all of the topic that it does not read to us.
    ours = [where(1), where(0, "order.repairs"), where(1, "order.repairs")]
    await upgraded.on_partitions_assigned(ours)
    assert opened == [1]
    assert consumer.paused == set(ours)
