import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from oms.stack.artifacts import write_whole
from oms.stack.errors import StackError
from oms.stack.process import Child
from oms.stack.state import RunningProcess, RunningStack

NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    with open("{notes}", "a") as notes:
        notes.write("{name}\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("THROUGHLINE_CACHE", str(cache))
    return cache


def noting_child(tmp_path: Path, name: str) -> Child:
    log = tmp_path / f"{name}.log"

    async def ready() -> bool:
        return "ready" in log.read_text()

    code = NOTES_ITS_END.format(notes=tmp_path / "notes", name=name)
    return Child(name, [sys.executable, "-I", "-S", "-c", code], log=log, ready=ready)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningStack]:
    engine, service = noting_child(tmp_path, "engine"), noting_child(tmp_path, "service")
    await asyncio.gather(engine.start(), service.start())
    directory = tmp_path / "data"
    directory.mkdir()
    yield RunningStack(
        kafka_bootstrap="127.0.0.1:19092",
        mongo_url="mongodb://127.0.0.1:19017/?replicaSet=rs0",
        redis_url="redis://127.0.0.1:19379/0",
        directory=directory,
        engines=[RunningProcess.of(engine)],
        services=[RunningProcess.of(service, url="http://127.0.0.1:8001")],
    )
    engine.kill()
    service.kill()


async def test_is_found_by_the_next_command(running: RunningStack) -> None:
    assert RunningStack.load() is None
    running.save()
    assert RunningStack.load() == running
    assert running.alive


async def test_stops_services_before_engines_and_leaves_nothing(running: RunningStack, tmp_path: Path) -> None:
    running.save()
    found = RunningStack.load()
    assert found is not None
    await found.stop()
    assert (tmp_path / "notes").read_text().split() == ["service", "engine"]
    assert not found.alive
    assert not found.directory.exists()
    assert RunningStack.load() is None


async def test_leaves_a_stranger_alone_that_got_a_pid(running: RunningStack) -> None:
    real = running.services[0]
    stale = real.model_copy(update={"id": replace(real.id, started_s=real.id.started_s - 100)})
    after_a_restart = running.model_copy(update={"engines": [], "services": [stale]})
    assert not after_a_restart.alive
    await after_a_restart.stop()
    assert real.alive


async def test_a_damaged_file_is_named(cache: Path) -> None:
    write_whole(cache / "running.json", b"{}")
    with pytest.raises(StackError, match=r"running\.json"):
        RunningStack.load()
