"""Whose a database is, and in which format: taken for another one, what is in it would be understood wrongly."""

from typing import Any

from pymongo import DESCENDING

from chassis.mongo.client import MongoDatabase
from chassis.mongo.raw import Raw
from chassis.ports import Unavailable

FORMAT = 2
"""Of what is stored, and of backups. It counts up when something is stored that earlier versions would understand
wrongly, or when this one cannot read what they stored."""
UNSAID_FORMAT = 1
"""That of a database or a backup that says none. It stays what it is when FORMAT counts up."""


class Foreign(Unavailable):
    """The database is another service's, or has another format; the message says which."""


async def refuse_other_format(
    database: MongoDatabase,
    session: Any = None,  # noqa: ANN401 - Motor ships no types for these
) -> Raw | None:
    """The checkpoint of the last partition, which is begun first; None if nobody began the database.

    Raises Foreign when the database has another format than this version reads and writes.
    """
    fields = {"service": 1, "format": 1}
    last: Raw | None = await database["checkpoints"].find_one({}, fields, sort=[("_id", DESCENDING)], session=session)
    if last is not None and (found := last.get("format", UNSAID_FORMAT)) != FORMAT:
        raise Foreign(
            f"the database {database.name} has format {found}, and this version reads and writes format {FORMAT}: the "
            "changelog says which versions go with which, and how to come from one to the other"
        )
    return last


async def partitions_of(database: MongoDatabase, service: str) -> int:
    """How many partitions the topics had when the database was begun; 0 if nobody began it.

    Raises Foreign when it is not this service's: two of them would take each other's entries for their own.
    """
    last = await refuse_other_format(database)
    if last is None:
        return 0
    if last["service"] != service:
        raise Foreign(
            f"the database {database.name} is the {last['service']} service's: the {service} service must have one of "
            "its own (MONGO_DATABASE)"
        )
    return int(last["_id"]) + 1
