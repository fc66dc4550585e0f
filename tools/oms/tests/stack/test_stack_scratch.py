import os
import signal
import subprocess
import sys
from pathlib import Path

from oms.stack.process import until
from oms.stack.scratch import Scratch

OWNER = """
import sys, time
from pathlib import Path
from oms.stack.scratch import Scratch

scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "data").write_text("some")
print(scratch.path, flush=True)
time.sleep(60)
"""


def test_goes_with_everything_in_it_when_closed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "stacks")
    (scratch.path / "deep" / "down").mkdir(parents=True)
    scratch.close()
    assert list((tmp_path / "stacks").iterdir()) == []


def test_may_be_closed_twice(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.close()
    scratch.close()
    assert not scratch.path.exists()


def killed_owner(tmp_path: Path) -> Path:
    """Let a process make a directory and kill the process with all of its group."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:  # noqa: S603  # the text above
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        assert (path / "data").exists()
        os.killpg(owner.pid, signal.SIGKILL)
    return path


def exists(path: Path) -> bool:
    return path.exists()


async def test_goes_when_its_owner_is_killed(tmp_path: Path) -> None:
    path = killed_owner(tmp_path)

    async def gone() -> bool:
        return not exists(path)

    assert await until(gone, 5)


def test_stays_when_detached_until_it_is_closed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, detached=True)
    assert scratch.path.is_dir()
    scratch.close()
    assert not scratch.path.exists()
