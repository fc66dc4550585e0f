"""Run a command that ends with its parent: `python tether.py PARENT_PID COMMAND...`.

The kernel kills the command when the parent ends, even by SIGKILL. A process has to ask for that itself, so this one
stands between the parent and the command, asks, and becomes the command. Only Linux has such a thing; elsewhere the
command just runs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def command(parent_pid: int) -> list[str]:
    """Give what stands before a command to tether it; without the user's site-packages, which cost start time."""
    return [sys.executable, "-I", "-S", __file__, str(parent_pid)]


def main() -> None:
    parent_pid, *argv = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent_pid):
            sys.exit("the parent ended first")
    try:
        os.execvp(argv[0], argv)  # noqa: S606  # becoming the command, without a shell, is the point
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
