"""As much of MongoDB as the engine's store asks for: a replica set whose primary may fail.

A write is on the primary at once, and answered when a majority has it. When the primary fails, what only it had is
gone: always the latest writes, for they are copied in their order. Whoever waits for one hears only that it failed.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chassis.mongo.store import DUPLICATE_KEY
from chassis.testing.store import as_stored
from pymongo import InsertOne, UpdateOne
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from oms.simulate.line import Line, Reply

Raw = Mapping[str, Any]
Rows = dict[object, Raw]
COUNTS = ("number", "entry", "epoch")
"""What only ever grows: the number of an entry and of a checkpoint, the entry of a document, the epoch of an owner."""


def broken() -> Exception:
    return AutoReconnect("the line to MongoDB broke")


@dataclass(slots=True)
class Write:
    """A write that the primary has and a majority has not."""

    rows: Rows
    id: object
    before: Raw | None


@dataclass(slots=True)
class Confirmation:
    """An answer that waits until a majority has all writes before it."""

    reply: Reply
    answer: object


class Database:
    """One service's database, as all its processes see it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._collections: dict[str, Rows] = {}
        self._pending: deque[Write | Confirmation] = deque()
        self._is_down = False
        self._term = 0
        """Counts the primaries."""
        self.set_back: list[tuple[str, str]] = []
        """Where an earlier state was written over a later one, and what."""

    def rows(self, collection: str) -> Rows:
        """What the primary has."""
        return self._collections.setdefault(collection, {})

    def as_of_majority(self, collection: str) -> Rows:
        """What can never be lost any more."""
        rows = self.rows(collection)
        pending = [write for write in self._pending if isinstance(write, Write) and write.rows is rows]
        if not pending:
            return rows
        settled = dict(rows)
        for write in reversed(pending):
            _put(settled, write.id, write.before)
        return settled

    def fail(self, down_s: float) -> None:
        """The primary dies; after a while there is another one, which has all that a majority has, and maybe more."""
        kept = self._chance.randint(0, len(self._pending))
        for number, write in reversed([*enumerate(self._pending)]):
            if isinstance(write, Write) and number >= kept:
                _put(write.rows, write.id, write.before)
        for waiting in self._pending:
            if isinstance(waiting, Confirmation):
                waiting.reply(AutoReconnect("the primary stepped down"))
        self._pending.clear()
        self._is_down = True
        self._term += 1
        asyncio.get_running_loop().call_later(down_s, self._come_back)

    def _come_back(self) -> None:
        self._is_down = False

    def serve(self, request: Callable[[Reply], None], reply: Reply) -> None:
        """Do what is asked, if there is a primary."""
        if self._is_down:
            asyncio.get_running_loop().call_later(0.5, reply, AutoReconnect("there is no primary"))
        else:
            request(reply)

    def rest_of(self, request: Callable[[Reply], None]) -> Callable[[Reply], None]:
        """The rest of a request that is under way: the next primary knows nothing of it, however soon there is one."""
        term = self._term

        def rest(reply: Reply) -> None:
            if term == self._term:
                request(reply)
            else:
                reply(AutoReconnect("the primary stepped down"))

        return rest

    def write(self, rows: Rows, id_: object, after: Raw) -> None:
        """Put a document in place of what is there."""
        before = rows.get(id_)
        self._pending.append(Write(rows, id_, before))
        rows[id_] = after
        for name in COUNTS:
            if before is not None and name in before and after[name] < before[name]:
                collection = next(name for name, some in self._collections.items() if some is rows)
                what = f"{name} {after[name]} was written over {name} {before[name]}"
                self.set_back.append((f"{collection}/{id_}", what))

    def confirm(self, reply: Reply, answer: object) -> None:
        """Answer when a majority has all that was written until now."""
        waiting = Confirmation(reply, answer)
        self._pending.append(waiting)
        dice = self._chance.random()
        delay_s = 0.0 if dice < 0.5 else dice / 100 if dice < 0.95 else dice
        asyncio.get_running_loop().call_later(delay_s, self._replicate, waiting)

    def _replicate(self, through: Confirmation) -> None:
        """A majority has what was written before this, and so all before that."""
        while any(through is waiting for waiting in self._pending):
            done = self._pending.popleft()
            if isinstance(done, Confirmation):
                done.reply(done.answer)


class Client:
    """What a process holds of it, in the place of Motor's client and its database."""

    def __init__(self, database: Database, line: Line) -> None:
        self._database = database
        self._line = line

    def get_database(self, _name: str, **_options: object) -> "Client":
        return self

    def get_collection(self, name: str, read_concern: ReadConcern | None = None) -> "Collection":
        is_majority = read_concern is not None and read_concern.level == "majority"
        return Collection(self._database, self._line, name, reads_majority=is_majority)

    def __getitem__(self, name: str) -> "Collection":
        return self.get_collection(name)


class Collection:
    """A collection as one process reaches it; it knows the few operations that the engine's store uses."""

    def __init__(self, database: Database, line: Line, name: str, *, reads_majority: bool) -> None:
        self._database = database
        self._line = line
        self._name = name
        self._reads_majority = reads_majority

    async def _ask(self, request: Callable[[Reply], None]) -> Any:  # noqa: ANN401 - whatever is answered
        return await self._line.ask(lambda reply: self._database.serve(request, reply), broken)

    def _rows(self) -> Rows:
        return self._database.rows(self._name)

    async def find(
        self,
        query: Raw,
        _projection: Raw | None = None,
        *,
        sort: Sequence[tuple[str, int]] = (),
        skip: int = 0,
    ) -> AsyncIterator[Raw]:
        if any(direction < 0 for _, direction in sort):
            raise NotImplementedError(sort)

        def request(reply: Reply) -> None:
            rows = self._database.as_of_majority(self._name) if self._reads_majority else self._rows()
            found = [row for row in rows.values() if matches(row, query)]
            reply(sorted(found, key=lambda row: [row[name] for name, _ in sort])[skip:])

        for row in await self._ask(request):
            yield row

    async def find_one(self, query: Raw, projection: Raw | None = None, **options: Any) -> Raw | None:  # noqa: ANN401 - see find
        return await anext(self.find(query, projection, **options), None)

    async def replace_one(self, query: Raw, replacement: Raw, *, upsert: bool) -> None:
        def request(reply: Reply) -> None:
            rows, id_ = self._rows(), query["_id"]
            if not _may_replace(rows, query, upsert=upsert):
                reply(DuplicateKeyError("E11000 duplicate key error", DUPLICATE_KEY))
            else:
                self._database.write(rows, id_, _stored(replacement))
                self._database.confirm(reply, None)

        await self._ask(request)

    async def bulk_write(self, writes: Sequence[InsertOne[Raw] | UpdateOne], *, ordered: bool) -> None:
        if ordered or len(set(map(type, writes))) > 1:  # PyMongo loses some where it tries a mixed bulk again
            raise NotImplementedError
        numbered = [*enumerate(writes)]
        half = len(numbered) // 2
        errors: list[Raw] = []

        def request(reply: Reply) -> None:
            # Not at one stroke: others may come in between, and a crash may leave the rest undone.
            self._perform(numbered[:half], errors)
            asyncio.get_running_loop().call_later(self._line.latency_s(), self._database.rest_of(finish), reply)

        def finish(reply: Reply) -> None:
            self._perform(numbered[half:], errors)
            self._database.confirm(reply, None)

        await self._ask(request)
        if errors:
            raise BulkWriteError({"writeErrors": errors})

    def _perform(self, writes: Sequence[tuple[int, InsertOne[Raw] | UpdateOne]], errors: list[Raw]) -> None:
        rows = self._rows()
        for number, write in writes:
            # pymongo has no other way to ask what a write is.
            if isinstance(write, UpdateOne):
                id_ = write._filter["_id"]  # noqa: SLF001
                row = _replacement(rows.get(id_), write._doc)  # noqa: SLF001
                if row is not None:
                    self._database.write(rows, id_, _stored(row))
            elif write._doc["_id"] in rows:  # noqa: SLF001
                errors.append({"index": number, "code": DUPLICATE_KEY})
            else:
                self._database.write(rows, write._doc["_id"], _stored(write._doc))  # noqa: SLF001

    async def update_one(self, query: Raw, update: Raw) -> "Updated":
        updated: Updated = await self._ask(
            lambda reply: self._update(query, update, reply, lambda matched, _: Updated(matched))
        )
        return updated

    async def find_one_and_update(self, query: Raw, update: Raw, *, upsert: bool, return_document: bool) -> Raw:
        if not (upsert and return_document):
            raise NotImplementedError
        after: Raw = await self._ask(lambda reply: self._update(query, update, reply, lambda _, row: row))
        return after

    def _update(self, query: Raw, update: Raw, reply: Reply, answer: Callable[[int, Raw], object]) -> None:
        rows, id_ = self._rows(), query["_id"]
        before = rows.get(id_)
        if before is not None and not matches(before, query):
            reply(answer(0, before))
            return
        after = dict(before) if before is not None else {"_id": id_, **update.get("$setOnInsert", {})}
        after.update(update.get("$set", {}))
        for name, by in update.get("$inc", {}).items():
            after[name] = after.get(name, 0) + by
        self._database.write(rows, id_, after)
        self._database.confirm(reply, answer(1, after))


@dataclass(frozen=True, slots=True)
class Updated:
    """What came of an update."""

    matched_count: int


def _may_replace(rows: Rows, query: Raw, *, upsert: bool) -> bool:
    """Whether a replacement finds what it is to replace, or nothing that is in its way."""
    there = rows.get(query["_id"])
    return upsert if there is None else matches(there, query)


def _replacement(there: Raw | None, pipeline: Any) -> Raw | None:  # noqa: ANN401 - pymongo takes many sorts of them
    """What an upsert with this pipeline puts in the place of what is there; None if that stays."""
    match pipeline:
        case [{"$replaceWith": {"$cond": [{"$lt": [str(field), bound]}, {"$literal": dict(row)}, "$$ROOT"]}}]:
            is_lower = there is None or there[field.removeprefix("$")] < bound
            return row if is_lower else None
        case _:
            raise NotImplementedError(pipeline)


def _put(rows: Rows, id_: object, row: Raw | None) -> None:
    if row is None:
        rows.pop(id_, None)
    else:
        rows[id_] = row


def _stored(row: Raw) -> Raw:
    return {name: as_stored(value) if isinstance(value, datetime) else value for name, value in row.items()}


def matches(row: Raw, query: Raw) -> bool:
    """MongoDB's query language, as far as the engine's store speaks it. Raises NotImplementedError beyond that."""
    for name, condition in query.items():
        value = row.get(name)
        if not isinstance(condition, dict):
            if value != condition:
                return False
        elif not all(_holds(value, operator, bound) for operator, bound in condition.items()):
            return False
    return True


def _holds(value: Any, operator: str, bound: Any) -> bool:  # noqa: ANN401 - a row holds anything
    match operator:
        case "$in":
            return value in bound
        case "$lt":
            return value is not None and bool(value < bound)
        case "$lte":
            return value is not None and bool(value <= bound)
        case "$gt":
            return value is not None and bool(value > bound)
        case "$gte":
            return value is not None and bool(value >= bound)
        case "$type" if bound == "date":
            return isinstance(value, datetime)
        case _:
            raise NotImplementedError(operator)
