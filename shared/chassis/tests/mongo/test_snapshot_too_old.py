"""A database that takes longer to be read than MongoDB keeps a snapshot of it."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.mongo.backup import Snapshot
from chassis.ports import Unavailable
from chassis.testing.virtual_time import EPOCH
from pymongo.errors import OperationFailure


class TooSlow:
    """A collection of which the first document is read in time."""

    def get_collection(self, _name: str, **_: object) -> "TooSlow":
        return self

    async def find(self, *_: object, **__: object) -> AsyncIterator[Any]:
        yield SimpleNamespace(raw=b"document")
        raise OperationFailure("Read timestamp is older than the oldest available timestamp.", 239)


async def test_the_setting_that_is_too_small_is_named() -> None:
    snapshot = Snapshot(TooSlow(), ["orders"], None, EPOCH)

    with pytest.raises(Unavailable, match="its minSnapshotHistoryWindowInSeconds must be more"):
        [one async for one in snapshot.read("orders")]
