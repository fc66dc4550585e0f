"""What MongoDB refuses to write is in the error that PyMongo raises, and would be in the log."""

from collections.abc import Sequence
from typing import Any

import pytest
from chassis.entry import Change
from chassis.mongo.store import MongoStore
from pymongo.errors import BulkWriteError

FULL = {"code": 14031, "errmsg": "available disk space of 400 MB is less than required minimum"}


class Refusing:
    """A collection that writes nothing."""

    def __init__(self, *concerns: object) -> None:
        self._concerns = [*concerns]

    async def bulk_write(self, operations: Sequence[Any], *, ordered: bool) -> None:
        assert not ordered
        refused = [
            {"index": number, "op": operation._doc, **FULL}
            for number, operation in enumerate(operations)
            if not self._concerns
        ]
        raise BulkWriteError({"writeErrors": refused, "writeConcernErrors": self._concerns})


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_refused_is_told_without_what_is_in_it(*, is_first: bool) -> None:
    body = b'{"id": "web:1", "email": "ada@example.com"}'
    changes = [Change(f"orders/web:{n}", body, None, None, None, 1, is_first=is_first) for n in range(2)]

    with pytest.raises(RuntimeError) as told:
        await MongoStore._write_unless_newer(Refusing(), 0, changes)  # type: ignore[arg-type] # a stand-in

    assert str(told.value) == f"MongoDB refuses 2 writes of documents: {FULL['errmsg']} (14031)"
    assert told.value.__suppress_context__


async def test_what_not_enough_nodes_have_is_told() -> None:
    waiting = Refusing({"code": 64, "errmsg": "waiting for replication timed out"})
    change = Change("orders/web:1", b"{}", None, None, None, 1, is_first=True)

    with pytest.raises(RuntimeError, match=r"waiting for replication timed out \(64\)$"):
        await MongoStore._write_unless_newer(waiting, 0, [change])  # type: ignore[arg-type] # a stand-in
