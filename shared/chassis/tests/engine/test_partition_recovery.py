"""Whatever dies, and wherever: the documents are the same, no message is lost, and what comes twice is an echo."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import SimpleNamespace

import pytest
import structlog
from chassis.decision import Call, Decision, Document, Documents, Input
from chassis.entry import Fenced
from chassis.testing.virtual_time import VirtualTimeLoop
from chassis.testing.world import LIMITS, Process, World
from contracts.payment import PaymentVoided
from contracts.record import Record
from contracts.wire import link_of

SETTLED_S = 20


class Story:
    """A small history over both services and both partitions, whatever dies in between."""

    def __init__(self, toys: SimpleNamespace, world: World) -> None:
        self.toys = toys
        self.world = world
        self.bank: list[str] = []
        self.counter = toys.counter_with(gateway=self)
        self.orders = [*toys.orders_on(world, 0, 3), *toys.orders_on(world, 1, 2)]

    async def perform(self, call: Call) -> object:
        self.bank.append(call.id)
        return "yes"

    def start(self) -> list[Process]:
        return [self.world.start(service, n) for service in (self.counter, self.toys.payer) for n in (0, 1)]

    async def tell(self) -> None:
        """Send what is to be sent: plain, calls, alarms, one astray, one that is ignored, one unreadable, one a bug."""
        for reason in ("first", "call bank", "alarm 2", "ignore", "last"):
            for order_id in self.orders:
                self.world.send(self.toys.ask(order_id, reason))
            await asyncio.sleep(0.7)
        self.world.send(self.toys.ask(self.orders[0], "astray"), partition=1)
        self.world.send(self.toys.ask(self.orders[1], "odd"), headers={"ce_type": b"Nothing"})
        self.world.send(self.toys.ask("shop:sick", "bug"))
        await asyncio.sleep(SETTLED_S)

    def check(self) -> None:
        """Every order heard everything once and in order, and every link runs 1, 2, 3."""
        for order_id in self.orders:
            heard = list(self.world.read(self.counter, self.toys.Tally, order_id).heard)
            asked = ["first", "call bank", "alarm 2", "last", *(["astray"] if order_id == self.orders[0] else [])]
            voids = [f"voided {number + 1}" for number in range(len(asked))]
            assert sorted(heard) == sorted([*asked, *voids, "answered yes", "rang"])
            assert [what for what in heard if what in asked] == asked
            assert [what for what in heard if what in voids] == voids
            attempts = self.world.read(self.toys.payer, self.toys.Voids, order_id).attempts
            assert attempts == tuple(range(1, len(asked) + 1))
        assert set(self.bank) == {f"{order_id}/call bank" for order_id in self.orders}
        assert {key for key in self.world.saved(self.counter) if key.startswith("parked/")} == {"parked/0/shop:sick"}
        letters = self.world.topics.all(self.toys.LETTERS)
        assert len({(letter.value, dict(letter.headers)["dead_letter_from"]) for letter in letters}) == 2
        for topic in ("payment.commands", "payment.events"):
            for number in (0, 1):
                self.check_links(topic, number)

    def check_links(self, topic: str, number: int) -> None:
        """What comes twice on a link is the same, to the byte."""
        records: dict[tuple[str, int], tuple[bytes | None, Mapping[str, bytes]]] = {}
        last: dict[str, int] = {}
        for record in self.world.topics.read(topic, number):
            source, sequence = link_of(record)
            content = (record.value, dict(record.headers))
            assert records.setdefault((source, sequence), content) == content
            assert sequence <= last.get(source, 0) + 1
            last[source] = max(sequence, last.get(source, 0))


async def test_nothing_dies_and_everything_is_heard_once(toys: SimpleNamespace, world: World) -> None:
    story = Story(toys, world)
    story.start()
    await story.tell()
    story.check()
    assert len(story.bank) == len(story.orders)


def die_before(process: Process, step: str) -> None:
    """Let the process die when it is about to take a step of this name."""

    async def die(name: str) -> None:
        if name == step:
            process.crash()

    process.before = die


def steps_of(toys: SimpleNamespace, place: int) -> list[str]:
    """The steps that one of the processes takes in the story."""

    async def play() -> list[str]:
        world = World()
        story = Story(toys, world)
        processes = story.start()
        await story.tell()
        await world.close()
        return processes[place].steps

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(play())


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("away_s", [0.0, 3.0])
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    toys: SimpleNamespace, place: int, away_s: float
) -> None:
    """Before every single step that a process takes outside itself: found by counting them, not by a list."""

    async def play(doomed: int) -> None:
        world = World()
        story = Story(toys, world)
        victim = story.start()[place]
        service = story.counter if place < 2 else toys.payer

        async def die(_: str) -> None:
            if len(victim.steps) == doomed + 1:
                victim.crash()
                asyncio.get_running_loop().call_later(away_s, partial(world.start, service, place % 2))

        victim.before = die
        await story.tell()
        assert victim.task.done()
        story.check()
        await world.close()

    for doomed, step in enumerate(steps_of(toys, place)):
        try:
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                runner.run(play(doomed))
        except BaseException as error:
            error.add_note(f"when it died before step {doomed}, {step}")
            raise


@pytest.mark.parametrize("seed", range(10))
def test_zombies_that_wake_at_any_time_change_nothing(toys: SimpleNamespace, seed: int) -> None:
    """A process freezes before a step, another takes over, and the first goes on as if nothing had been."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret

    async def play(frozen_at: int, wakes_after_s: float) -> float:
        """Say how often the zombie was fenced."""
        world = World()
        story = Story(toys, world)
        zombie = story.start()[0]
        successors: list[Process] = []

        async def freeze(_: str) -> None:
            if len(zombie.steps) == frozen_at:
                zombie.freeze()
                successors.append(world.start(story.counter, 0))
                asyncio.get_running_loop().call_later(wakes_after_s, zombie.thaw)
                asyncio.get_running_loop().call_later(wakes_after_s + 5, zombie.crash)  # the group throws it out

        zombie.before = freeze
        await story.tell()
        assert len(successors) == 1
        story.check()
        await world.close()
        return zombie.count("throughline_fenced_total")

    steps = len(steps_of(toys, 0))
    fenced = 0.0
    for _ in range(5):
        frozen_at, wakes_after_s = chance.randrange(1, steps), chance.choice([0.01, 0.5, 1.5, 4, 10])
        try:
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                fenced += runner.run(play(frozen_at, wakes_after_s))
        except BaseException as error:
            error.add_note(f"frozen at step {frozen_at}, woken after {wakes_after_s} s")
            raise
    assert fenced, "whoever woke had nothing left to do"


async def test_a_zombie_drops_its_memory_and_recovers_when_it_still_owns(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    order_id, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(order_id, "first"))
    await asyncio.sleep(3)
    await world.store(toys.counter).recover(0, "somebody else")
    world.send(toys.ask(other, "second"))
    await asyncio.sleep(5)
    assert process.count("throughline_fenced_total") == 1
    assert process.partition.state == "running"
    assert world.read(toys.counter, toys.Tally, other).heard == ("second",)
    assert world.store(toys.counter).checkpoint_of(0).epoch == 3


async def test_an_append_that_came_too_late_is_fenced_though_its_number_was_taken_long_ago(
    toys: SimpleNamespace, world: World
) -> None:
    store = world.store(toys.counter)
    zombie = world.start(toys.counter)
    first, *orders = toys.orders_on(world, 0, 40)
    world.send(toys.ask(first, "before"))
    await asyncio.sleep(3)

    async def freeze(step: str) -> None:
        if step == "append":
            zombie.freeze()

    zombie.before = freeze
    world.send(toys.ask(first, "at the wrong time"))
    await asyncio.sleep(1)
    world.start(toys.counter)
    for order_id in orders:
        world.send(toys.ask(order_id, "meanwhile"))
        await asyncio.sleep(1.5)
    published = len(world.topics.all("payment.commands"))
    assert store.checkpoint_of(0).number > 20
    zombie.before = None
    zombie.thaw()
    await asyncio.sleep(0.5)
    zombie.crash()
    assert zombie.count("throughline_fenced_total") == 1
    assert len(world.topics.all("payment.commands")) == published


async def test_a_checkpoint_of_who_was_overtaken_is_refused(toys: SimpleNamespace, world: World) -> None:
    store = world.store(toys.counter)
    old = await store.recover(0, "old")
    new = await store.recover(0, "new")
    with pytest.raises(Fenced):
        await store.checkpoint(replace(old.checkpoint, number=1), [])
    assert store.checkpoint_of(0) == new.checkpoint


@pytest.mark.parametrize("done", [False, True])
async def test_a_write_with_an_unknown_outcome_is_found_out_by_recovering(
    toys: SimpleNamespace, world: World, done: bool
) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    failed: list[str] = []

    async def break_once(step: str) -> None:
        if step == ("appended" if done else "append") and not failed:
            failed.append(step)
            raise ConnectionError("the line went dead")

    process.before = break_once
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(SETTLED_S)
    assert failed
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("once",)
    assert len(world.store(toys.counter).journal(0)) == 1
    assert {link_of(record)[1] for record in world.topics.all("payment.commands")} == {1}


async def test_it_is_recovering_until_what_was_journaled_is_published(toys: SimpleNamespace, world: World) -> None:
    """Whoever waits for just that sends nothing, so that nothing else tells that it stands still."""
    died = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]

    die_before(died, "publish")
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(3)
    process = world.start(toys.counter)
    back_s = asyncio.get_running_loop().time() + 60

    async def down(step: str) -> None:
        if step == "publish" and asyncio.get_running_loop().time() < back_s:
            raise ConnectionError("no leader")

    process.before = down
    await asyncio.sleep(50)
    assert process.partition.state == "recovering"
    assert process.count("throughline_publish_failures_total") > 5
    await asyncio.sleep(SETTLED_S)
    assert process.partition.state == "running"
    assert [link_of(record)[1] for record in world.topics.all("payment.commands")] == [1]


async def test_it_recovers_once_the_store_is_back(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]

    async def down(step: str) -> None:
        if asyncio.get_running_loop().time() < 60 and step in {"claim", "append", "load", "save", "checkpoint"}:
            raise ConnectionError("no primary")

    process.before = down
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(30)
    assert process.partition.state == "recovering"
    await asyncio.sleep(60)
    assert process.partition.state == "running"
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("once",)


async def test_a_link_goes_on_without_a_gap_after_messages_that_changed_nothing(
    toys: SimpleNamespace, world: World
) -> None:
    """The position moves past an ignored message with the next entry; the number heard on its link must, too."""
    ignored, counted = toys.orders_on(world, 0, 2)

    class Deaf(toys.Counter):
        def decide(self, documents: Documents, message: Input, now: datetime) -> Decision:
            return Decision() if message.order_id == ignored else super().decide(documents, message, now)

    def voided(order_id: str, attempt: int) -> PaymentVoided:
        return PaymentVoided(order_id=order_id, revision=1, attempt=attempt)

    deaf = toys.counter_with(needs=Deaf().needs, decide=Deaf().decide)
    one = world.start(deaf)
    await asyncio.sleep(0.1)
    world.send(voided(ignored, 1), source="payment/0@a", sequence=1)
    await asyncio.sleep(0.1)
    world.send(voided(counted, 1), source="payment/1@b", sequence=1)
    await asyncio.sleep(0.1)
    one.crash()
    two = world.start(deaf)
    world.send(voided(counted, 2), source="payment/0@a", sequence=2)
    await asyncio.sleep(SETTLED_S)
    assert two.partition.state == "running"
    assert world.read(deaf, toys.Tally, counted).heard == ("voided 1", "voided 2")


async def test_records_that_come_while_it_recovers_are_not_decided_on_before_those_ahead_of_them(
    toys: SimpleNamespace, world: World
) -> None:
    """They were fetched before the feed was set back, and delivered late."""
    process = world.start(toys.counter)
    order_id = toys.orders_on(world, 0, 1)[0]
    await asyncio.sleep(1)
    late: list[Record] = []

    async def deliver_late(step: str) -> None:
        if step == "append" and process.steps.count("append") == 1:
            raise ConnectionError("the first attempt fails")
        if step == "claimed" and process.steps.count("claimed") == 2:
            world.send(toys.ask(order_id, "last"))
            late.extend(world.topics.read("order.intake", 0, 2))
            process.partition.offer(late)

    process.before = deliver_late
    world.send(toys.ask(order_id, "first"))
    world.send(toys.ask(order_id, "second"))
    await asyncio.sleep(SETTLED_S)
    assert late
    assert world.read(toys.counter, toys.Tally, order_id).heard[:3] == ("first", "second", "last")


async def test_a_document_that_a_view_did_not_see_before_a_crash_is_shown_after_it(
    toys: SimpleNamespace, world: World
) -> None:
    shown: dict[str, object] = {}

    class Window:
        @staticmethod
        def of(document: Document) -> Document:
            return document

        @staticmethod
        async def show(documents: Sequence[Document]) -> None:
            shown.update({document.key: document for document in documents})

    counter = toys.counter_with(view=Window())
    process = world.start(counter)
    order_id = toys.orders_on(world, 0, 1)[0]

    die_before(process, "show")
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(2)
    assert shown == {}
    world.start(counter)
    await asyncio.sleep(5)
    assert shown == {f"tally/{order_id}": world.read(counter, toys.Tally, order_id)}


async def test_a_journal_with_a_hole_is_not_served(toys: SimpleNamespace, world: World) -> None:
    first = world.start(toys.counter, limits=replace(LIMITS, checkpoint_interval_s=1000))
    for order_id in toys.orders_on(world, 0, 3):
        world.send(toys.ask(order_id, "once"))
        await asyncio.sleep(1)
    first.crash()
    del world.store(toys.counter)._data.journal[0, 2]
    second = world.start(toys.counter)
    await asyncio.sleep(SETTLED_S)
    assert second.partition.state == "recovering"
    assert len(world.topics.all("payment.commands")) == 3


async def test_a_process_is_not_mistaken_for_what_it_was_before_it_recovered(
    toys: SimpleNamespace, world: World
) -> None:
    """A write that it gave up may still arrive: what it wrote then is not what it decides now."""
    process = world.start(toys.counter)
    store = world.store(toys.counter)
    one, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(one, "once"))
    await asyncio.sleep(2)
    given_up = replace(store.journal(0)[0], number=2, changes=(), outbox=())
    await store.recover(0, "somebody else")
    world.send(toys.ask(one, "makes it recover"))
    await asyncio.sleep(0.1)
    late = replace(given_up, number=store.journal(0)[-1].number + 1)
    await asyncio.sleep(5)
    await store.append(late)
    world.send(toys.ask(other, "twice"))
    await asyncio.sleep(SETTLED_S)
    assert process.count("throughline_fenced_total") == 2
    assert world.read(toys.counter, toys.Tally, other).heard == ("twice",)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"heard": "Ada"}, "heard: Input should be a valid array"),
        ({"heard": ["Ada", 7], "asked": "often"}, "heard[1]: Input should be a valid string; asked: Input should"),
    ],
)
@pytest.mark.parametrize("is_saved", [True, False], ids=["stored", "journaled"])
async def test_a_document_that_this_version_cannot_read_is_named_with_the_reason_until_a_version_can(
    toys: SimpleNamespace, world: World, wrong: Mapping[str, object], why: str, *, is_saved: bool
) -> None:
    first = world.start(toys.counter, limits=replace(LIMITS, checkpoint_interval_s=1 if is_saved else 1000))
    order_id, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(5)
    first.crash()
    data = world.store(toys.counter)._data
    good = replace(data, journal={**data.journal}, documents={**data.documents})
    (change,) = data.journal[0, 1].changes
    bad = replace(change, body=json.dumps(json.loads(change.body) | wrong).encode())
    data.journal[0, 1] = replace(data.journal[0, 1], changes=(bad,))
    if is_saved:
        data.documents[change.key] = replace(data.documents[change.key], change=bad)

    with structlog.testing.capture_logs() as lines:
        second = world.start(toys.counter)
        world.send(toys.ask(other, "once"))
        world.send(toys.ask(order_id, "twice"))
        for _ in range(50):  # also in the moments in which it seems to run
            await asyncio.sleep(0.3)
            assert f"UnreadableDocument: tally/{order_id}: {why}" in str(second.partition.failure)
    told = [line for line in lines if line["log_level"] == "critical"]
    assert len(told) > 5
    assert all(f"tally/{order_id}: {why}" in line["reason"] for line in told)
    assert "Ada" not in str(lines)

    data.journal, data.documents = good.journal, good.documents
    await asyncio.sleep(SETTLED_S)
    assert (second.partition.state, second.partition.failure) == ("running", None)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("once", "twice")


async def test_a_document_of_a_kind_that_this_version_does_not_know_is_named(
    toys: SimpleNamespace, world: World
) -> None:
    first = world.start(toys.counter, limits=replace(LIMITS, checkpoint_interval_s=1000))
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "once"))
    await asyncio.sleep(5)
    first.crash()
    other = world.start(replace(toys.counter, documents=()))
    await asyncio.sleep(5)
    assert (
        other.partition.failure == f"UnreadableDocument: tally/{order_id}: this version knows no documents of its kind"
    )
