"""Debian's PostgreSQL on loopback, with its data in a directory of ours and its settings for durability as they are."""

import os
import shutil
from pathlib import Path

import psycopg
from oms.stack.ports import HOST, free_port
from oms.stack.process import Child

from peers.installing import run
from peers.peer import Unavailable

USER = "peers"
INSTALLED = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "400",
}
"""Every commit is on disk before it is answered. The sizes are those that PostgreSQL's manual advises for a server."""


class Postgres(Child):
    """A server whose databases anybody on this machine may use."""

    def __init__(self, directory: Path) -> None:
        programs = _programs()
        self.port = free_port()
        self.version = run([programs / "postgres", "--version"])
        data = directory / "data"
        directory.mkdir(parents=True)
        no_root = _without_root()
        run([*no_root, programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale"])
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        super().__init__(
            "PostgreSQL",
            [*no_root, programs / "postgres", "-D", data, "-p", str(self.port), *settings],
            log=directory / "postgres.log",
            ready=self._answers,
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"

    async def _answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


def _programs() -> Path:
    """The newest server on this machine. Raises Unavailable."""
    found = sorted(INSTALLED.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise Unavailable("there is no PostgreSQL server on this machine: apt-get install postgresql")
    return found[-1].parent


def _without_root() -> list[str]:
    """PostgreSQL refuses to be root; in a user namespace of its own, root is an ordinary user."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("unshare"):
        raise Unavailable("PostgreSQL does not run as root, and there is no unshare (util-linux) to become another")
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
