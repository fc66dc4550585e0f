import subprocess
import sys

from oms.cli import PANELS, app
from typer.testing import CliRunner


def test_the_help_names_every_command() -> None:
    done = CliRunner().invoke(app, ["--help"])

    words = done.stdout.split()
    assert {name for panel in PANELS.values() for name in panel} <= {*words}


def test_suggests_what_may_have_been_meant() -> None:
    done = CliRunner().invoke(app, ["audti"])

    assert done.exit_code == 2
    assert "Did you mean 'audit'" in done.stderr


def test_a_command_does_not_wait_for_what_only_the_others_stand_on() -> None:
    program = (
        "import sys; from oms.cli import app; app(['place', '--help'], standalone_mode=False); print(*sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - the text above

    imported = done.stdout.split()
    assert "oms.commands.place" in imported
    assert {"oms.commands.bench", "oms.chaos.storm", "chassis.engine.partition"}.isdisjoint(imported)
