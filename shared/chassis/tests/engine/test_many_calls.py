"""More calls than are held in memory, as when a provider is away: they are left to the store, and made all the same."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from chassis.decision import Call, Document
from chassis.engine import held, pending
from chassis.engine.pending import AT_A_TIME, MOST, Pending
from chassis.entry import ONE_MS, Calling, Change, Stored
from chassis.ports import FOR_EVER
from chassis.service import Service
from chassis.testing.virtual_time import EPOCH
from chassis.testing.world import CALLS_AT_ONCE, LIMITS, Process, World
from hypothesis import given
from hypothesis import strategies as st

FEW = 8
"""So many are held at the most, where a test says so."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST", FEW)
    for module in (pending, held):
        monkeypatch.setattr(module, "AT_A_TIME", FEW // 2)


class Bank:
    """Takes a second to answer, and may be away; remembers what it was asked, and for how many at a time."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[str] = []
        self.answered: Counter[str] = Counter()

    async def perform(self, call: Call) -> object:
        self.asked.append(call.id)
        await asyncio.sleep(1)
        if self.is_away:
            raise ConnectionError("nobody is there")
        self.answered[call.id] += 1
        return "yes"


def name_of(order_id: str) -> str:
    return f"{order_id}/call bank"


def to_make(process: Process) -> int:
    """How many documents are held whose calls are still to be made."""
    return len(process.partition._held.calls.pending._to_make)


def heard(toys: SimpleNamespace, world: World, service: Service, order_id: str) -> tuple[str, ...]:
    tally = world.read(service, toys.Tally, order_id)
    assert tally is not None
    return tuple(what for what in tally.heard if what != "unknown")


async def store(toys: SimpleNamespace, world: World, service: Service, orders: Sequence[str]) -> None:
    """An owner that is gone left so many orders whose calls are pending, each from a second before the next."""
    saved = world.store(service)
    owner = await saved.recover(0, "gone")
    changes = []
    for number, order_id in enumerate(orders):
        tally = toys.Tally(id=order_id, order_id=order_id, calls=(Call(id=name_of(order_id)),))
        due = EPOCH - timedelta(hours=1) + timedelta(seconds=number)
        changes.append(Change(tally.key, tally.model_dump_json().encode(), None, due, None, 1))
    await saved.checkpoint(replace(owner.checkpoint, number=1), changes)


async def test_a_new_owner_of_very_many_pending_calls_holds_a_few_and_makes_all_in_their_order(
    toys: SimpleNamespace, world: World
) -> None:
    bank = Bank()
    counter = toys.counter_with(gateway=bank)
    orders = toys.orders_on(world, 0, 2 * MOST + 100)
    await store(toys, world, counter, orders)
    process = world.start(counter)
    most_held = most_in_memory = 0

    while len(bank.answered) < len(orders):
        await asyncio.sleep(1)
        most_held = max(most_held, to_make(process))
        most_in_memory = max(most_in_memory, len(process.partition._held.memory))

    assert AT_A_TIME // 2 < most_held <= MOST
    assert most_in_memory <= LIMITS.documents_in_memory + 20 * CALLS_AT_ONCE  # and what is not saved yet
    assert bank.asked == [name_of(order_id) for order_id in orders]
    assert process.steps.count("calling") < len(orders) / (AT_A_TIME / 4)
    await asyncio.sleep(5)
    assert {tally.heard for tally in world.saved(counter).values()} == {("answered yes",)}


@pytest.mark.usefixtures("few")
async def test_a_partition_fails_by_a_pending_document_that_it_cannot_read(toys: SimpleNamespace, world: World) -> None:
    bank = Bank()
    counter = toys.counter_with(gateway=bank)
    orders = toys.orders_on(world, 0, 4 * FEW)
    await store(toys, world, counter, orders)
    documents = world.store(counter)._data.documents
    last = f"tally/{orders[-1]}"
    good = documents[last]
    documents[last] = replace(good, change=replace(good.change, body=b"{}"))
    process = world.start(counter)
    await asyncio.sleep(60)

    for _ in range(50):  # also in the moments in which it seems to run
        await asyncio.sleep(0.3)
        assert str(process.partition.failure).startswith(f"UnreadableDocument: {last}: ")

    documents[last] = good
    await asyncio.sleep(60)
    assert (process.partition.state, process.partition.failure) == ("running", None)
    assert set(bank.answered) == {name_of(order_id) for order_id in orders}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("crashes_at_s", [None, 1, 20, 100])
async def test_calls_that_pile_up_while_the_provider_is_away_are_made_when_it_is_back(
    toys: SimpleNamespace, world: World, crashes_at_s: float | None
) -> None:
    bank = Bank()
    bank.is_away = True
    counter = toys.counter_with(gateway=bank)
    process = world.start(counter)
    orders = toys.orders_on(world, 0, 10 * FEW)
    for second, order_id in enumerate(orders):
        world.send(toys.ask(order_id, "call bank"))
        await asyncio.sleep(1)
        assert to_make(process) <= FEW
        if second == crashes_at_s:
            process.crash()
            process = world.start(counter)
            await asyncio.sleep(0.1)
    if crashes_at_s is not None and crashes_at_s > len(orders):
        process.crash()
        world.start(counter)
    assert not bank.answered
    assert len(set(bank.asked)) > FEW
    bank.is_away = False
    await asyncio.sleep(60)

    assert all(heard(toys, world, counter, order_id) == ("call bank", "answered yes") for order_id in orders)
    assert bank.answered == {name_of(order_id): 1 for order_id in orders}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("step", ["calling", "read the calls"])
@pytest.mark.parametrize("reason", ["call bank again", "once more"])
async def test_what_changes_while_the_store_is_asked_is_neither_lost_nor_asked_for_twice(
    toys: SimpleNamespace, world: World, step: str, reason: str
) -> None:
    bank = Bank()
    counter = toys.counter_with(gateway=bank)
    orders = toys.orders_on(world, 0, 10 * FEW)
    await store(toys, world, counter, orders)
    process = world.start(counter)
    await asyncio.sleep(0.5)
    held_up: list[str] = []

    async def slowly(name: str) -> None:
        if name == step and len(held_up) < 3:
            held_up.append(name)
            for order_id in orders:
                world.send(toys.ask(order_id, f"{reason} {len(held_up)}"))
            await asyncio.sleep(20)  # so that it is decided on, journaled and saved meanwhile

    process.before = slowly
    await asyncio.sleep(300)

    assert len(held_up) == 3
    again = [f"{name_of(order_id)} again {number}" for order_id in orders for number in (1, 2, 3)]
    expected = [name_of(order_id) for order_id in orders] + (again if reason == "call bank again" else [])
    assert Counter(bank.asked) == Counter(expected)
    assert bank.answered == Counter(expected)


@pytest.mark.usefixtures("few")
async def test_a_store_that_does_not_answer_is_asked_again(toys: SimpleNamespace, world: World) -> None:
    bank = Bank()
    counter = toys.counter_with(gateway=bank)
    orders = toys.orders_on(world, 0, 3 * FEW)
    await store(toys, world, counter, orders)
    process = world.start(counter)
    await asyncio.sleep(0.5)
    refused = []

    async def away(name: str) -> None:
        if name == "calling" and len(refused) < 3:
            refused.append(name)
            raise ConnectionError("the store is away")

    process.before = away
    await asyncio.sleep(30)

    assert len(refused) == 3
    assert process.count("throughline_read_failures_total") == 3
    assert bank.answered == {name_of(order_id): 1 for order_id in orders}


async def test_a_call_of_which_another_clock_says_that_it_is_not_due_yet_is_made_at_once(
    toys: SimpleNamespace, world: World
) -> None:
    bank = Bank()
    counter = toys.counter_with(gateway=bank)
    [order_id] = toys.orders_on(world, 0, 1)
    world.clock.skew = timedelta(days=1)
    first = world.start(counter)
    bank.is_away = True
    first.service.outside.slots._value = 0  # so that it is not made before it is saved
    world.send(toys.ask(order_id, "call bank"))
    await asyncio.sleep(5)
    first.crash()
    world.clock.skew = timedelta()
    bank.is_away = False
    world.start(counter)
    await asyncio.sleep(5)
    assert bank.answered == {name_of(order_id): 1}


KEYS = "abcdefghijklmnop"
STEPS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(KEYS), st.integers(0, 9) | st.none()),
    *(st.tuples(st.just(step), st.none(), st.none()) for step in ("take", "save", "ask", "hear")),
)


class Caller(Document):
    kind = "caller"


@pytest.mark.usefixtures("few")
def test_what_waits_for_an_answer_is_not_left_to_the_store_where_its_call_would_be_made_again() -> None:
    calls = Pending(Noon())
    calls.begin_reading()
    calls.learn([], FOR_EVER)
    first, second = Call(id="first"), Call(id="second", not_before=EPOCH + timedelta(hours=1))
    asking = Stored(Caller(id="asking", calls=(first, second)), None)
    calls.put("asking", asking, EPOCH)
    assert calls.take() == ("asking", first)
    for number in range(2 * FEW):
        earlier = Stored(Caller(id=str(number), calls=(Call(id=str(number)),)), None)
        calls.put(str(number), earlier, EPOCH - timedelta(seconds=1))
    calls.begin_reading()
    calls.put("asking", asking, EPOCH)
    assert "first" not in {taken[1].id for taken in iter(calls.take, None)}


class Noon:
    @staticmethod
    def now() -> datetime:
        return EPOCH


class Holder:
    """Documents with a call each, some of them saved, and what is held of their calls."""

    def __init__(self) -> None:
        self.pending = Pending(Noon())
        self.wanted: dict[str, Calling | None] = {}
        self.saved: dict[str, Calling | None] = {}
        self.made: list[str] = []
        self.found: tuple[list[Calling], datetime] = [], FOR_EVER

    def change(self, key: str, second: int | None, number: int) -> None:
        call = Call(id=f"{key}/{number}")
        calls = () if second is None else (call,)
        stored = Stored(Caller(id=key, calls=calls), None)
        due = None if second is None else EPOCH - timedelta(seconds=second)
        self.wanted[key] = None if due is None else Calling(key, due, stored)
        self.pending.put(key, stored, due)

    def take(self) -> bool:
        if (taken := self.pending.take()) is None:
            return False
        key, call = taken
        wanted = self.wanted[key]
        assert wanted is not None
        assert wanted.stored.document.calls == (call,)
        self.made.append(call.id)
        return True

    def save(self) -> None:
        self.saved = dict(self.wanted)

    def ask(self) -> None:
        if self.pending.runs_short:
            since = self.pending.begin_reading()
            for key, wanted in self.wanted.items():
                if wanted != self.saved.get(key):
                    gone = Stored(Caller(id=key), None)
                    self.pending.put(key, wanted.stored if wanted else gone, wanted.due if wanted else None)
            found = [one for one in self.saved.values() if one is not None and one.due >= since]
            moments = sorted(one.due for one in found)
            until = moments[FEW // 2 - 1] + ONE_MS if len(found) >= FEW // 2 else FOR_EVER
            self.found = [one for one in found if one.due < until], until

    def hear(self) -> None:
        if self.pending.is_reading:
            self.pending.learn(*self.found)


@given(st.lists(STEPS, max_size=150))
def test_every_call_is_made_once_and_none_that_is_not_wanted_any_more(steps: list[tuple[str, str, int | None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pending, "MOST", FEW)
        patch.setattr(pending, "AT_A_TIME", FEW // 2)
        holder = Holder()
        for number, (step, key, second) in enumerate(steps):
            if step == "change":
                holder.change(key, second, number)
            else:
                getattr(holder, step)()
            assert len(holder.pending._to_make) <= FEW
        for _ in KEYS:
            holder.ask()
            holder.hear()
            while holder.take():
                pass

    last = {one.stored.document.calls[0].id for one in holder.wanted.values() if one is not None}
    assert last <= set(holder.made)
    assert len(set(holder.made)) == len(holder.made)
