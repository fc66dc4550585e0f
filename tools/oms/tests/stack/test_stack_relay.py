import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from oms.stack.ports import HOST, free_port
from oms.stack.relay import Relay


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, HOST, free_port())
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest_asyncio.fixture
async def relay(echo: int) -> AsyncIterator[Relay]:
    async with Relay(free_port(), echo) as relay:
        yield relay


async def connect(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = relay.address.partition(":")
    return await asyncio.open_connection(host, int(port))


async def says(reader: asyncio.StreamReader, within_s: float = 5) -> bytes:
    async with asyncio.timeout(within_s):
        return await reader.readline()


async def test_passes_on_what_is_said_in_both_directions(relay: Relay) -> None:
    reader, writer = await connect(relay)
    writer.write(b"hello\n")
    assert await says(reader) == b"hello\n"


async def test_lets_nothing_pass_while_it_is_cut_and_loses_nothing(relay: Relay) -> None:
    reader, writer = await connect(relay)
    writer.write(b"one\n")
    assert await says(reader) == b"one\n"
    relay.cut()
    writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        await says(reader, within_s=0.2)
    relay.mend()
    assert await says(reader) == b"two\n"


async def test_answers_nobody_new_while_it_is_cut(relay: Relay) -> None:
    relay.cut()
    reader, writer = await connect(relay)
    writer.write(b"hello\n")
    with pytest.raises(TimeoutError):
        await says(reader, within_s=0.2)
    relay.mend()
    assert await says(reader) == b"hello\n"


async def test_tells_one_side_when_the_other_hangs_up(relay: Relay) -> None:
    reader, writer = await connect(relay)
    writer.write(b"bye\n")
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b"bye\n"


async def test_refuses_who_asks_for_somebody_who_is_not_there() -> None:
    async with Relay(free_port(), free_port()) as relay:
        reader, _ = await connect(relay)
        assert await says(reader) == b""


async def test_hangs_up_on_everybody_when_it_ends(echo: int) -> None:
    async with Relay(free_port(), echo) as relay:
        reader, writer = await connect(relay)
        writer.write(b"hello\n")
        assert await says(reader) == b"hello\n"
    assert await says(reader) == b""
