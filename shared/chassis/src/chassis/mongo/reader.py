"""MongoDB: the documents of a service as they are read over HTTP, and how much of them waits for a person."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pymongo.errors import ConnectionFailure, PyMongoError

from chassis.decision import D
from chassis.kinds import kinds_of, read_as
from chassis.mongo.belonging import partitions_of
from chassis.mongo.census import questions
from chassis.mongo.client import Client, database_of
from chassis.mongo.raw import Raw, stored_as
from chassis.mongo.together import Together
from chassis.ports import Count, Sort, Unavailable
from chassis.service import Service
from chassis.telemetry import logger

COUNT_WITHIN_MS = 10_000
"""How long MongoDB counts what is stuck. Whoever asked may have gone by then, and will ask again: without a limit the
one counting would go on beside the next."""


class MongoReader:
    """Reads what the store of a service has written; see `chassis.ports.Reader`."""

    def __init__(self, client: Client, database: str, service: Service) -> None:
        self._service = service
        self._is_ours = False
        """Whether the database is known to be this service's, in the format that this version reads."""
        self._database = database_of(client, database)
        self._lookups = {kind: Together(partial(self._look_up, kind)) for kind in kinds_of(service.documents)}

    async def _refuse_foreign(self) -> None:
        """HTTP answers also while the service does not start, because the database is not its own. Raises Foreign."""
        if not self._is_ours:
            self._is_ours = await partitions_of(self._database, self._service.name) > 0

    async def get(self, model: type[D], id: str) -> D | None:  # noqa: A002 - it is the field's name
        """One document; see `chassis.ports.Reader`."""
        with _saying_unavailable():
            raw = await self._lookups[model.kind].get(id)
        return _read(model, raw) if raw else None

    async def _look_up(self, kind: str, ids: Collection[str]) -> Mapping[str, Raw]:
        await self._refuse_foreign()
        collection = self._database[kind]
        if len(ids) == 1:  # for which Motor and MongoDB have a shorter way
            (only,) = ids
            one = await collection.find_one({"_id": only}, {"body": 1})
            return {only: one} if one is not None else {}
        found = await collection.find({"_id": {"$in": list(ids)}}, {"body": 1}).to_list(None)
        return {raw["_id"]: raw for raw in found}

    async def find(self, model: type[D], where: Mapping[str, object], *, sort: Sort, limit: int) -> list[D]:
        """Some documents; see `chassis.ports.Reader`."""
        cursor = self._database[model.kind].find(_query(where), {"body": 1})
        cursor = cursor.sort([(stored_as(name), direction) for name, direction in sort]).limit(limit)
        with _saying_unavailable():
            await self._refuse_foreign()
            found = [raw async for raw in cursor]
        return [_read(model, raw) for raw in found]

    async def stuck(self) -> AsyncIterator[Count]:
        """How much of what waits for a person; see `chassis.ports.Reader`."""
        with _saying_unavailable():
            await self._refuse_foreign()
            for asked in questions(self._service.overdue, datetime.now(UTC)):
                collection = self._database[asked.kind]
                async for raw in collection.aggregate(asked.pipeline, maxTimeMS=COUNT_WITHIN_MS, **asked.options):
                    yield asked.count_of(raw)


@contextmanager
def _saying_unavailable() -> Iterator[None]:
    try:
        yield
    except PyMongoError as failure:
        if not isinstance(failure, ConnectionFailure):  # which would be told by everything else, too
            logger().warning("MongoDB refuses what it is asked", reason=str(failure))
        raise Unavailable("MongoDB does not answer that at the moment; try again") from failure


def _read(model: type[D], raw: Raw) -> D:
    return read_as(model, f"{model.kind}/{raw['_id']}", raw["body"])


def _query(where: Mapping[str, object]) -> Raw:
    """The document's own field names become those that they are stored under, also inside `$and` and `$or`."""
    query: dict[str, Any] = {}
    for name, condition in where.items():
        if name.startswith("$") and isinstance(condition, list | tuple):
            query[name] = [_query(part) for part in condition]
        else:
            query[stored_as(name)] = condition
    return query
