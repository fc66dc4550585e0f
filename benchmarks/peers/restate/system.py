"""Runs Restate and the workers that it calls, and gives it orders."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import httpx
from oms.stack.ports import HOST, accepts, free_port
from oms.stack.process import Child

from peers.concurrency import each
from peers.peer import Shape, Stored, System, started
from peers.restate.server import PINNED, Server, installed
from peers.restate.worker import HANDLER, SERVICE
from peers.saga import Order

COMPLETED = "SELECT count(*) AS n FROM sys_invocation WHERE status = 'completed' AND completion_result = 'success'"
STEPS = "SELECT count(*) AS n FROM sys_journal WHERE entry_type = 'Notification: Run'"
ENDLESS = 2**31 - 1


class Restate:
    name = "Restate"

    @asynccontextmanager
    async def running(self, directory: Path, shape: Shape) -> AsyncIterator[System]:
        program = await asyncio.to_thread(installed)
        async with AsyncExitStack() as exits:
            server = Server(program, directory / "server", shape)
            await started(server, exits)
            port = free_port()
            workers = _workers(directory, shape, port)
            await started(workers, exits)
            client = await exits.enter_async_context(
                httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))  # noqa: S113 - measured as a whole
            )
            answer = await client.post(f"{server.admin_url}/deployments", json={"uri": f"http://{HOST}:{port}"})
            answer.raise_for_status()
            yield RestateSystem(server, workers, client, shape)


class RestateSystem:
    def __init__(self, server: Server, workers: Child, client: httpx.AsyncClient, shape: Shape) -> None:
        pinned = json.loads((PINNED / "package.json").read_text())["dependencies"]
        self.versions = {
            **pinned,
            "restate-sdk": version("restate-sdk"),
            "store": "its own, on RocksDB, WAL with fsync",
        }
        self.children: Sequence[Child] = [server, workers]
        self._server = server
        self._client = client
        self._in_flight = shape.in_flight

    async def complete(self, orders: Sequence[Order]) -> None:
        async def place(order: Order) -> None:
            url = f"{self._server.ingress_url}/{SERVICE}/{HANDLER}"
            (await self._client.post(url, json=order)).raise_for_status()

        await each(orders, self._in_flight, place)

    async def stored(self) -> Stored:
        return Stored(await self._count(COMPLETED), await self._count(STEPS))

    async def _count(self, query: str) -> int:
        headers = {"accept": "application/json"}
        answer = await self._client.post(f"{self._server.admin_url}/query", json={"query": query}, headers=headers)
        return int(answer.raise_for_status().json()["rows"][0]["n"])


def _workers(directory: Path, shape: Shape, port: int) -> Child:
    """Processes that share a port, as the SDK's guide has it for production."""
    settings = directory / "hypercorn.toml"
    settings.write_text(
        f'bind = "{HOST}:{port}"\n'
        f"workers = {shape.processes}\n"
        f"h2_max_concurrent_streams = {ENDLESS}\n"
        f"keep_alive_max_requests = {ENDLESS}\n"
        f"keep_alive_timeout = {ENDLESS}\n"
    )

    async def is_ready() -> bool:
        return await accepts(port)

    command: list[str | Path] = [sys.executable, "-m", "hypercorn", "--config", settings, "peers.restate.worker:app"]
    return Child("workers", command, log=directory / "workers.log", ready=is_ready)
