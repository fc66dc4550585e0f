"""Restate's server, from npm, with its data in a directory of ours and its settings for durability as they are."""

import platform
import shutil
import sys
from pathlib import Path

import httpx
from oms.stack.artifacts import cache_dir
from oms.stack.ports import HOST, accepts, free_port
from oms.stack.process import Child

from peers.installing import run
from peers.peer import Shape, Unavailable

PINNED = Path(__file__).parent
CONNECTIONS = 4
"""To each worker process, or one of them would get all the calls: a connection has room for 128 by default."""


class Server(Child):
    """Restate on one node, ready when it takes orders and can be told who carries them."""

    def __init__(self, program: Path, directory: Path, shape: Shape) -> None:
        directory.mkdir(parents=True)
        node, self._ingress, self._admin = free_port(), free_port(), free_port()
        self.ingress_url = f"http://{HOST}:{self._ingress}"
        self.admin_url = f"http://{HOST}:{self._admin}"
        super().__init__(
            "Restate",
            [program, "--no-logo", "--base-dir", directory / "data"],
            log=directory / "restate.log",
            env={
                "RESTATE_LISTEN_MODE": "tcp",
                "RESTATE_BIND_IP": HOST,
                "RESTATE_BIND_PORT": str(node),
                "RESTATE_INGRESS__BIND_PORT": str(self._ingress),
                "RESTATE_ADMIN__BIND_PORT": str(self._admin),
                "RESTATE_DISABLE_TELEMETRY": "true",
                "RESTATE_LOG_FILTER": "warn",
                "RESTATE_WORKER__INVOKER__HTTP2_STREAMS_PER_CONNECTION_LIMIT": str(max(1, shape.each // CONNECTIONS)),
            },
            ready=self._answers,
        )

    async def _answers(self) -> bool:
        if not (await accepts(self._ingress) and await accepts(self._admin)):
            return False
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.admin_url}/health")).is_success


def installed() -> Path:
    """The server's program, fetched from npm if it is not in the cache. Raises Unavailable."""
    home = cache_dir() / "peers" / "restate"
    home.mkdir(parents=True, exist_ok=True)
    pinned = (PINNED / "package-lock.json").read_bytes()
    kept = home / "node_modules" / "installed.json"
    if not kept.exists() or kept.read_bytes() != pinned:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PINNED / name, home)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home])
        kept.write_bytes(pinned)
    found = next(home.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"), None)
    if found is None:
        raise Unavailable(f"npm has no restate-server for this machine ({sys.platform}, {platform.machine()})")
    return found
