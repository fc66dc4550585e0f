"""What a backup reads of a service's database: what a majority has, which is as of some time ago."""

from datetime import UTC, datetime
from uuid import uuid4

import bson
import pytest
from chassis.backup import Database
from chassis.mongo import connect
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
        while not missing:  # until something was not yet with the majority when it was looked for
            written.append(datetime.now(UTC))
            await quick.insert_one({"_id": len(written) - 1})
            async with database.snapshot() as snapshot:
                there = {bson.decode(raw)["_id"] async for raw in snapshot.read("jar")}
            missing = [at for number, at in enumerate(written) if number not in there]
    await client.drop_database(name)
    client.close()
    assert min(missing) >= snapshot.at
