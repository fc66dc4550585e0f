"""A child process: started with a log file, waited for until ready, paused, killed, stopped.

Kafka, MongoDB, Redis and the services all run as such children. A child is independent of the event loop that started
it, so that one `asyncio.run` may start it and another stop it.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from oms.stack import tether
from oms.stack.errors import StackError

POLL_S = 0.02
LOG_TAIL_LINES = 20

Condition = Callable[[], Awaitable[bool]]


class StartFailedError(StackError):
    """A process ended, or was not ready in time, while it was started."""


@dataclass(frozen=True)
class ProcessId:
    """One process for good: its pid, and when it started, since a pid is given again to a stranger.

    `started_s` counts seconds from boot, which no change of the clock moves.
    """

    pid: int
    started_s: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Identify a process that runs now. Raises psutil.NoSuchProcess."""
        boot_s = psutil.boot_time()  # asked first: create_time() counts from the boot time read last
        return cls(pid, round(psutil.Process(pid).create_time() - boot_s, 2))

    @property
    def alive(self) -> bool:
        try:
            return ProcessId.of(self.pid) == self and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and to no other; nothing happens when it is gone."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


async def until(condition: Condition, timeout_s: float) -> bool:
    """Wait until the condition holds; False if it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def stop(process: ProcessId, timeout_s: float) -> None:
    """Ask a process to end (SIGTERM), and end it (SIGKILL) if it has not after `timeout_s`."""
    process.signal(signal.SIGTERM)
    process.signal(signal.SIGCONT)  # a paused process would not hear it

    async def ended() -> bool:
        return not process.alive

    if not await until(ended, timeout_s):
        process.signal(signal.SIGKILL)
        await until(ended, timeout_s)


class Child:
    """A process of ours. It may be started again after it was stopped or killed, with its files as they are.

    Unless `detached`, the kernel kills it when the thread that started it ends, however that ends (on Linux): start
    children from the main thread. It has its own session, so that Ctrl-C reaches us and not it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Condition,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = 60,
        stop_timeout_s: float = 10,
        detached: bool = False,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        self.env = env or {}
        self.start_timeout_s = start_timeout_s
        self.stop_timeout_s = stop_timeout_s
        self.detached = detached
        self.id: ProcessId | None = None
        self._ready = ready
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    async def start(self) -> None:
        """Start and wait until ready. Raises StartFailedError with the end of its log; it does not run then."""
        self.spawn()
        try:
            await self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def spawn(self) -> None:
        """Start without waiting. Raises StartFailedError when there is no such program."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = self.command if self.detached else [*tether.command(os.getpid()), *self.command]
        with self.log.open("ab") as log:
            try:
                self._popen = subprocess.Popen(  # noqa: S603  # the command is ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.env},
                    start_new_session=True,
                )
            except OSError as error:
                raise StartFailedError(f"{self.name}: cannot run {command[0]}: {error.strerror}") from error
        self.id = ProcessId.of(self._popen.pid)

    async def wait_ready(self) -> None:
        """Wait until it answers. Raises StartFailedError when it ends before, or takes too long."""

        async def ready() -> bool:
            if not self.alive:
                status = self._popen and self._popen.returncode
                raise StartFailedError(f"{self.name} ended while starting (exit status {status}).{self._log_tail()}")
            return await self._ready()

        if not await until(ready, self.start_timeout_s):
            raise StartFailedError(f"{self.name} is not ready after {self.start_timeout_s:.0f} s.{self._log_tail()}")

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after `stop_timeout_s`. Nothing happens when it does not run."""
        if self.id is not None and self.alive:
            await stop(self.id, self.stop_timeout_s)
            self._reap()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        if self.alive:
            self._signal(signal.SIGKILL)
            self._reap()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it keeps its connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        self._popen.send_signal(number)

    def _reap(self) -> None:
        if self._popen is not None:
            self._popen.wait(timeout=self.stop_timeout_s)

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\nThe end of its log:\n  " + "\n  ".join(lines) if lines else " Its log is empty."
