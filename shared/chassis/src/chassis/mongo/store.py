"""MongoDB: the journal, the checkpoints and the documents of a service.

journal       one entry a batch, in its place of the partition's ring (`_id` = `<partition>/<place>`): writing it is the
              commit, and the place is the fence; see `chassis.entry.JOURNAL_PLACES`
checkpoints   one a partition
<kind>        the documents of a kind, as of the last checkpoint:
              `{_id, partition, entry, alarm, due, queued, trace, body}`
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING, InsertOne, ReturnDocument, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern

from chassis.decision import ids_by_kind, kind_of
from chassis.entry import (
    ONE_MS,
    Calling,
    Change,
    Checkpoint,
    Entry,
    Fenced,
    Progress,
    Recovered,
    Stored,
    replaced_by,
)
from chassis.kinds import kinds_of, read_document
from chassis.mongo.belonging import FORMAT
from chassis.mongo.census import OPEN
from chassis.mongo.client import Client, MongoCollection, database_of
from chassis.mongo.preparing import prepare
from chassis.mongo.raw import (
    Raw,
    checkpoint_of,
    entries_of,
    entry_of,
    place_of,
    raw_document,
    raw_entry,
    raw_past,
    raw_progress,
)
from chassis.ports import FOR_EVER
from chassis.service import Service
from chassis.stuck.parking import Parked
from chassis.telemetry import logger

RESTORING = "restoring"
"""Marks a checkpoint until all that it stands for is there."""
RETRY_S = 0.2
UNKNOWN_OUTCOME = (ConnectionFailure, ExecutionTimeout, WriteConcernError)
"""Errors after which nobody knows whether the write was done."""
DUPLICATE_KEY = 11000


class MongoStore:
    """The store of one service, in one database."""

    def __init__(
        self,
        client: Client,
        database: str,
        service: Service,
        *,
        name_incarnation: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._service = service
        self._models = kinds_of(service.documents)
        self._name_incarnation = name_incarnation
        self._database = database_of(client, database)
        # Of the journal only what can never be rolled back is read. Documents are written from journaled entries only,
        # so that the primary's newest is always good, also while a new primary does not know yet what is majority.
        self._journal = self._database.get_collection("journal", read_concern=ReadConcern("majority"))
        self._checkpoints = self._database["checkpoints"]
        self._partitions: int | None = None
        """How many each topic has, once that is known."""

    async def prepare(self, partitions: int) -> None:
        """Make the database ready for a service whose topics have this many partitions.

        Raises Unavailable; see `chassis.mongo.preparing`.
        """
        await prepare(self._database, self._service, partitions, self._begun())
        self._partitions = partitions

    def _begun(self) -> Raw:
        """What the checkpoint of a partition says at first, but for its owners."""
        return {
            "service": self._service.name,
            "format": FORMAT,
            "number": 0,
            "incarnation": self._name_incarnation(),
            "progress": raw_progress(Progress()),
        }

    # The journal.

    async def append(self, entry: Entry) -> None:
        """Write the entry into its place; see `chassis.ports.Store`."""
        written = raw_entry(entry)
        # The upsert of a writer that comes too late does not match and fails on the key: that is the fence.
        predecessor = {"_id": written["_id"], "number": replaced_by(entry.number)}
        while True:
            try:
                await self._journal.replace_one(predecessor, written, upsert=True)
            except DuplicateKeyError:
                if await self._is_ours(entry):
                    return
                raise Fenced(f"entry {entry.number} of partition {entry.partition} is somebody else's") from None
            except UNKNOWN_OUTCOME as failure:
                # Writing it again tells: if it was done, the place is taken, and by us.
                logger(partition=entry.partition).warning("journal: outcome unknown", reason=repr(failure))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _is_ours(self, entry: Entry) -> bool:
        place = {"_id": place_of(entry.partition, entry.number)}
        while True:
            try:
                found = await self._journal.find_one(place, {"number": 1, "writer": 1})
            except UNKNOWN_OUTCOME:
                await asyncio.sleep(RETRY_S)
            else:
                return found is not None and (found["number"], found["writer"]) == (entry.number, entry.writer)

    async def recover(self, partition: int, writer: str) -> Recovered:
        """Take over: from here on no earlier owner can write a checkpoint, so what is read here is whole."""
        if self._partitions is not None and partition >= self._partitions:
            raise RuntimeError(f"each topic had {self._partitions} partitions: one that was added is not served")
        claimed = await self._checkpoints.find_one_and_update(
            {"_id": partition},
            {
                "$inc": {"epoch": 1},
                "$set": {"owner": writer},
                "$setOnInsert": self._begun(),
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if claimed.get(RESTORING):
            raise RuntimeError("the database is being restored, or was not restored to the end")
        checkpoint = checkpoint_of(claimed)
        after = self._journal.find({"_id": entries_of(partition), "number": {"$gt": checkpoint.number}})
        entries = sorted([entry_of(raw) async for raw in after], key=lambda entry: entry.number)
        for number, entry in enumerate(entries, checkpoint.number + 1):
            if entry.number != number:
                lacking = f"the journal of partition {partition} lacks entry {number}"
                raise RuntimeError(f"{lacking}: it was changed from outside, or not restored")
        queued = await self._queued(partition)
        still_parked = {"partition": partition, **OPEN}
        found = self._database[Parked.kind].find(still_parked, {"body.place": 1})
        parked = [raw["body"]["place"] async for raw in found]
        return Recovered(checkpoint, tuple(entries), tuple(parked), queued)

    async def _queued(self, partition: int) -> tuple[str, ...]:
        """The keys of the partition's documents that are queued."""
        found: list[str] = []
        for kind in self._models:
            queued = self._database[kind].find({"partition": partition, "queued": True}, {"_id": 1})
            found += [f"{kind}/{raw['_id']}" async for raw in queued]
        return tuple(found)

    async def alarms(self, partition: int, since: datetime | None, until: datetime) -> Sequence[tuple[str, datetime]]:
        """Which documents want to be woken between the two; see `chassis.ports.Store`."""
        rings = {"$type": "date", "$lt": until} | ({"$gte": since} if since is not None else {})
        found: list[tuple[str, datetime]] = []
        for kind in self._models:
            waiting = self._database[kind].find({"partition": partition, "alarm": rings}, {"alarm": 1})
            found += [(f"{kind}/{raw['_id']}", raw["alarm"]) async for raw in waiting]
        return found

    async def calling(self, partition: int, since: datetime, some: int) -> tuple[Sequence[Calling], datetime]:
        """Documents whose calls are due from then on; see `chassis.ports.Store`."""
        due = {"$type": "date", "$gte": since}
        until = FOR_EVER
        for kind in self._models:
            later = {"partition": partition, "due": due}
            last = await self._database[kind].find_one(later, {"due": 1}, sort=[("due", ASCENDING)], skip=some - 1)
            if last is not None:
                until = min(until, last["due"] + ONE_MS)
        found: list[Calling] = []
        for kind in self._models:
            before = {"partition": partition, "due": due | {"$lt": until}}
            calling = self._database[kind].find(before, {"due": 1, "body": 1, "trace": 1})
            found += [Calling(f"{kind}/{raw['_id']}", raw["due"], self._stored(kind, raw)) async for raw in calling]
        return found, until

    # Documents.

    async def load(self, keys: Collection[str]) -> Mapping[str, Stored]:
        """The stored documents among these keys: one read a kind."""
        found: dict[str, Stored] = {}
        for kind, ids in ids_by_kind(keys).items():
            async for raw in self._database[kind].find({"_id": {"$in": ids}}, {"body": 1, "trace": 1}):
                found[f"{kind}/{raw['_id']}"] = self._stored(kind, raw)
        return found

    def _stored(self, kind: str, raw: Raw) -> Stored:
        return Stored(read_document(self._models, f"{kind}/{raw['_id']}", raw["body"]), raw["trace"])

    async def checkpoint(self, checkpoint: Checkpoint, changes: Sequence[Change]) -> None:
        """Write the documents, then the checkpoint; see `chassis.ports.Store`."""
        by_kind: dict[str, list[Change]] = {}
        for change in changes:
            by_kind.setdefault(kind_of(change.key), []).append(change)
        for kind, some in by_kind.items():
            await self._write_unless_newer(self._database[kind], checkpoint.partition, some)
        # An earlier attempt that was given up may still be on its way: it must not set the checkpoint back.
        ours = {"_id": checkpoint.partition, "epoch": checkpoint.epoch, "number": {"$lte": checkpoint.number}}
        now = {
            "number": checkpoint.number,
            "progress": raw_progress(checkpoint.progress),
            "past": raw_past(checkpoint.past),
        }
        done = await self._checkpoints.update_one(ours, {"$set": now})
        if not done.matched_count:
            raise Fenced(f"partition {checkpoint.partition} has a new owner since epoch {checkpoint.epoch}")

    @staticmethod
    async def _write_unless_newer(collection: MongoCollection, partition: int, changes: Sequence[Change]) -> None:
        # Never both sorts of writes in one bulk: where its first attempt reaches nobody, PyMongo 4.20 tries again with
        # the first sort, forgets the other, and says that all was done.
        new = [raw_document(change, partition) for change in changes if change.is_first]
        known = [raw_document(change, partition) for change in changes if not change.is_first]
        if new:
            try:
                await collection.bulk_write([*map(InsertOne, new)], ordered=False)
            except BulkWriteError as error:
                problems = error.details["writeErrors"]
                if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE_KEY for one in problems):
                    raise _refusal(error) from None
                # Not new after all: an earlier checkpoint did not come to its end, or a new owner came.
                known += [new[one["index"]] for one in problems]
        if known:
            try:
                await collection.bulk_write([*map(_guarded, known)], ordered=False)
            except BulkWriteError as error:
                raise _refusal(error) from None


def _refusal(error: BulkWriteError) -> RuntimeError:
    """What MongoDB refuses, without PyMongo's copy of what was to be written, for it is logged."""
    problems = [*error.details["writeErrors"], *error.details.get("writeConcernErrors", ())]
    worst = min(problems, key=lambda one: one["code"] == DUPLICATE_KEY)
    return RuntimeError(f"MongoDB refuses {len(problems)} writes of documents: {worst['errmsg']} ({worst['code']})")


def _guarded(row: Raw) -> UpdateOne:
    """The document in place of an earlier one or of none, but not of a later one.

    A filter that asks for the entry, too, would say the same, and cost MongoDB twice as much: what is looked up by
    nothing but its `_id` needs no plan.
    """
    written = {"$cond": [{"$lt": ["$entry", row["entry"]]}, {"$literal": row}, "$$ROOT"]}
    return UpdateOne({"_id": row["_id"]}, [{"$replaceWith": written}], upsert=True)
