import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from oms.stack.process import Child, ProcessId, StartFailedError, stop, until

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


async def at_once() -> bool:
    return True


async def never() -> bool:
    return False


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()


def python(children: list[Child], tmp_path: Path, code: str, **settings: object) -> Child:
    options = {"log": tmp_path / "child.log", "ready": at_once, "stop_timeout_s": 5, **settings}
    child = Child("Child", [sys.executable, "-I", "-S", "-c", code], **options)  # type: ignore[arg-type]  # free settings
    children.append(child)
    return child


async def test_says_how_it_ended_and_the_end_of_its_log(children: list[Child], tmp_path: Path) -> None:
    child = python(children, tmp_path, "import sys; print('no luck today'); sys.exit(7)", ready=never)
    with pytest.raises(StartFailedError, match=r"Child ended while starting \(exit status 7\)[\s\S]*no luck today"):
        await child.start()


@pytest.mark.parametrize("detached", [False, True])
async def test_says_which_program_is_missing(tmp_path: Path, detached: bool) -> None:
    child = Child("Engine", [tmp_path / "no-such-program"], log=tmp_path / "log", ready=never, detached=detached)
    with pytest.raises(StartFailedError, match=r"cannot run .*no-such-program: No such file"):
        await child.start()


async def test_leaves_nothing_behind_when_it_is_not_ready_in_time(children: list[Child], tmp_path: Path) -> None:
    child = python(children, tmp_path, SLEEP, ready=never, start_timeout_s=0.1)
    with pytest.raises(StartFailedError, match="not ready"):
        await child.start()
    assert child.id is not None
    assert not child.id.alive


async def test_starts_again_after_a_crash(children: list[Child], tmp_path: Path) -> None:
    child = python(children, tmp_path, SLEEP)
    await child.start()
    first = child.id
    child.kill()
    assert not child.alive
    await child.start()
    assert child.alive
    assert child.id != first


async def test_refuses_to_run_twice(children: list[Child], tmp_path: Path) -> None:
    child = python(children, tmp_path, SLEEP)
    await child.start()
    with pytest.raises(RuntimeError, match="runs already"):
        await child.start()


async def test_stops_a_paused_process(children: list[Child], tmp_path: Path) -> None:
    child = python(children, tmp_path, SLEEP)
    await child.start()
    assert child.id is not None
    process = psutil.Process(child.id.pid)

    async def paused() -> bool:
        return process.status() == psutil.STATUS_STOPPED

    child.pause()
    assert await until(paused, 5)
    child.resume()
    assert await until(at_once, 0)
    child.pause()
    await child.stop()
    assert not child.alive


async def test_kills_what_does_not_heed_the_request_to_stop(children: list[Child], tmp_path: Path) -> None:
    async def deaf() -> bool:
        return "deaf" in (tmp_path / "child.log").read_text()

    child = python(children, tmp_path, DEAF, ready=deaf, stop_timeout_s=0.2)
    await child.start()
    await child.stop()
    assert child._popen is not None
    assert child._popen.returncode == -signal.SIGKILL


async def test_passes_settings_to_the_process(children: list[Child], tmp_path: Path) -> None:
    async def printed() -> bool:
        return "blue" in (tmp_path / "child.log").read_text()

    code = "import os, time; print(os.environ['COLOR'], flush=True); time.sleep(60)"
    await python(children, tmp_path, code, env={"COLOR": "blue"}, ready=printed).start()


async def test_never_signals_a_stranger_that_got_the_pid(children: list[Child], tmp_path: Path) -> None:
    stranger = python(children, tmp_path, SLEEP)
    await stranger.start()
    assert stranger.id is not None
    ours_long_gone = replace(stranger.id, started_s=stranger.id.started_s - 100)
    assert not ours_long_gone.alive
    await stop(ours_long_gone, timeout_s=1)
    assert stranger.alive


async def test_knows_a_process_by_pid_and_start() -> None:
    assert ProcessId.of(os.getpid()) == ProcessId.of(os.getpid())
    assert ProcessId.of(os.getpid()) != ProcessId.of(os.getppid())


PARENT = """
import asyncio, sys
from pathlib import Path
from oms.stack.process import Child

log, mode, code = Path(sys.argv[1]), *sys.argv[2:]

async def ready():
    return "ready" in log.read_text()

async def main():
    child = Child("Child", [sys.executable, "-I", "-S", "-c", code], log=log, ready=ready, detached=mode == "detached")
    await child.start()
    print(child.id.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
ANSWERING = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("here", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


def orphan(tmp_path: Path, mode: str) -> ProcessId:
    """Let a process start a child that answers, and kill the process."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), mode, ANSWERING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603  # the text above
        assert parent.stdout is not None
        child = ProcessId.of(int(parent.stdout.readline()))
        parent.kill()
    assert parent.returncode == -signal.SIGKILL
    return child


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_dies_with_its_parent(tmp_path: Path) -> None:
    child = orphan(tmp_path, "tethered")

    async def gone() -> bool:
        return not child.alive

    assert await until(gone, 5)


async def test_outlives_its_parent_when_detached(tmp_path: Path) -> None:
    child = orphan(tmp_path, "detached")

    async def answered() -> bool:
        return "here" in (tmp_path / "log").read_text()

    child.signal(signal.SIGUSR1)
    assert await until(answered, 5)
    await stop(child, timeout_s=5)
    assert not child.alive
