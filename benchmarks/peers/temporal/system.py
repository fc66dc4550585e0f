"""Runs Temporal on a PostgreSQL of its own, and gives it orders."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import psycopg
from oms.stack.process import Child, until
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from peers.concurrency import each
from peers.peer import Shape, Stored, System, Unavailable, started
from peers.postgres import Postgres
from peers.saga import Order
from peers.temporal.server import STORE, VERSION, Server, installed
from peers.temporal.worker import NAMESPACE, QUEUE, Saga
from peers.workers import workers

KEPT = timedelta(days=1)
STARTED_WITHIN_S = 120
READ_AT_ONCE = 16
COMPLETED = (
    "SELECT workflow_id FROM current_executions JOIN namespaces ON namespaces.id = namespace_id "
    "WHERE namespaces.name = %s AND status = 2"
)
"""Status 2 is COMPLETED."""
STEP_DONE = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED


class Temporal:
    name = "Temporal"

    @asynccontextmanager
    async def running(self, directory: Path, shape: Shape) -> AsyncIterator[System]:
        programs = await asyncio.to_thread(installed)
        async with AsyncExitStack() as exits:
            postgres = Postgres(directory / "postgres")
            await started(postgres, exits)
            server = Server(programs, directory / "server", postgres)
            await started(server, exits)
            client = await _client(server)
            processes = list(workers("peers.temporal.worker", directory, shape, server.address))
            for worker in processes:
                await started(worker, exits)
            yield TemporalSystem(client, postgres, [postgres, server, *processes], shape)


class TemporalSystem:
    def __init__(self, client: Client, postgres: Postgres, children: Sequence[Child], shape: Shape) -> None:
        self.versions = {"temporal": VERSION, "temporalio": version("temporalio"), "store": postgres.version}
        self.children = children
        self._client = client
        self._store = postgres.url(STORE)
        self._in_flight = shape.in_flight

    async def complete(self, orders: Sequence[Order]) -> None:
        async def place(order: Order) -> None:
            await self._client.execute_workflow(Saga.run, order, id=order["order_id"], task_queue=QUEUE)

        await each(orders, self._in_flight, place)

    async def stored(self) -> Stored:
        async with await psycopg.AsyncConnection.connect(self._store) as store:
            completed = [str(row[0]) async for row in await store.execute(COMPLETED, [NAMESPACE])]
        return Stored(len(completed), sum(await each(completed, READ_AT_ONCE, self._steps)))

    async def _steps(self, workflow: str) -> int:
        history = await self._client.get_workflow_handle(workflow).fetch_history()
        return sum(event.event_type == STEP_DONE for event in history.events)


async def _client(server: Server) -> Client:
    """A client of a namespace that is new. Raises Unavailable when the server does not get to know it."""

    async def knows_us() -> bool:
        """The services learn of a new namespace in their own time."""
        try:
            await client.count_workflows()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    client = await Client.connect(server.address, namespace=NAMESPACE)
    request = RegisterNamespaceRequest(namespace=NAMESPACE)
    request.workflow_execution_retention_period.FromTimedelta(KEPT)
    await client.workflow_service.register_namespace(request)
    if not await until(knows_us, STARTED_WITHIN_S):
        raise Unavailable(f"Temporal does not know its namespace after {STARTED_WITHIN_S} s")
    return client
