"""A network between one party and another that can be cut: a relay of TCP connections on loopback.

While it is cut nothing passes, and nobody is told: connections stay open, new ones are not answered, and what was sent
waits, as it does when a cable is pulled. Mended, everything goes on.
"""

import asyncio
from types import TracebackType
from typing import Self

from oms.stack.ports import HOST

CHUNK_BYTES = 65_536
"""The most of a connection that waits in the relay, in each direction, beside what the kernel holds."""


class Relay:
    """Listens on `port` and passes everything on to `target`, another port on loopback: `async with Relay(…)`."""

    def __init__(self, port: int, target: int) -> None:
        self.address = f"{HOST}:{port}"
        self._port = port
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self._port, limit=CHUNK_BYTES)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.close()
        connections = set(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing pass until `mend`."""
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            there, back = await asyncio.open_connection(HOST, self._target, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(reader, back))
                ways.create_task(self._pass(there, writer))
        except* OSError:
            pass  # one side is gone, and the other is told below
        finally:
            writer.transport.abort()
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        await self._whole.wait()
        writer.write_eof()
