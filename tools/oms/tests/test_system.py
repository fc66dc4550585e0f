"""What `oms up` does where not all goes well."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.errors import InvalidReplicationFactorError
from oms import system
from oms.cli import app
from oms.setup import OtherPartitions
from oms.stack.errors import StackError
from oms.stack.local import Ports
from oms.stack.process import Child, ProcessId
from oms.stack.state import RunningProcess, RunningStack
from oms.system import Plan, start_detached
from typer.testing import CliRunner

ELSEWHERE = ["--brokers", "kafka:1", "--mongo", "mongodb://mongo:1", "--redis", "redis://redis:1"]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("THROUGHLINE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "refusal", [OtherPartitions("there are 2 partitions, not 4"), InvalidReplicationFactorError("one broker only")]
)
def test_says_why_topics_cannot_be_made_elsewhere(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    async def create_topics(_brokers: str, _partitions: int | None) -> None:
        raise refusal

    monkeypatch.setattr(system, "create_topics", create_topics)

    done = CliRunner().invoke(app, ["up", *ELSEWHERE])

    assert done.exit_code == 2
    assert str(refusal) in done.stderr
    assert RunningStack.load() is None


@pytest.mark.parametrize(("told", "partitions"), [([], None), (["--partitions", "7"], 7)])
def test_takes_the_topics_that_are_there_as_they_are_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, told: list[str], partitions: int | None
) -> None:
    asked: list[int | None] = []

    async def create_topics(_brokers: str, partitions: int | None) -> None:
        asked.append(partitions)
        raise StackError("that far it is to go")

    monkeypatch.setattr(system, "create_topics", create_topics)

    CliRunner().invoke(app, ["up", *ELSEWHERE, *told])

    assert asked == [partitions]


class Alone(Child):
    """A process that runs on by itself, as an engine or the instance of a service."""

    url = "http://127.0.0.1:1"

    def __init__(self, name: str, log: Path) -> None:
        async def ready() -> bool:
            return True

        super().__init__(name, ["sleep", "60"], log=log, ready=ready, detached=True)


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_what_could_not_be_noted_does_not_run_on(
    monkeypatch: pytest.MonkeyPatch, cache: Path, fails_at: int
) -> None:
    engine, service = Alone("Kafka", cache / "kafka.log"), Alone("order", cache / "order.log")
    stack = SimpleNamespace(
        start=engine.start, directory=cache / "data", children=[engine], kafka_bootstrap="", mongo_url="", redis_url=""
    )
    saved: list[RunningStack] = []

    async def fleet(*_: object, **__: object) -> SimpleNamespace:
        await service.start()
        return SimpleNamespace(instances=[service])

    def save(noted: RunningStack) -> None:
        saved.append(noted)
        if len(saved) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(system, "LocalStack", lambda *_, **__: stack)
    monkeypatch.setattr(system, "_fleet", fleet)
    monkeypatch.setattr(RunningStack, "save", save)

    with pytest.raises(OSError, match="No space left"):
        await start_detached(Plan(Ports.free(), http_port=0), lambda _: None)

    assert (engine.alive, service.alive) == (False, False)
    assert len(saved) == fails_at


def test_nothing_runs_after_the_machine_was_restarted(cache: Path) -> None:
    from_before = RunningProcess(name="order", id=ProcessId(1, -1.0), log=cache / "order.log", url="http://127.0.0.1:1")
    noted = RunningStack(kafka_bootstrap="", mongo_url="", redis_url="", directory=cache, services=[from_before])
    noted.save()

    done = CliRunner().invoke(app, ["status"])

    assert done.exit_code == 2
    assert "nothing runs here" in done.stderr
