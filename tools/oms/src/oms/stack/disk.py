"""A disk that can be made full without filling anybody's: a tmpfs of its own, in a mount namespace of its own.

Nothing is mounted where others could see it, and the kernel takes it all back when the process that holds the namespace
ends. It needs no root where the machine lets users have namespaces. Only Linux has them.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from oms.stack import tether
from oms.stack.errors import StackError
from oms.stack.process import Child

DISK_BYTES = 4 * 2**30
"""It is memory, and takes as much of it as is written to it."""
COMMAND_TIMEOUT_S = 10
ROOMS = (0, *(2**n for n in range(16, 27)))
"""Bytes that are left, one after the other: no disk may have less than is on it, and until it is made smaller there may
be more."""
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount")


class Disk(Child):
    """A disk mounted at `directory`, for the commands that `inside` makes; with 4 GiB, unless it is full."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        mount = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && exec "$@"'
        super().__init__(
            "the disk",
            [*NAMESPACES, "sh", "-c", mount, directory, *tether.command(os.getpid()), "sleep", "infinity"],
            log=directory.with_name(f"{directory.name}.log"),
            ready=self._is_mounted,
        )

    async def _is_mounted(self) -> bool:
        return self._seen_inside.is_mount()

    @property
    def _seen_inside(self) -> Path:
        """The directory as the processes inside see it."""
        return Path(f"/proc/{self._pid}/root{self.directory}")

    @property
    def _pid(self) -> int:
        if self.id is None:
            raise RuntimeError("the disk was never started")
        return self.id.pid

    def inside(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command, run where the disk is.

        It is tethered here: what enters a user namespace is no longer the process that asked to end with its parent.
        """
        enter = ["nsenter", "--target", str(self._pid), "--user", "--mount", "--preserve-credentials"]
        return [*enter, *tether.command(os.getpid()), *command]

    def fill(self) -> None:
        """Leave no room, or as little as can be taken away while others write: soon a write that needs any fails.

        Raises StackError.
        """
        why = ""
        for room in ROOMS:
            used = os.statvfs(self._seen_inside)
            try:
                self._resize((used.f_blocks - used.f_bfree) * used.f_frsize + room)
            except subprocess.CalledProcessError as refused:
                why = refused.stderr.decode(errors="replace").strip()
            else:
                return
        raise StackError(f"{self.directory} cannot be made full: {why}")

    def clear(self) -> None:
        """Give all the room back."""
        self._resize(DISK_BYTES)

    def _resize(self, size: int) -> None:
        command = self.inside(["mount", "-o", f"remount,size={size}", self.directory])
        subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)  # noqa: S603  # the command is ours


def lacking() -> str:
    """Why there can be no such disk on this machine; nothing if there can."""
    try:
        subprocess.run(  # noqa: S603  # the command is ours
            [*NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            check=True,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    except subprocess.CalledProcessError as failed:
        return f"this machine lets us have no mount namespace ({failed.stderr.strip()})"
    return ""
