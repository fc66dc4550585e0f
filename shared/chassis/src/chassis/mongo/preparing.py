"""Makes a service's database ready: whose it is, in which format, for how many partitions, and how it is looked up."""

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import PyMongoError

from chassis.kinds import STUCK, kinds_of
from chassis.mongo.census import OPEN
from chassis.mongo.client import MongoDatabase
from chassis.mongo.raw import FORMAT, Raw, stored_as
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
        _check(database.name, service.name, partitions, await _begin(database, service.name, partitions, begun))
        await _create_indexes(database, service)
    except PyMongoError as failure:
        raise Unavailable(f"MongoDB: {failure}") from failure


def _check(name: str, service: str, partitions: int, last: Raw) -> None:
    """See that the database is ours. With another number of partitions keys would live in others than their documents;
    two services would take each other's entries for their own.
    """
    owner, format_, before = last["service"], last["format"], last["_id"] + 1
    if owner != service:
        raise Unavailable(
            f"the database {name} is the {owner} service's: the {service} service must have one of its own "
            "(MONGO_DATABASE)"
        )
    if format_ != FORMAT:
        raise Unavailable(
            f"the database {name} has format {format_}, and this version of the {service} service reads and writes "
            f"format {FORMAT}: the changelog says which versions go with which, and how to come from one to the other"
        )
    if before != partitions:
        raise Unavailable(
            f"each topic has {partitions} partitions now, and had {before} when the database {name} was begun: "
            f"what is in it would not be found. Bring back topics with {before}, or begin with empty topics and "
            "databases"
        )


async def _begin(database: MongoDatabase, service: str, partitions: int, begun: Raw) -> Raw:
    """The checkpoint of the last partition, which says how many the topics had when the database was begun, and whose
    that is. It is written first, so that it is there also where other instances have yet to come to theirs.
    """
    checkpoints = database["checkpoints"]
    last = await checkpoints.find_one({}, {"_id": 1}, sort=[("_id", DESCENDING)])
    at = {"_id": partitions - 1 if last is None else last["_id"]}
    await checkpoints.update_one(at, {"$setOnInsert": {"epoch": 0, **begun}}, upsert=True)
    # A database that was restored has neither, until its service comes.
    ours = {name: {"$ifNull": [f"${name}", value]} for name, value in (("service", service), ("format", FORMAT))}
    said: Raw = await checkpoints.find_one_and_update(
        at, [{"$set": ours}], {"service": 1, "format": 1}, return_document=ReturnDocument.AFTER
    )
    return said


async def _create_indexes(database: MongoDatabase, service: Service) -> None:
    for stuck in STUCK:  # first of all: until it is there, nobody is told what is stuck
        await database[stuck.kind].create_index(
            # All that is asked for: what is counted need not be read. It must be asked for `open`, too, to be so.
            [(name, ASCENDING) for name in ("body.open", "partition", "body.why", "body.since")],
            partialFilterExpression=OPEN,
            name="stuck",
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
