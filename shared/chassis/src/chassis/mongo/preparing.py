"""Makes a service's database ready: whose it is, in which format, for how many partitions, and how it is looked up."""

from pymongo import ASCENDING
from pymongo.errors import PyMongoError

from chassis.kinds import STUCK, kinds_of
from chassis.mongo.belonging import partitions_of
from chassis.mongo.census import OPEN, WAITING
from chassis.mongo.client import MongoDatabase
from chassis.mongo.raw import Raw, stored_as
from chassis.ports import Unavailable
from chassis.service import Index, Service
from chassis.stuck.dead_letter import BY_PLACE, DeadLetter
from chassis.stuck.repair import Repair

REPAIRS_BY_NAME = Index(Repair.kind, (("repair_id", ASCENDING),))
"""Repairs stay for good, and whoever waits for one asks for it by its name again and again."""
DEAD_LETTERS_BY_PLACE = Index(DeadLetter.kind, BY_PLACE)
"""There may be very many, and each page of them would be looked for among all."""


async def prepare(database: MongoDatabase, service: Service, partitions: int, begun: Raw) -> None:
    """Begin the database if nobody did, and create the indexes that are not there yet.

    `partitions` is how many each topic has, `begun` what the checkpoint of a partition says at first.

    Raises Unavailable when MongoDB does not answer, and when the database is another service's, has another format, or
    was begun with another number of partitions.
    """
    try:
        await _begin(database, partitions, begun)
        before = await partitions_of(database, service.name)
        if before != partitions:
            # Keys would live in others than their documents.
            raise Unavailable(
                f"each topic has {partitions} partitions now, and had {before} when the database {database.name} was "
                f"begun: what is in it would not be found. Bring back topics with {before}, or begin with empty topics "
                "and databases"
            )
        await _create_indexes(database, service)
    except PyMongoError as failure:
        raise Unavailable(f"MongoDB: {failure}") from failure


async def _begin(database: MongoDatabase, partitions: int, begun: Raw) -> None:
    """Write the checkpoint of the last partition, if there is none of any: it says how many partitions there are,
    whose the database is, and in which format. It is written first, for other instances may have yet to come to theirs.
    """
    checkpoints = database["checkpoints"]
    if await checkpoints.find_one({}, {"_id": 1}) is None:
        await checkpoints.update_one({"_id": partitions - 1}, {"$setOnInsert": {"epoch": 0, **begun}}, upsert=True)


async def _create_indexes(database: MongoDatabase, service: Service) -> None:
    for stuck in STUCK:  # first of all: until it is there, nobody is told what is stuck
        await database[stuck.kind].create_index(
            # All that is asked for: what is counted need not be read. It must be asked for `open`, too, to be so.
            [(name, ASCENDING) for name in ("body.open", "partition", "body.why", "body.since")],
            partialFilterExpression=OPEN,
            name="stuck",
        )
    if (overdue := service.overdue) is not None:
        since, why = stored_as(overdue.since_ms), stored_as(overdue.why)
        await database[overdue.kind].create_index(
            [(since, ASCENDING), ("partition", ASCENDING), (why, ASCENDING)],
            partialFilterExpression={since: WAITING},
            name="overdue",
        )
    for kind in kinds_of(service.documents):
        collection = database[kind]
        for moment, name in (("alarm", "alarms"), ("due", "calls")):
            await collection.create_index(
                [("partition", ASCENDING), (moment, ASCENDING)],
                partialFilterExpression={moment: {"$type": "date"}},
                name=name,
            )
        await collection.create_index(
            [("partition", ASCENDING)], partialFilterExpression={"queued": True}, name="queue"
        )
    for index in (REPAIRS_BY_NAME, DEAD_LETTERS_BY_PLACE, *service.indexes):
        fields = [(stored_as(name), direction) for name, direction in index.fields]
        await database[index.kind].create_index(fields)
