"""What `oms up` does where not all goes well."""

from pathlib import Path

import pytest
from aiokafka.errors import InvalidReplicationFactorError
from oms import system
from oms.cli import app
from oms.setup import OtherPartitions
from oms.stack.errors import StackError
from oms.stack.state import RunningStack
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
