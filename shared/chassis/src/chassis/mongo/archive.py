"""What a service remembers, read from its database by somebody else: an audit, an export."""

from collections.abc import AsyncIterator, Collection, Mapping
from types import TracebackType
from typing import Any, Self

from pydantic_core import from_json
from pymongo.errors import PyMongoError

from chassis.decision import Document, ids_by_kind
from chassis.kinds import UnreadableDocument, kinds_of, read_document
from chassis.mongo.belonging import refuse_other_format
from chassis.mongo.client import connect, database_of
from chassis.mongo.raw import content_of, place_of
from chassis.ports import Unavailable

Remembered = Document | UnreadableDocument
"""A document, or why this version cannot read what is there."""


class Archive:
    """Reads the documents of one service, with what its journal has not brought to them yet; it writes nothing.

    Every method raises Unavailable when MongoDB does not answer.
    """

    def __init__(self, url: str, database: str, models: Collection[type[Document]]) -> None:
        self.name = database
        self._client = connect(url)
        self._database = database_of(self._client, database)
        self._models = kinds_of(models)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._client.close()

    async def check_format(self) -> None:
        """Raises Foreign when the database has another format than ours; what is in it would be read wrongly."""
        try:
            await refuse_other_format(self._database)
        except PyMongoError as failure:
            raise Unavailable(f"MongoDB: {failure}") from failure

    async def latest(self, keys: Collection[str]) -> Mapping[str, Remembered]:
        """The documents of these keys that exist, as the last journal entry left them, or why one cannot be read."""
        try:
            # The journal first: what is overwritten in it meanwhile is in the documents by then.
            found = await self._journaled(set(keys))
            for kind, ids in ids_by_kind(keys).items():
                async for raw in self._database[kind].find({"_id": {"$in": ids}}, {"entry": 1, "body": 1}):
                    key = f"{kind}/{raw['_id']}"
                    if key not in found or raw["entry"] > found[key][0]:
                        found[key] = (raw["entry"], self._read(key, raw["body"]))
        except PyMongoError as failure:
            raise Unavailable(f"MongoDB: {failure}") from failure
        return {key: document for key, (_, document) in found.items()}

    async def _journaled(self, keys: Collection[str]) -> dict[str, tuple[int, Remembered]]:
        """The documents that the entries after the checkpoints changed, each with the number of the last of these."""
        found: dict[str, tuple[int, Remembered]] = {}
        async for checkpoint in self._database["checkpoints"].find({}, {"number": 1}):
            number = checkpoint["number"] + 1
            while entry := await self._entry(checkpoint["_id"], number):
                for key, body, *_ in content_of(entry)["changes"]:
                    if key in keys:
                        found[key] = (number, self._read(key, body))
                number += 1
        return found

    def _read(self, key: str, body: bytes | Mapping[str, object]) -> Remembered:
        try:
            # What the journal has is read as MongoDB's copy of it is: it is to be wrong in the same words.
            return read_document(self._models, key, from_json(body) if isinstance(body, bytes) else body)
        except UnreadableDocument as unreadable:
            return unreadable

    async def _entry(self, partition: int, number: int) -> Mapping[str, Any] | None:
        wanted = {"_id": place_of(partition, number), "number": number}
        found: Mapping[str, Any] | None = await self._database["journal"].find_one(wanted, {"content": 1})
        return found

    async def ids(self, model: type[Document]) -> AsyncIterator[str]:
        """The ids of all documents of a kind, as of the last checkpoint."""
        try:
            async for raw in self._database[model.kind].find({}, {"_id": 1}):
                yield raw["_id"]
        except PyMongoError as failure:
            raise Unavailable(f"MongoDB: {failure}") from failure
