"""Ports on loopback: which are free, and what to do about one that is taken."""

import asyncio
import random
import socket

from oms.stack.errors import StackError

HOST = "127.0.0.1"
LAST_PORT = 65_535
FREE_PORTS = range(20_000, 32_000)  # below the ports that Linux gives to outgoing connections

_given: set[int] = set()


class PortTakenError(StackError):
    """Somebody listens on a port already."""


def claim(port: int, owner: str, option: str) -> int:
    """Give `port` if nothing listens there, or any free port for 0. Raises PortTakenError and StackError.

    `owner` is who wants it, and `option` the command line's name of the setting (`--kafka-port`).
    """
    if port == 0:
        return free_port()
    if port > LAST_PORT:
        raise StackError(f"There is no port {port} for {owner}: {option} is too high")
    if not is_free(port):
        variable = "THROUGHLINE_" + option.removeprefix("--").replace("-", "_").upper()
        raise PortTakenError(
            f"Port {port} for {owner} is taken: something listens on {HOST}:{port} already.\n"
            f"If it is a stack you started before, stop it: oms down\n"
            f"Otherwise choose another port: {option} PORT, or {variable}=PORT"
        )
    return port


def free_port() -> int:
    """Find a port nobody listens on, and none that was given before: it may not be listened on yet."""
    candidates = random.sample(FREE_PORTS, k=1_000)
    port = next(port for port in candidates if port not in _given and is_free(port))
    _given.add(port)
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection just closed does not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


async def accepts(port: int) -> bool:
    """Say whether somebody listens on the port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
