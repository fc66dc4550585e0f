"""Commands that install or prepare a peer."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from peers.peer import Unavailable

MOST_S = 3600
"""A compiler may take long; a command that hangs is ended all the same."""
MOST_CHARACTERS_SHOWN = 500


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """What the command prints. Raises Unavailable with the end of what it said when it fails."""
    try:
        done = subprocess.run(  # noqa: S603  # the command is ours
            command, check=True, capture_output=True, text=True, timeout=MOST_S, env={**os.environ, **(env or {})}
        )
    except FileNotFoundError as missing:
        raise Unavailable(f"there is no {command[0]} on this machine") from missing
    except subprocess.CalledProcessError as failed:
        said = f"{failed.stdout}\n{failed.stderr}".strip()[-MOST_CHARACTERS_SHOWN:]
        raise Unavailable(
            f"{' '.join(map(str, command[:3]))} ended with status {failed.returncode}: {said}"
        ) from failed
    except subprocess.TimeoutExpired as expired:
        raise Unavailable(f"{' '.join(map(str, command[:3]))} did not end within {MOST_S} s") from expired
    return done.stdout.strip()
