"""A partition whose database was restored lives its past again: what it comes to is what it had come to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from chassis.decision import Call, Decision, Documents, Input
from chassis.ports import Hole
from chassis.service import Service
from chassis.stuck.gap import Gap
from chassis.testing.store import MemoryStore
from chassis.testing.topics import MemoryTopics
from chassis.testing.world import Process, World
from contracts.repair import AcceptGap
from contracts.wire import link_of

TOPICS = ("order.intake", "payment.events")
NOON_US = 1_767_614_400_000_000
"""What a channel writes that takes microseconds for milliseconds."""


@dataclass
class Bank:
    """Answers when it has time, and may be away."""

    asked: list[str] = field(default_factory=list)
    away: bool = False
    takes_s: float = 0.0

    async def perform(self, call: Call) -> object:
        self.asked.append(call.id)
        await asyncio.sleep(self.takes_s)
        if self.away:
            raise ConnectionError("nobody is there")
        return "yes"


@dataclass
class Restorable:
    """The counter on partition 0, with its payer, and what is needed to set it back."""

    toys: SimpleNamespace
    world: World
    bank: Bank

    def __post_init__(self) -> None:
        self.counter: Service = self.toys.counter_with(gateway=self.bank)
        [self.order_id] = self.toys.orders_on(self.world, 0, 1)

    @property
    def store(self) -> MemoryStore:
        return self.world.store(self.counter)

    def ask(self, *reasons: str) -> None:
        for reason in reasons:
            self.world.send(self.toys.ask(self.order_id, reason))

    def heard(self) -> Sequence[str]:
        tally = self.world.read(self.counter, self.toys.Tally, self.order_id)
        return tally.heard if tally is not None else ()

    def backup(self) -> tuple[MemoryStore, datetime]:
        return self.store.backup(), self.world.clock.now()

    def restore(self, backup: tuple[MemoryStore, datetime]) -> None:
        ends = {topic: self.world.topics.end(topic, 0) for topic in TOPICS}
        self.store.restore(*backup, {0: ends})

    async def relived(self) -> Process:
        """The counter, started again, once it has its past behind it."""
        process = self.world.start(self.counter)
        while process.partition.state != "running":  # noqa: ASYNC110 - time is virtual: looking costs none
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        return process

    async def dies_in_its_past(self) -> None:
        """The counter, started again, is killed while it waits for an answer in its past."""
        self.bank.takes_s = 5
        process = self.world.start(self.counter)
        await asyncio.sleep(3)
        assert process.partition.state == "reliving"
        process.crash()


@pytest.fixture
def story(toys: SimpleNamespace, world: World) -> Restorable:
    return Restorable(toys, world, Bank())


async def lived(story: Restorable) -> tuple[tuple[MemoryStore, datetime], Sequence[str]]:
    """A history of questions, calls, answers and alarms; its backup early on, and what it came to."""
    counter, payer = story.world.start(story.counter), story.world.start(story.toys.payer)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    for reason in ("second", "alarm 2", "call bank", "third", "alarm 60", "fourth"):
        story.ask(reason)
        await asyncio.sleep(1.3)
    await counter.stop()
    await payer.stop()
    return backup, story.heard()


def without_answers(heard: Sequence[str]) -> Sequence[str]:
    """Nobody wrote down when the world answered, only that it was after it had been asked."""
    return tuple(what for what in heard if what != "answered yes")


async def test_comes_to_what_it_had_come_to(story: Restorable) -> None:
    backup, heard = await lived(story)
    assert {"rang", "answered yes", "voided 7", "fourth"} <= set(heard)
    await asyncio.sleep(3600)

    story.restore(backup)
    assert story.heard() == heard[:2]
    process = await story.relived()

    # The alarm that was still to ring did, an hour late.
    assert without_answers(story.heard()) == (*without_answers(heard), "rang")
    assert "answered yes" in story.heard()
    assert process.partition.positions == {topic: story.world.topics.end(topic, 0) for topic in story.counter.topics}


async def test_hears_a_short_alarm_before_what_came_soon_after_it(story: Restorable) -> None:
    counter = story.world.start(story.counter)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    story.ask("alarm 0.01")
    await asyncio.sleep(0.03)
    story.ask("second")
    await asyncio.sleep(2)
    await counter.stop()
    heard = story.heard()
    assert heard.index("rang") < heard.index("second")

    story.restore(backup)
    await story.relived()

    assert story.heard() == heard


async def test_hears_what_was_on_its_topics_at_the_backup_before_the_deadline_it_met(story: Restorable) -> None:
    counter = story.world.start(story.counter)
    story.ask("alarm 5")
    await asyncio.sleep(2)
    await counter.stop()
    payer = story.world.start(story.toys.payer)  # it answers in time, and nobody hears it
    await asyncio.sleep(60)
    backup = story.backup()
    counter = story.world.start(story.counter)
    await asyncio.sleep(5)
    await counter.stop()
    await payer.stop()
    heard = story.heard()
    assert heard == ("alarm 5", "voided 1", "rang")

    story.restore(backup)
    await story.relived()

    assert story.heard() == heard


async def test_hears_what_came_before_a_deadline_first_though_the_backup_was_made_as_it_relived(
    story: Restorable,
) -> None:
    counter, payer = story.world.start(story.counter), story.world.start(story.toys.payer)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    for reason in ("alarm 5", "call bank", "second"):
        story.ask(reason)
        await asyncio.sleep(1)
    await asyncio.sleep(8)
    await counter.stop()
    await payer.stop()
    heard = story.heard()
    assert heard[-1] == "rang"
    await asyncio.sleep(3600)
    story.restore(backup)
    await story.dies_in_its_past()
    assert "alarm 5" in story.heard()
    backup = story.backup()

    story.restore(backup)
    await story.relived()

    assert without_answers(story.heard()) == without_answers(heard)


async def test_asks_the_world_again_with_the_same_key(story: Restorable) -> None:
    backup, _ = await lived(story)
    story.restore(backup)

    await story.relived()

    assert story.bank.asked == [f"{story.order_id}/call bank"] * 2


async def test_waits_for_what_the_world_answers_before_it_lives_on(story: Restorable) -> None:
    backup, heard = await lived(story)
    story.restore(backup)
    story.bank.takes_s = 5

    await story.relived()

    assert without_answers(story.heard())[: len(heard) - 1] == without_answers(heard)
    assert story.heard().index("answered yes") < story.heard().index("third")


async def test_lives_on_without_the_world_when_that_is_away(story: Restorable) -> None:
    backup, heard = await lived(story)
    story.restore(backup)
    story.bank.away = True
    process = await story.relived()
    assert "unknown" in story.heard()
    assert "answered yes" not in story.heard()

    story.bank.away = False
    await asyncio.sleep(30)
    await process.stop()

    assert set(heard) <= set(story.heard())


async def test_says_again_what_it_says_on_links_that_begin_anew(story: Restorable) -> None:
    backup, _ = await lived(story)
    story.restore(backup)

    await story.relived()

    by_source: dict[str, list[int]] = {}
    for record in story.world.topics.all("payment.commands"):
        link = link_of(record)
        assert link is not None
        by_source.setdefault(link[0], []).append(link[1])
    first, second = by_source
    assert by_source == {first: [1, 2, 3, 4, 5, 6, 7], second: [1, 2, 3, 4, 5, 6]}
    assert second.endswith(f"z2z{first.partition('@')[2]}")


async def test_publishes_what_the_backup_has_and_may_never_have_been_said(story: Restorable) -> None:
    counter = story.world.start(story.counter)
    story.ask("first")
    while not story.store.journal(0):  # noqa: ASYNC110 - the crash is to come between two steps
        await asyncio.sleep(0)
    counter.crash()
    assert story.world.topics.all("payment.commands") == []
    story.restore(story.backup())

    await story.relived()

    [said] = story.world.topics.all("payment.commands")
    assert link_of(said) == ("order/0@00000000", 1)


async def test_goes_on_with_its_past_where_it_died(story: Restorable) -> None:
    backup, heard = await lived(story)
    story.restore(backup)
    await story.dies_in_its_past()

    await story.relived()

    assert without_answers(story.heard())[: len(heard) - 1] == without_answers(heard)
    assert story.heard().index("answered yes") < story.heard().index("third")


async def test_its_time_goes_on_where_it_died(story: Restorable) -> None:
    counter = story.world.start(story.counter)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    for reason in ("call bank", "second"):
        await asyncio.sleep(600)
        story.ask(reason)
    await asyncio.sleep(2)
    await counter.stop()
    story.restore(backup)
    times: list[datetime] = []

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        times.append(now)
        decided: Decision = story.toys.counter.decide(documents, message, now)
        return decided

    story.counter = replace(story.counter, decide=decide)
    await story.dies_in_its_past()

    await story.relived()

    assert story.heard() == ("first", "call bank", "answered yes", "second")
    assert len(times) == 3
    assert times == sorted(times)


async def test_lives_no_past_again_that_it_has_behind_it(story: Restorable) -> None:
    backup, _ = await lived(story)
    story.restore(backup)
    process = await story.relived()
    await process.stop()

    again = story.world.start(story.counter)
    await asyncio.sleep(0.1)

    assert again.partition.state == "running"
    assert again.partition.waiting == 0


async def test_lives_no_past_again_when_its_topics_are_made_anew(story: Restorable) -> None:
    backup, _ = await lived(story)
    story.restore(backup)
    await (await story.relived()).stop()

    story.world.topics = MemoryTopics(2, story.world.clock)
    process = story.world.start(story.counter)
    for topic in TOPICS:
        await asyncio.sleep(2)
        gap = story.world.read(story.counter, Gap, "0")
        assert gap is not None
        assert (gap.topic, process.partition.state) == (topic, "gap")
        accept = {"repair_id": topic, "service": "order", "partition": 0, "by": "kim", "reason": "all is lost"}
        loss = {"topic": gap.topic, "source": gap.source, "first": gap.first, "last": gap.last}
        story.world.send(AcceptGap.model_validate(accept | loss))
    await asyncio.sleep(2)
    story.ask("anew")
    await asyncio.sleep(2)
    assert process.partition.state == "running"
    assert story.heard()[-1] == "anew"


async def test_has_its_past_behind_it_where_that_ended_with_no_record(story: Restorable) -> None:
    backup, _ = await lived(story)
    records = story.world.topics._records["order.intake", 0]
    records.append(Hole("order.intake", 0, len(records)))  # type: ignore[arg-type] # as the feed of Kafka delivers it
    story.restore(backup)
    async with asyncio.timeout(3600):
        process = await story.relived()
    await process.stop()

    again = story.world.start(story.counter)
    await asyncio.sleep(0.1)

    assert again.partition.state == "running"
    assert story.world.topics.all("order.intake.dead-letter") == []
    assert again.partition.positions == {topic: story.world.topics.end(topic, 0) for topic in story.counter.topics}


async def test_takes_what_comes_after_its_past_when_it_comes(story: Restorable) -> None:
    backup, _ = await lived(story)
    story.restore(backup)
    await asyncio.sleep(timedelta(days=1).total_seconds())
    story.ask("fifth")

    await story.relived()

    assert story.heard()[-1] in {"fifth", "rang"}
    assert story.heard().count("fifth") == 1


async def test_does_not_wait_for_what_a_parked_order_asked_the_world(story: Restorable) -> None:
    counter = story.world.start(story.counter)
    story.bank.away = True
    story.ask("call bank")
    await asyncio.sleep(1)
    story.ask("bug")
    await asyncio.sleep(20)
    backup = story.backup()
    [other] = [order_id for order_id in story.toys.orders_on(story.world, 0, 2) if order_id != story.order_id]
    story.world.send(story.toys.ask(other, "first"))
    await asyncio.sleep(1)
    await counter.stop()
    story.restore(backup)
    story.bank.away = False

    async with asyncio.timeout(60):
        await story.relived()

    assert story.world.read(story.counter, story.toys.Tally, other).heard == ("first",)


def date_last_record(story: Restorable, timestamp_ms: int) -> None:
    """Have the order's last message say that it was written then."""
    records = story.world.topics._records["order.intake", 0]
    records[-1] = replace(records[-1], timestamp=timestamp_ms)


@pytest.mark.parametrize("timestamp_ms", [NOON_US, -(10**17)])
async def test_a_record_that_says_no_time_of_our_age_does_not_stop_a_restored_partition(
    story: Restorable, timestamp_ms: int
) -> None:
    counter = story.world.start(story.counter)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    story.ask("second")
    date_last_record(story, timestamp_ms)
    story.ask("third")
    await asyncio.sleep(2)
    await counter.stop()
    story.restore(backup)
    process = story.world.start(story.counter)
    await asyncio.sleep(60)
    assert process.partition.state == "running"
    assert story.heard() == ("first", "second", "third")


async def test_a_channel_whose_clock_is_fast_sets_nobody_elses(story: Restorable) -> None:
    counter, payer = story.world.start(story.counter), story.world.start(story.toys.payer)
    story.ask("first")
    await asyncio.sleep(2)
    backup = story.backup()
    story.ask("alarm 600")
    await asyncio.sleep(2)
    story.ask("second")
    date_last_record(story, story.world.topics._records["order.intake", 0][-1].timestamp + 3_000_000)
    await asyncio.sleep(2)
    await counter.stop()
    await payer.stop()
    story.restore(backup)
    await story.relived()
    assert "rang" not in story.heard()
    story.ask("alarm 5")
    await asyncio.sleep(60)
    assert "rang" in story.heard()
