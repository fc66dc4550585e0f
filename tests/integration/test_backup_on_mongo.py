"""A service's database as it is copied, which is as of some time ago, and as it is put back, which takes some time."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import bson
import pytest
from chassis.decision import Decision, Document
from chassis.entry import Change, Entry, Fenced, Past, Progress
from chassis.mongo import backup
from chassis.mongo.backup import CHECKPOINTS, Database
from chassis.mongo.belonging import FORMAT, Foreign
from chassis.mongo.client import connect
from chassis.mongo.store import MongoStore
from chassis.service import Service
from oms.fleet import Addresses
from pymongo import WriteConcern

pytestmark = pytest.mark.integration


class Jar(Document):
    kind = "jar"


TOY = Service(
    "toy",
    ("order.intake",),
    (Jar,),
    needs=lambda _message, _documents: (),
    decide=lambda _documents, _message, _now: pytest.fail("nothing is decided here"),
)


async def test_a_snapshot_has_all_that_was_written_before_the_moment_that_it_says(stack: Addresses) -> None:
    name = f"jars_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    await client.get_database(name, write_concern=WriteConcern(w="majority", j=True))["jar"].insert_one(
        {"_id": "first"}
    )
    quick = client.get_database(name, write_concern=WriteConcern(w=1, j=False))["jar"]
    written: list[datetime] = []
    missing: list[datetime] = []
    async with Database(stack.mongo, name) as database:
        async with asyncio.timeout(60):
            while not missing:  # until something was not yet with the majority when it was looked for
                written.append(datetime.now(UTC))
                await quick.insert_one({"_id": len(written) - 1})
                async with database.snapshot() as snapshot:
                    there = {bson.decode(raw)["_id"] async for raw in snapshot.read("jar")}
                missing = [at for number, at in enumerate(written) if number not in there]
    await client.drop_database(name)
    client.close()
    assert min(missing) >= snapshot.at


async def test_whoever_serves_a_database_that_is_restored_is_no_owner_any_more(stack: Addresses) -> None:
    """It is refused while anybody runs; but who was thought dead may wake up."""
    name = f"order_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    service = Service("order", ("order.intake",), (), needs=lambda *_: (), decide=lambda *_: Decision())
    store = MongoStore(client, name, service)
    await store.prepare(1)
    owned = (await store.recover(0, "first")).checkpoint
    async with Database(stack.mongo, name) as database:
        async with database.snapshot() as snapshot:
            content = {CHECKPOINTS: [raw async for raw in snapshot.read(CHECKPOINTS)], "jar": [bson.encode({"_id": 1})]}
        await store.append(Entry(0, 1, "first", Progress(), (), ()))
        restoring = database.replace(content, {0: Past(datetime.now(UTC), {})})
        await anext(restoring)
        await store.append(Entry(0, 2, "first", Progress(), (), ()))
        async for _ in restoring:
            pass
    with pytest.raises(Fenced):
        await store.checkpoint(replace(owned, number=1), [])
    recovered = await store.recover(0, "second")
    await client.drop_database(name)
    client.close()
    assert (recovered.entries, recovered.checkpoint.epoch) == ((), owned.epoch + 3)


async def test_a_database_that_is_restored_into_an_empty_mongodb_belongs_to_its_service(stack: Addresses) -> None:
    name, elsewhere = f"jars_{uuid4().hex[:8]}", f"jars_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    await MongoStore(client, name, TOY).prepare(2)
    await MongoStore(client, name, TOY).recover(0, "w")
    async with Database(stack.mongo, name) as database, database.snapshot() as snapshot:
        content = {one: [raw async for raw in snapshot.read(one)] for one in snapshot.collections}
    async with Database(stack.mongo, elsewhere) as database:
        async for _ in database.replace(content, dict.fromkeys((0, 1), Past(datetime.now(UTC), {}))):
            pass
    with pytest.raises(Foreign, match="is the toy service's"):
        await MongoStore(client, elsewhere, replace(TOY, name="other")).prepare(2)
    await MongoStore(client, elsewhere, TOY).prepare(2)
    for one in (name, elsewhere):
        await client.drop_database(one)
    client.close()


@pytest.mark.parametrize("said", [{"$unset": {"format": ""}}, {"$set": {"format": FORMAT + 1}}])
async def test_no_snapshot_is_read_of_a_database_of_another_format(
    stack: Addresses, said: Mapping[str, object]
) -> None:
    name = f"jars_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    await MongoStore(client, name, TOY).prepare(2)
    await client[name].get_collection("checkpoints", write_concern=WriteConcern(w="majority")).update_many({}, said)
    async with Database(stack.mongo, name) as database:
        with pytest.raises(Foreign, match=f"{name} has format (1|{FORMAT + 1}), and this version reads"):
            async with database.snapshot():
                pass
    await client.drop_database(name)
    client.close()


async def test_a_database_that_is_not_restored_to_the_end_is_not_served_and_can_be_restored_again(
    stack: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "WRITTEN_AT_ONCE", 1)
    name = f"jars_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    store = MongoStore(client, name, TOY)
    await store.prepare(2)
    owner = await store.recover(0, "w")
    jars = [Jar(id=str(number)) for number in range(3)]
    filled = [Change(jar.key, jar.model_dump_json().encode(), None, due=None, trace=None, entry=1) for jar in jars]
    await store.checkpoint(replace(owner.checkpoint, number=1), filled)
    await store.append(Entry(0, 2, "w/1", Progress(), (), ()))
    pasts = dict.fromkeys((0, 1), Past(datetime.now(UTC), {}))
    async with Database(stack.mongo, name) as database:
        async with database.snapshot() as snapshot:
            content = {one: [raw async for raw in snapshot.read(one)] for one in snapshot.collections}
        async with aclosing(database.replace(content, pasts)) as restoring:
            assert await anext(restoring) == 1  # and with that it is broken off
        assert len(await store.load([jar.key for jar in jars])) == 1
        for partition in (0, 1):
            with pytest.raises(RuntimeError, match="was not restored to the end"):
                await store.recover(partition, "w")
        assert [written async for written in database.replace(content, pasts)]
    restored = await store.recover(0, "w")
    await store.recover(1, "w")
    assert [entry.number for entry in restored.entries] == [2]
    assert restored.checkpoint.incarnation != owner.checkpoint.incarnation
    assert {one.document for one in (await store.load([jar.key for jar in jars])).values()} == {*jars}
    await client.drop_database(name)
    client.close()
