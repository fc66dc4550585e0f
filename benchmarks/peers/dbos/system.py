"""Runs DBOS on a PostgreSQL of its own, and gives it orders."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg
from dbos import DBOSClient, EnqueueOptions
from oms.stack.process import Child

from peers.concurrency import each
from peers.dbos.worker import QUEUE, WORKFLOW
from peers.peer import Shape, Stored, System, started
from peers.postgres import Postgres
from peers.saga import Order
from peers.workers import workers

DATABASE = "dbos"
PLACED_AT_ONCE = 16
LOOK_S = 0.1
UNDER_WAY = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
COMPLETED = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
STEPS = "SELECT count(*) FROM dbos.operation_outputs WHERE error IS NULL AND output IS NOT NULL"


class Dbos:
    name = "DBOS"

    @asynccontextmanager
    async def running(self, directory: Path, shape: Shape) -> AsyncIterator[System]:
        async with AsyncExitStack() as exits:
            postgres = Postgres(directory / "postgres")
            await started(postgres, exits)
            url = postgres.url(DATABASE)
            processes = list(workers("peers.dbos.worker", directory, shape, url))
            for worker in processes:  # one after the other: the first makes the tables
                await started(worker, exits)
            client = DBOSClient(system_database_url=url)
            exits.callback(client.destroy)
            versions = {"dbos": version("dbos"), "store": postgres.version}
            yield DbosSystem(versions, [postgres, *processes], client, url)


class DbosSystem:
    def __init__(self, versions: dict[str, str], children: Sequence[Child], client: DBOSClient, url: str) -> None:
        self.versions = versions
        self.children = children
        self._client = client
        self._url = url

    async def complete(self, orders: Sequence[Order]) -> None:
        async def place(order: Order) -> None:
            options = EnqueueOptions(workflow_name=WORKFLOW, queue_name=QUEUE, workflow_id=order["order_id"])
            await self._client.enqueue_async(options, order)

        await each(orders, PLACED_AT_ONCE, place)
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as store:
            while await _count(store, UNDER_WAY):  # noqa: ASYNC110 - the store does not call us when they are done
                await asyncio.sleep(LOOK_S)

    async def stored(self) -> Stored:
        async with await psycopg.AsyncConnection.connect(self._url) as store:
            return Stored(await _count(store, COMPLETED), await _count(store, STEPS))


async def _count(store: psycopg.AsyncConnection, query: str) -> int:
    row = await (await store.execute(query)).fetchone()
    return row[0] if row else 0
