"""The journal, the checkpoints and the documents on a real MongoDB: what fences, fences."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from chassis.decision import Call, Document
from chassis.engine.pending import ALWAYS
from chassis.entry import Change, Checkpoint, Entry, Fenced, Outgoing, Progress, Recovered
from chassis.kinds import UnreadableDocument
from chassis.mongo.archive import Archive
from chassis.mongo.backup import Database
from chassis.mongo.belonging import FORMAT, Foreign
from chassis.mongo.census import questions
from chassis.mongo.client import connect
from chassis.mongo.reader import COUNT_WITHIN_MS, MongoReader
from chassis.mongo.store import MongoStore
from chassis.ports import BY_ID, FOR_EVER, Count, Sort, Unavailable
from chassis.service import Index, Overdue, Service
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.parking import Parked
from contracts.message import Moment, SkuQuantity
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from oms.fleet import Addresses
from oms.stack.ports import HOST, free_port
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import AutoReconnect
from pymongo.read_concern import ReadConcern
from pymongo.synchronous.pool import Pool

pytestmark = pytest.mark.integration

PARTITIONS = 12
NOON = datetime(2026, 1, 5, 12, 0, 0, 123_000, tzinfo=UTC)


class Basket(Document):
    kind = "basket"
    lines: tuple[SkuQuantity, ...] = ()
    bought_at: Moment | None = None
    amount: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    waits_since_ms: int | None = None
    state: str = ""


TOY = Service(
    "toy",
    ("order.intake",),
    (Basket,),
    needs=lambda _message, _documents: (),
    decide=lambda _documents, _message, _now: pytest.fail("nothing is decided here"),
    indexes=(Index("basket", (("amount", 1),)),),
    overdue=Overdue("basket", "basket", since_ms="waits_since_ms", why="state", after=timedelta(hours=1)),
)


class Toy(NamedTuple):
    """A database of its own."""

    store: MongoStore
    reader: MongoReader


@asynccontextmanager
async def toys(stack: Addresses) -> AsyncIterator[Toy]:
    client = connect(stack.mongo)
    name = f"toy_{uuid4().hex[:8]}"
    toy = Toy(MongoStore(client, name, TOY), MongoReader(client, name, TOY))
    await toy.store.prepare(PARTITIONS)
    try:
        yield toy
    finally:
        await client.drop_database(name)
        client.close()


@pytest.fixture
async def toy(stack: Addresses) -> AsyncIterator[Toy]:
    async with toys(stack) as made:
        yield made


@pytest.fixture
def store(toy: Toy) -> MongoStore:
    return toy.store


@pytest.fixture
def reader(toy: Toy) -> MongoReader:
    return toy.reader


def change(basket: Document, entry: int) -> Change:
    body = basket.model_dump_json().encode()
    due = min((call.not_before or NOON for call in basket.calls), default=None)
    return Change(basket.key, body, basket.alarm, due, "00-trace", entry)


def entry(owner: Recovered, number: int, *baskets: Basket, writer: str = "w", **progress: object) -> Entry:
    changes = tuple(change(basket, number) for basket in baskets)
    out = Outgoing("order.events", 1, b"key", b'{"a": 1}', [("ce_id", b"\x00\xff"), ("ce_id", b"2")])
    made = Progress(**progress)  # type: ignore[arg-type] # the test's to choose
    return Entry(owner.checkpoint.partition, number, f"{writer}/{owner.checkpoint.epoch}", made, changes, (out,))


def through(owner: Recovered, number: int, **progress: object) -> Checkpoint:
    return replace(owner.checkpoint, number=number, progress=Progress(**progress))  # type: ignore[arg-type]


async def test_a_database_is_not_used_with_another_number_of_partitions_than_it_was_begun_with(toy: Toy) -> None:
    """Also where no partition was ever served: other instances have their share, and may be about to take it."""
    for other in (PARTITIONS + 1, 2 * PARTITIONS, PARTITIONS - 1):
        with pytest.raises(Unavailable, match=f"{other} partitions now, and had {PARTITIONS}.*[Bb]ring back"):
            await toy.store.prepare(other)
    await toy.store.recover(0, "w")
    with pytest.raises(Unavailable):
        await toy.store.prepare(PARTITIONS + 1)
    await toy.store.prepare(PARTITIONS)


async def test_a_partition_that_is_added_while_a_service_runs_is_not_served(toy: Toy) -> None:
    """Its keys are at home elsewhere, and a checkpoint of it would hide that when the service starts again."""
    with pytest.raises(RuntimeError, match=f"had {PARTITIONS} partitions"):
        await toy.store.recover(PARTITIONS, "w")
    await toy.store.prepare(PARTITIONS)


async def test_a_database_is_not_used_by_another_service(stack: Addresses, toy: Toy) -> None:
    """As where MONGO_DATABASE is said for all of them at once: they would take each other's entries for their own."""
    client = connect(stack.mongo)
    name = toy.store._database.name
    other = MongoStore(client, name, replace(TOY, name="other"))
    with pytest.raises(Unavailable, match=f"the database {name} is the toy service's: the other service must have one"):
        await other.prepare(PARTITIONS)
    with pytest.raises(Unavailable, match="the toy service's"):
        await other.prepare(PARTITIONS + 1)
    owner = await toy.store.recover(PARTITIONS - 1, "w")
    await toy.store.append(entry(owner, 1))
    await toy.store.checkpoint(through(owner, 1), [])
    with pytest.raises(Unavailable, match="the toy service's"):
        await other.prepare(PARTITIONS)
    await toy.store.prepare(PARTITIONS)
    client.close()


async def test_a_database_that_names_no_service_and_no_format_is_of_before_and_is_left_alone(
    stack: Addresses, toy: Toy
) -> None:
    client = connect(stack.mongo)
    checkpoints = client.get_database(toy.store._database.name)["checkpoints"]
    await checkpoints.update_many({}, {"$unset": {"service": "", "format": ""}})
    with pytest.raises(Foreign, match=f"has format 1, and this version reads and writes format {FORMAT}"):
        await toy.store.prepare(PARTITIONS)
    assert await checkpoints.find_one({"format": {"$exists": True}}) is None
    client.close()


async def test_a_database_that_is_dropped_under_a_service_that_runs_is_still_its_own_when_it_starts_again(
    stack: Addresses, toy: Toy
) -> None:
    client = connect(stack.mongo)
    await client.drop_database(toy.store._database.name)
    for partition in range(PARTITIONS):
        await toy.store.recover(partition, "w")
    await toy.store.prepare(PARTITIONS)
    client.close()


async def test_a_database_of_another_format_is_left_alone(stack: Addresses, toy: Toy) -> None:
    client = connect(stack.mongo)
    name = toy.store._database.name
    checkpoints = client.get_database(name)["checkpoints"]
    assert [row["format"] async for row in checkpoints.find({"service": "toy"})] == [FORMAT]
    await checkpoints.update_many({}, {"$set": {"format": FORMAT + 1}})
    with pytest.raises(Foreign, match=f"{name} has format {FORMAT + 1}, and .* reads and writes format {FORMAT}"):
        await toy.store.prepare(PARTITIONS)
    client.close()


async def test_the_partition_that_tells_how_many_there_are_begins_as_any_other(store: MongoStore) -> None:
    first, last = [(await store.recover(number, "w")).checkpoint for number in (0, PARTITIONS - 1)]
    assert replace(first, partition=last.partition, incarnation=last.incarnation) == last


async def test_an_entry_is_read_back_as_it_was_written(store: MongoStore) -> None:
    owner = await store.recover(3, "w")
    written = entry(
        owner,
        1,
        Basket(id="b-1", lines=(SkuQuantity(sku="mug", quantity=2),), bought_at=NOON),
        positions={"order.intake": 17, "payment.events": 2},
        heard={("payment.events", "payment/0@ab12"): 9},
        sent={("payment.commands", 2): 4},
    )
    await store.append(written)
    again = await store.recover(3, "w")
    assert again.entries == (written,)
    assert again.checkpoint == replace(owner.checkpoint, epoch=owner.checkpoint.epoch + 1)


async def test_a_document_that_cannot_be_read_is_named_and_its_content_is_not(store: MongoStore) -> None:
    owner = await store.recover(0, "w")
    bad = replace(change(Basket(id="b/1"), 1), body=b'{"id": "b/1", "amount": "Ada"}')
    await store.checkpoint(through(owner, 1), [bad])
    with pytest.raises(UnreadableDocument) as told:
        await store.load([bad.key])
    assert str(told.value).startswith("basket/b/1: amount: Input should be a valid integer")
    assert "Ada" not in str(told.value)


async def test_a_new_owner_is_told_what_is_parked_in_its_partition(store: MongoStore) -> None:
    for partition, is_open in ((0, True), (1, True), (2, False)):
        owner = await store.recover(partition, "w")
        parked = Parked(
            id=f"{partition}/web:1",
            place="web:1",
            partition=partition,
            since=NOON,
            why="KeyError",
            reason="",
            open=is_open,
        )
        await store.checkpoint(through(owner, 1), [change(parked, 1)])
    assert [(await store.recover(partition, "w")).parked for partition in range(3)] == [("web:1",), ("web:1",), ()]


async def test_a_new_owner_is_told_what_is_queued_in_its_partition(store: MongoStore) -> None:
    owner = await store.recover(0, "w")
    queued, resting = (Basket(id=id_) for id_ in ("queued", "resting"))
    waits = replace(change(queued, 1), queued=True)
    await store.checkpoint(replace(owner.checkpoint, number=1), (waits, change(resting, 1)))
    assert (await store.recover(0, "w")).queued == (queued.key,)
    assert (await store.recover(1, "w")).queued == ()
    later = (await store.recover(0, "w")).checkpoint
    await store.checkpoint(replace(later, number=2), (change(queued, 2),))
    assert (await store.recover(0, "w")).queued == ()


async def test_partitions_whose_numbers_begin_alike_are_kept_apart(store: MongoStore) -> None:
    one, ten = await store.recover(1, "w"), await store.recover(10, "w")
    await store.append(entry(one, 1, Basket(id="one")))
    await store.append(entry(ten, 1, Basket(id="ten")))
    found = await store.recover(1, "w")
    assert [change.key for entry in found.entries for change in entry.changes] == ["basket/one"]
    assert one.checkpoint.incarnation != ten.checkpoint.incarnation


async def test_the_same_entry_may_be_written_twice_by_its_writer_only(store: MongoStore) -> None:
    """As when the outcome of the first time is unknown."""
    owner = await store.recover(0, "w")
    await store.append(entry(owner, 1))
    await store.append(entry(owner, 1))
    with pytest.raises(Fenced):
        await store.append(entry(owner, 1, writer="zombie"))


async def test_a_zombie_is_fenced_however_long_it_slept(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next number was taken, checkpointed, and its place taken again a whole round of the journal later."""
    monkeypatch.setattr("chassis.entry.JOURNAL_PLACES", 8)
    zombie = await store.recover(0, "zombie")
    owner = await store.recover(0, "w")
    for number in range(1, 20):
        await store.append(entry(owner, number))
        if number % 5 == 0:
            await store.checkpoint(through(owner, number), [])
    for late in range(1, 20):
        with pytest.raises(Fenced):
            await store.append(entry(zombie, late, writer="zombie"))
    assert [e.number for e in (await store.recover(0, "w")).entries] == [16, 17, 18, 19]


async def test_an_entry_that_is_missing_is_told_instead_of_passed_over(store: MongoStore) -> None:
    owner = await store.recover(0, "w")
    await store.append(entry(owner, 1))
    await store.append(entry(owner, 3))
    with pytest.raises(RuntimeError, match="lacks entry 2"):
        await store.recover(0, "w")


async def test_documents_come_back_as_they_were_without_any_loss(store: MongoStore, reader: MongoReader) -> None:
    basket = Basket(
        id="shop:1.$x",
        alarm=NOON,
        calls=(Call(id="c", tries=2, not_before=NOON),),
        lines=(SkuQuantity(sku="mug", quantity=10_000_000),),
        bought_at=NOON,
        amount=10**15,
        labels=(("mug.large", 1), ("$cup", 2), ("", 3)),
    )
    owner = await store.recover(0, "w")
    await store.checkpoint(through(owner, 1), [change(basket, 1)])
    loaded = await store.load([basket.key, "basket/nobody"])
    assert {key: stored.document for key, stored in loaded.items()} == {basket.key: basket}
    assert loaded[basket.key].trace == "00-trace"
    assert await reader.get(Basket, basket.id) == basket
    assert await store.calling(0, NOON, 10) == ([(basket.key, NOON, loaded[basket.key])], FOR_EVER)
    assert await store.alarms(0, None, NOON + timedelta(days=1)) == [(basket.key, NOON)]


async def test_documents_are_written_for_good_and_read_from_the_primary_whatever_the_url_prefers(
    stack: Addresses,
) -> None:
    """What was forgotten in memory is read again and decided on: a secondary may not have the last of it yet, and a
    new primary may not know yet that a majority has it. What only one node has, and not on its disk, may be lost.
    """
    reads = "readPreference=secondaryPreferred&readPreferenceTags=dc:ny&maxStalenessSeconds=120"
    url = f"{stack.mongo}&{reads}&readConcernLevel=majority&w=1&journal=false"
    client = connect(url)
    store, reader = MongoStore(client, "toy", TOY), MongoReader(client, "toy", TOY)
    async with Archive(url, "toy", [Basket]) as archive, Database(url, "toy") as backup:
        for who in (store, reader, archive, backup):
            basket = who._database["basket"]
            assert basket.write_concern == WriteConcern(w="majority", j=True)
            assert (basket.read_preference, basket.read_concern) == (ReadPreference.PRIMARY, ReadConcern("local"))
            assert await basket.find_one({}) is None
    for collection in (store._journal, store._checkpoints):
        assert collection.write_concern == WriteConcern(w="majority", j=True)
    assert store._journal.read_concern == ReadConcern("majority")
    assert store._journal.read_preference == ReadPreference.PRIMARY
    client.close()


async def test_a_reader_names_the_document_that_it_cannot_read_without_what_is_in_it(toy: Toy) -> None:
    owner = await toy.store.recover(0, "w")
    secret = Change("basket/a", b'{"id": "a", "amount": "secret"}', None, None, None, 1)
    await toy.store.checkpoint(through(owner, 1), [secret])

    with pytest.raises(UnreadableDocument, match=r"basket/a: amount: (?!.*secret)"):
        await toy.reader.get(Basket, "a")
    with pytest.raises(UnreadableDocument, match=r"basket/a: amount: (?!.*secret)"):
        await toy.reader.find(Basket, {}, sort=BY_ID, limit=10)


async def test_alarms_are_read_from_one_moment_to_before_another(store: MongoStore) -> None:
    owner = await store.recover(0, "w")
    minutes = [NOON + timedelta(minutes=number) for number in range(4)]
    late = [Basket(id=str(number), alarm=when) for number, when in enumerate(minutes)]
    await store.checkpoint(through(owner, 1), [change(basket, 1) for basket in (*late, Basket(id="none"))])

    def rings(*numbers: int) -> list[tuple[str, datetime]]:
        return [(late[number].key, minutes[number]) for number in numbers]

    assert sorted(await store.alarms(0, None, minutes[2])) == rings(0, 1)
    assert sorted(await store.alarms(0, minutes[1], minutes[3])) == rings(1, 2)
    assert sorted(await store.alarms(0, minutes[3], FOR_EVER)) == rings(3)
    assert await store.alarms(1, None, FOR_EVER) == []


async def test_calls_are_read_by_the_time_at_which_they_are_due_and_those_of_one_time_together(
    store: MongoStore,
) -> None:
    owner = await store.recover(0, "w")
    minutes = {"d": 3, "a": 0, "c": 2, "b": 1, "also b": 1}
    calling = [
        Basket(id=id_, calls=(Call(id="c", not_before=NOON + timedelta(minutes=minute)),))
        for id_, minute in minutes.items()
    ]
    changes = [change(basket, 1) for basket in (*calling, Basket(id="none"))]
    await store.checkpoint(through(owner, 1), changes)

    async def calls(partition: int, since: datetime, some: int) -> tuple[list[str], datetime]:
        found, until = await store.calling(partition, since, some)
        return sorted(one.stored.document.id for one in found), until

    def after(minute: int) -> datetime:
        return NOON + timedelta(minutes=minute, milliseconds=1)

    assert await calls(0, ALWAYS, 10) == (["a", "also b", "b", "c", "d"], FOR_EVER)
    assert await calls(0, ALWAYS, 1) == (["a"], after(0))
    assert await calls(0, ALWAYS, 2) == (["a", "also b", "b"], after(1))
    assert await calls(0, after(1), 2) == (["c", "d"], after(3))
    assert await calls(0, after(3), 2) == ([], FOR_EVER)
    assert await calls(1, ALWAYS, 10) == ([], FOR_EVER)


async def test_a_checkpoint_never_puts_an_older_document_over_a_newer_one(
    store: MongoStore, reader: MongoReader
) -> None:
    owner = await store.recover(0, "w")
    await store.checkpoint(through(owner, 7), [change(Basket(id="b", amount=7), 7)])
    await store.checkpoint(through(owner, 7), [change(Basket(id="b", amount=6), 6), change(Basket(id="c"), 6)])
    assert await reader.get(Basket, "b") == Basket(id="b", amount=7)
    assert await reader.get(Basket, "c") == Basket(id="c")


async def test_a_document_that_is_not_new_after_all_is_written_where_the_store_has_an_earlier_one(
    store: MongoStore,
    reader: MongoReader,
) -> None:
    owner = await store.recover(0, "w")
    await store.checkpoint(through(owner, 5), [change(Basket(id=name, amount=5), 5) for name in ("early", "late")])
    thought_new = [
        replace(change(Basket(id=name, amount=number), number), is_first=True)
        for name, number in (("new", 1), ("late", 4), ("early", 6))
    ]
    await store.checkpoint(through(owner, 6), thought_new)
    found = {basket.id: basket.amount for basket in await reader.find(Basket, {}, sort=BY_ID, limit=10)}
    assert found == {"new": 1, "late": 5, "early": 6}


async def test_a_checkpoint_whose_first_attempt_reaches_nobody_writes_all_of_its_documents(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyMongo tries again by itself, and did so with the new documents only when known ones were in the same bulk."""
    owner = await store.recover(0, "w")
    await store.checkpoint(through(owner, 1), [change(Basket(id="known", amount=1), 1)])
    checkout, attempts = Pool.checkout, count()

    def fail_once(self: Pool, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever PyMongo passes
        if next(attempts) == 0:
            raise AutoReconnect("nobody is there at the moment")
        return checkout(self, *args, **options)

    monkeypatch.setattr(Pool, "checkout", fail_once)
    changes = [
        replace(change(Basket(id="new", amount=2), 2), is_first=True),
        change(Basket(id="known", amount=2), 2),
    ]
    await store.checkpoint(through(owner, 2), changes)
    loaded = await store.load(["basket/new", "basket/known"])
    assert {key: stored.document for key, stored in loaded.items()} == {
        "basket/new": Basket(id="new", amount=2),
        "basket/known": Basket(id="known", amount=2),
    }
    assert next(attempts) > 1


async def test_who_was_overtaken_by_a_new_owner_writes_no_checkpoint(store: MongoStore) -> None:
    old = await store.recover(0, "old")
    await store.append(entry(old, 1, positions={"order.intake": 5}))
    new = await store.recover(0, "new")
    with pytest.raises(Fenced):
        await store.checkpoint(through(old, 1, positions={"order.intake": 5}), [])
    assert (await store.recover(0, "new")).checkpoint.number == new.checkpoint.number == 0


async def test_a_late_checkpoint_does_not_set_a_later_one_back(store: MongoStore) -> None:
    owner = await store.recover(0, "w")
    await store.checkpoint(through(owner, 5, positions={"order.intake": 50}), [])
    with pytest.raises(Fenced):
        await store.checkpoint(through(owner, 4, positions={"order.intake": 40}), [])
    found = (await store.recover(0, "w")).checkpoint
    assert (found.number, found.progress.positions) == (5, {"order.intake": 50})


async def test_a_restored_database_may_be_told_from_a_new_one_by_its_incarnation(stack: Addresses) -> None:
    async with toys(stack) as one, toys(stack) as other:
        first, second = await one.store.recover(0, "w"), await other.store.recover(0, "w")
        assert first.checkpoint.incarnation != second.checkpoint.incarnation
        assert (await one.store.recover(0, "w")).checkpoint.incarnation == first.checkpoint.incarnation


async def test_documents_are_found_by_their_own_field_names(store: MongoStore, reader: MongoReader) -> None:
    owner = await store.recover(0, "w")
    baskets = [
        Basket(id=f"b-{n}", amount=n, lines=(SkuQuantity(sku="mug" if n % 2 else "cup", quantity=1),)) for n in range(5)
    ]
    await store.checkpoint(through(owner, 1), [change(basket, 1) for basket in baskets])

    async def ids(where: dict[str, object], sort: Sort = BY_ID, limit: int = 10) -> list[str]:
        return [basket.id for basket in await reader.find(Basket, where, sort=sort, limit=limit)]

    assert await ids({}) == ["b-0", "b-1", "b-2", "b-3", "b-4"]
    assert await ids({"amount": {"$gte": 3}}, sort=[("amount", -1)]) == ["b-4", "b-3"]
    assert await ids({"lines.sku": "cup"}, limit=2) == ["b-0", "b-2"]
    assert await ids({"$or": [{"id": "b-1"}, {"$and": [{"amount": 2}, {"id": {"$gt": "b-1"}}]}]}) == ["b-1", "b-2"]


async def test_counts_what_is_stuck_by_why_with_since_when_the_oldest_is(
    store: MongoStore, reader: MongoReader
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ages = {"old": timedelta(hours=3), "older": timedelta(hours=4), "young": timedelta(minutes=50)}
    baskets = [
        Basket(id=name, state="paying", waits_since_ms=int((now - age).timestamp() * 1000))
        for name, age in ages.items()
    ]
    parked = [
        Parked(
            id=f"0/{number}", place=str(number), partition=0, since=NOON, why="KeyError", reason="", open=number != 0
        )
        for number in range(3)
    ]
    owner = await store.recover(0, "w")
    letter = DeadLetter(id="a/0/7", topic="a", offset=7, partition=0, since=NOON, why="missing", about="", reasons=())
    documents = [*baskets, Basket(id="served", state="paying"), *parked, letter]
    await store.checkpoint(through(owner, 1), [change(document, 1) for document in documents])

    assert [count async for count in reader.stuck()] == [
        Count(0, "parked", "KeyError", 2, NOON),
        Count(0, "basket", "paying", 2, now - ages["older"]),
        Count(0, "dead_letter", "missing", 1, NOON),
    ]


async def test_nothing_that_is_stuck_is_read_to_be_counted(reader: MongoReader) -> None:
    for asked in questions(TOY.overdue, datetime.now(UTC)):
        counting = {"aggregate": asked.kind, "pipeline": asked.pipeline, "cursor": {}, **asked.options}
        plan = str(await reader._database.command("explain", counting, verbosity="queryPlanner"))
        assert "IXSCAN" in plan
        assert "FETCH" not in plan


async def test_no_counting_goes_on_after_whoever_asked_for_it_has_gone(
    reader: MongoReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    aggregate = AsyncIOMotorCollection.aggregate

    def aggregated(collection: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever Motor passes
        limits.append(options["maxTimeMS"])
        return aggregate(collection, *args, **options)

    monkeypatch.setattr(AsyncIOMotorCollection, "aggregate", aggregated)
    assert [count async for count in reader.stuck()] == []
    assert limits == [COUNT_WITHIN_MS] * 4


async def test_what_is_stuck_is_unavailable_until_its_index_is_built(toy: Toy) -> None:
    """It may take a while after an upgrade, and HTTP answers by then."""
    parked = Parked(id="0/1", place="1", partition=0, since=NOON, why="KeyError", reason="")
    owner = await toy.store.recover(0, "w")
    await toy.store.checkpoint(through(owner, 1), [change(parked, 1)])
    await toy.reader._database[Parked.kind].drop_index("stuck")
    with pytest.raises(Unavailable):
        [count async for count in toy.reader.stuck()]
    await toy.store.prepare(PARTITIONS)
    assert [count async for count in toy.reader.stuck()] == [Count(0, "parked", "KeyError", 1, NOON)]


@pytest.mark.parametrize("said", [{"service": "other"}, {"format": FORMAT + 1}])
async def test_nothing_is_read_of_a_database_that_is_not_ours(
    stack: Addresses, toy: Toy, said: dict[str, object]
) -> None:
    """A service does not start on it, but HTTP answers while it waits."""
    owner = await toy.store.recover(0, "w")
    await toy.store.checkpoint(through(owner, 1), [change(Basket(id="b"), 1)])
    client = connect(stack.mongo)
    name = toy.store._database.name
    await client.get_database(name)["checkpoints"].update_many({}, {"$set": said})
    with pytest.raises(Foreign):
        await toy.reader.get(Basket, "b")
    with pytest.raises(Foreign):
        await toy.reader.find(Basket, {}, sort=BY_ID, limit=10)
    with pytest.raises(Foreign):
        [count async for count in toy.reader.stuck()]
    client.close()


async def test_a_database_that_nobody_began_yet_has_nothing_to_be_read(stack: Addresses) -> None:
    client = connect(stack.mongo)
    name = f"toy_{uuid4().hex[:8]}"
    reader = MongoReader(client, name, TOY)
    assert await reader.get(Basket, "b") is None
    await MongoStore(client, name, replace(TOY, name="other")).prepare(PARTITIONS)
    with pytest.raises(Foreign):
        await reader.get(Basket, "b")
    await client.drop_database(name)
    client.close()


async def test_who_reads_while_mongodb_is_away_hears_that_it_is_unavailable() -> None:
    nobody = AsyncIOMotorClient(HOST, free_port(), serverSelectionTimeoutMS=50)
    reader = MongoReader(nobody, "toy", TOY)
    with pytest.raises(Unavailable):
        await reader.get(Basket, "b-1")
    with pytest.raises(Unavailable):
        await reader.find(Basket, {}, sort=BY_ID, limit=10)
    nobody.close()
