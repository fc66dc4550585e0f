"""What a run of chaos found is not lost because it cannot be written."""

import json
from pathlib import Path

import pytest
from oms.chaos.report import Report
from oms.chaos.storm import Storm
from oms.cli import app
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("log_levels_stay")


@pytest.fixture(autouse=True)
def storms(monkeypatch: pytest.MonkeyPatch) -> list[Storm]:
    """The runs that began; each is over at once."""
    begun: list[Storm] = []

    async def run(storm: Storm) -> Report:
        begun.append(storm)
        return storm.report

    monkeypatch.setattr(Storm, "run", run)
    return begun


def test_nothing_is_broken_where_the_report_could_not_be_written(tmp_path: Path, storms: list[Storm]) -> None:
    done = CliRunner().invoke(app, ["chaos", "--report", str(tmp_path / "nowhere" / "report.md")])

    assert done.exit_code == 2
    assert "No such file or directory" in done.stderr
    assert storms == []


def test_what_was_found_is_shown_though_it_cannot_be_written() -> None:
    done = CliRunner().invoke(app, ["chaos", "--report", "/dev/full", "--json"])

    assert done.exit_code == 2
    assert json.loads(done.stdout)["findings"] == []
    assert "No space left on device" in done.stderr


def test_the_report_is_written_when_the_run_is_over(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["chaos", "--report", str(tmp_path / "report.md")])

    assert done.exit_code == 0
    assert (tmp_path / "report.md").read_text().startswith("# Chaos report\n")
