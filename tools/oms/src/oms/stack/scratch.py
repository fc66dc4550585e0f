"""A directory that goes with its owner: when it is closed, and when the owner dies, even by SIGKILL.

A small process waits for the end of a pipe that only the owner holds open, and then removes the directory.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REMOVAL_TIMEOUT_S = 30


class Scratch:
    """A new directory below `parent`, removed by `close()` and, unless `detached`, by the death of this process."""

    def __init__(self, parent: Path, *, detached: bool = False) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=parent))
        self._remover: subprocess.Popen[bytes] | None = None
        if not detached:
            self._remover = subprocess.Popen(  # noqa: S603  # this very file
                [sys.executable, "-I", "-S", __file__, str(self.path)],
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the owner
            )

    def close(self) -> None:
        """Remove the directory and wait until it is gone."""
        if self._remover is None:
            remove(self.path)
        else:
            self._remover.communicate(timeout=REMOVAL_TIMEOUT_S)


def remove(directory: Path) -> None:
    """Remove a directory, again and again while dying processes still write to it."""
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    remove(Path(sys.argv[1]))
