"""Commands that go by the services' settings say which of them is wrong, before they read or start anything."""

import pytest
from oms.cli import app
from typer.testing import CliRunner

NOWHERE = ["--brokers", "127.0.0.1:1"]


@pytest.mark.usefixtures("log_levels_stay")
@pytest.mark.parametrize(
    "command",
    [["audit", "--log-only", *NOWHERE], ["replay", "web:1", *NOWHERE], ["chaos", "--minutes", "0.1"]],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(("variable", "value"), [("LOG_LEVEL", "loud"), ("DEFAULT_ROUTE", "LON")])
def test_the_variable_that_is_wrong_is_named_at_once(command: list[str], variable: str, value: str) -> None:
    done = CliRunner(env={variable: value}).invoke(app, command)

    assert done.exit_code == 2
    assert f"{variable}: " in done.stderr
    assert "Traceback" not in done.output
