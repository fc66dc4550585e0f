"""What runs detached: written by whoever started it, so that others find it and can stop exactly that.

There is one such file a cache directory, hence one detached stack.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel, ValidationError

from oms.stack import artifacts, scratch
from oms.stack.errors import StackError
from oms.stack.process import Child, ProcessId, stop

STOP_TIMEOUT_S = 15


class RunningProcess(BaseModel):
    """One process of the stack; `url` is where it answers HTTP, if it does."""

    name: str
    id: ProcessId
    log: Path
    url: str | None = None

    @classmethod
    def of(cls, child: Child, url: str | None = None) -> "RunningProcess":
        """Describe a child that was started."""
        if child.id is None:
            raise RuntimeError(f"{child.name} was never started")
        return cls(name=child.name, id=child.id, log=child.log, url=url)

    @property
    def alive(self) -> bool:
        return self.id.alive

    @property
    def service(self) -> str:
        """Of which service it is an instance, if it is one of a service: `inventory-2` is one of inventory."""
        return self.name.partition("-")[0]


class RunningStack(BaseModel):
    """The addresses and processes of the detached stack. `engines` are empty when they are not ours."""

    kafka_bootstrap: str
    mongo_url: str
    redis_url: str
    directory: Path
    engines: list[RunningProcess] = []
    services: list[RunningProcess] = []

    def save(self) -> None:
        """Write the state, in place of what was there."""
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_whole(path, self.model_dump_json(indent=2).encode())

    @classmethod
    def load(cls) -> "RunningStack | None":
        """Read the state; None when nothing was started. Raises StackError when the file is damaged."""
        try:
            return cls.model_validate_json(_path().read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StackError(
                f"{_path()} cannot be read: {error.error_count()} fields are wrong.\n"
                "Look for processes left over, stop them, and remove that file."
            ) from error

    @property
    def alive(self) -> bool:
        """Whether any of its processes runs; none does after the machine was restarted."""
        return any(process.alive for process in (*self.engines, *self.services))

    async def stop(self) -> None:
        """Stop the services, then the engines, and remove the data and the state."""
        for processes in (self.services, self.engines):
            async with asyncio.TaskGroup() as group:
                for process in processes:
                    group.create_task(stop(process.id, STOP_TIMEOUT_S))
        await asyncio.to_thread(scratch.remove, self.directory)
        _path().unlink(missing_ok=True)


def _path() -> Path:
    return artifacts.cache_dir() / "running.json"
