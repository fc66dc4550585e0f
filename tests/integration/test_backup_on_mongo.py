"""What a backup reads of a service's database: what a majority has, which is as of some time ago."""

from dataclasses import replace
import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import bson
import pytest
from chassis.backup import CHECKPOINTS, Database
from chassis.decision import Decision
from chassis.entry import Entry, Fenced, Past, Progress
from chassis.mongo import MongoStore, connect
from chassis.service import Service
from oms.fleet import Addresses
from pymongo import WriteConcern

pytestmark = pytest.mark.integration


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
