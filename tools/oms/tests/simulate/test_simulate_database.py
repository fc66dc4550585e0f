"""The simulated database loses what a real one may lose, and says so."""

import asyncio
import random
from collections.abc import Callable

import pytest
from oms.simulate.database import Collection, Database
from oms.simulate.line import answer_of
from pymongo import InsertOne
from pymongo.errors import AutoReconnect


class Line:
    """Brings a request there and the answer back; the two halves of a bulk write are a moment apart."""

    @staticmethod
    async def ask(request: Callable[[Callable[[object], None]], None], _: object) -> object:
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        request(answered.set_result)
        return answer_of(await answered)

    @staticmethod
    def latency_s() -> float:
        return 0.01


async def test_a_bulk_write_fails_with_the_primary_that_took_it_however_soon_there_is_another() -> None:
    database = Database(random.Random(1))  # noqa: S311 - nothing secret
    payments = Collection(database, Line(), "payments", reads_majority=False)
    writing = asyncio.create_task(payments.bulk_write([InsertOne({"_id": 1}), InsertOne({"_id": 2})], ordered=False))
    await asyncio.sleep(0)
    assert set(database.rows("payments")) == {1}

    database.fail(0.0)

    with pytest.raises(AutoReconnect):
        await writing
    assert 2 not in database.rows("payments")
