"""A service's database as a whole: copied while the service runs, and put back as it was then.

All of a copy is read in one snapshot of MongoDB's: documents, checkpoints and journal as they were at one moment, which
is what a process that died at that moment would have left behind. What is put back is what a service recovers from
after a crash, so nothing is asked of it that it does not do anyway; but each partition begins a new incarnation.
"""

import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from chassis.entry import Checkpoint, Entry, Past, begun_anew
from chassis.mongo.belonging import refuse_other_format
from chassis.mongo.client import connect, database_of
from chassis.mongo.raw import CODEC, Raw, checkpoint_of, entries_of, entry_of, raw_checkpoint, raw_entry
from chassis.mongo.store import RESTORING
from chassis.ports import Unavailable

CHECKPOINTS, JOURNAL = "checkpoints", "journal"
WRITTEN_AT_ONCE = 500
SNAPSHOT_TOO_OLD = 239
"""What MongoDB says where a snapshot is read for longer than it keeps one."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a partition stood."""

    incarnation: str
    entry: int
    """Its last one."""
    positions: Mapping[str, int]
    """By topic, the offset of the next record to take."""


class Snapshot:
    """All of a database at one moment, whatever is written to it meanwhile."""

    def __init__(self, database: Any, collections: Sequence[str], session: Any, at: datetime) -> None:  # noqa: ANN401 - Motor ships no types for these
        self.collections = collections
        self.at = at
        """What was written by then is in it; what was written in the second after it may be."""
        self._database = database
        self._session = session

    async def count(self) -> int:
        """How many documents there are to read, about."""
        with _saying_unavailable():
            return sum([await self._database[name].estimated_document_count() for name in self.collections])

    async def read(self, collection: str) -> AsyncIterator[bytes]:
        """Every document of a collection as BSON; of the journal what its checkpoints do not have yet."""
        wanted = await self._tail() if collection == JOURNAL else {}
        with _saying_unavailable():
            async for raw in self._raw(collection).find(wanted, session=self._session):
                yield raw.raw

    def _raw(self, collection: str) -> Any:  # noqa: ANN401 - Motor's collections are generic in what it does not type
        options = CODEC.with_options(document_class=RawBSONDocument)
        return self._database.get_collection(collection, codec_options=options)

    async def _checkpoints(self) -> list[Checkpoint]:
        with _saying_unavailable():
            found = self._database[CHECKPOINTS].find({RESTORING: {"$exists": False}}, session=self._session)
            return [checkpoint_of(raw) async for raw in found]

    async def _tail(self) -> Raw:
        parts = [{"_id": entries_of(at.partition), "number": {"$gt": at.number}} for at in await self._checkpoints()]
        return {"$or": parts} if parts else {"_id": None}

    async def stands(self) -> dict[int, Stand]:
        """By partition, where it stood; a partition that nobody ever served, or that is half restored, is left out."""
        entries = [entry_of(bson.decode(raw, codec_options=CODEC)) async for raw in self.read(JOURNAL)]
        stands: dict[int, Stand] = {}
        for checkpoint in await self._checkpoints():
            progress, last = checkpoint.progress.copy(), checkpoint.number
            for entry in _of(entries, checkpoint.partition):
                progress.update(entry.progress)
                last = entry.number
            stands[checkpoint.partition] = Stand(checkpoint.incarnation, last, progress.positions)
        return stands


class Database:
    """The database of one service. Every method raises Unavailable when MongoDB does not answer or refuses."""

    def __init__(self, url: str, name: str) -> None:
        self._client = connect(url)
        self._database = database_of(self._client, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._client.close()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """The database as it is when the first of it is read. Raises Foreign when it has another format than ours."""
        with _saying_unavailable():
            names = sorted(await self._database.list_collection_names())
            # What is read is what a majority had some time ago: the clock does not tell how long.
            hello = await self._client.admin.command("hello", codec_options=CODEC)
            session = await self._client.start_session(snapshot=True)  # type: ignore[call-arg] # Motor's stub lacks it
        async with session:
            with _saying_unavailable():
                await refuse_other_format(self._database, session)
            yield Snapshot(self._database, names, session, hello["lastWrite"]["majorityWriteDate"])

    async def replace(self, content: Mapping[str, Iterable[bytes]], pasts: Mapping[int, Past]) -> AsyncIterator[int]:
        """Put back what was read of each collection; a partition that has a past to live again is told so.

        Yields how many documents were written. Until all are, no partition can be served, whatever happens meanwhile.
        """
        read = [*_decoded(content[CHECKPOINTS])]
        checkpoints = [checkpoint_of(raw) for raw in read]
        # Whichever of them is the last when this is broken off must say it.
        belonging = {name: raw[name] for raw in read for name in ("service", "format") if name in raw}
        with _saying_unavailable():
            for checkpoint in checkpoints:
                # Whoever serves it all the same is no owner from here on, and finds out by its next checkpoint.
                next_epoch = {"$add": [{"$max": ["$epoch", checkpoint.epoch]}, 1]}
                shut = [{"$set": {RESTORING: True, "epoch": next_epoch, **belonging}}]
                await self._database[CHECKPOINTS].update_one({"_id": checkpoint.partition}, shut, upsert=True)
            for name in await self._database.list_collection_names():
                if name != CHECKPOINTS:
                    await self._database.drop_collection(name)
            for name in content.keys() - {CHECKPOINTS, JOURNAL}:
                documents = map(RawBSONDocument, content[name])
                while some := list(islice(documents, WRITTEN_AT_ONCE)):
                    await self._database[name].insert_many(some, ordered=False)
                    yield len(some)
            entries = [entry_of(raw) for raw in _decoded(content.get(JOURNAL, ()))]
            for checkpoint in checkpoints:
                yield await self._begin_anew(checkpoint, _of(entries, checkpoint.partition), pasts)

    async def _begin_anew(self, checkpoint: Checkpoint, entries: Sequence[Entry], pasts: Mapping[int, Past]) -> int:
        """Let the partition be served again, under a new incarnation."""
        begun, tail = begun_anew(checkpoint, entries, secrets.token_hex(4), pasts[checkpoint.partition])
        # What such an owner has journaled meanwhile would seem to follow on what is restored.
        await self._database[JOURNAL].delete_many({"_id": entries_of(checkpoint.partition)})
        if tail:
            await self._database[JOURNAL].insert_many([raw_entry(entry) for entry in tail])
        known = {name: value for name, value in raw_checkpoint(begun).items() if name not in {"_id", "epoch"}}
        done = {"$set": known, "$unset": {RESTORING: ""}, "$inc": {"epoch": 1}}
        await self._database[CHECKPOINTS].update_one({"_id": checkpoint.partition}, done)
        return 1 + len(tail)


def _of(entries: Iterable[Entry], partition: int) -> list[Entry]:
    """The entries of one partition, in order."""
    return sorted((entry for entry in entries if entry.partition == partition), key=lambda entry: entry.number)


def _decoded(documents: Iterable[bytes]) -> Iterator[Raw]:
    return (bson.decode(document, codec_options=CODEC) for document in documents)


@contextmanager
def _saying_unavailable() -> Iterator[None]:
    try:
        yield
    except PyMongoError as failure:
        if getattr(failure, "code", None) == SNAPSHOT_TOO_OLD:
            why = "reading took longer than a snapshot is kept: its minSnapshotHistoryWindowInSeconds must be more"
            raise Unavailable(f"MongoDB: {why}") from failure
        raise Unavailable(f"MongoDB: {failure}") from failure
