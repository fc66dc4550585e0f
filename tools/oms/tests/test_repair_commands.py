"""What the commands that put something right ask of whoever runs them."""

import pytest
from oms.cli import app
from oms.stack.state import RunningStack
from typer.testing import CliRunner

NOWHERE = {f"{service}_URL": "http://127.0.0.1:1" for service in ("ORDER", "INVENTORY", "PAYMENT")}
ASKS_FOR_SOMETHING = [
    ["saga", "retry", "web:1"],
    ["saga", "skip", "web:1", "capture"],
    ["saga", "compensate", "web:1"],
]


@pytest.fixture
def oms(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr(RunningStack, "load", lambda: None)
    return CliRunner(env=NOWHERE)


@pytest.mark.parametrize("command", ASKS_FOR_SOMETHING, ids=" ".join)
def test_nothing_is_asked_without_saying_why(oms: CliRunner, command: list[str]) -> None:
    done = oms.invoke(app, command)

    assert done.exit_code == 2
    assert "--reason" in done.output


@pytest.mark.parametrize("command", ASKS_FOR_SOMETHING, ids=" ".join)
def test_says_that_it_could_not_ask(oms: CliRunner, command: list[str]) -> None:
    done = oms.invoke(app, [*command, "--reason", "fixed"])

    assert done.exit_code == 2
    assert "the order service does not answer at http://127.0.0.1:1" in done.output


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["parked", "release", "--reason", "fixed"], "PLACE"),
        (["dead-letter", "drop", "--reason", "fixed"], "PLACE"),
        (["dead-letter", "drop", "order.intake/0/1", "--all", "--reason", "fixed"], "PLACE"),
        (["dead-letter", "show", "order.intake/0"], "PLACE"),
        (["dead-letter", "show", "nonsense/0/1"], "PLACE"),
        (["link", "accept", "nobody/0/payment.events/1:2", "--reason", "fixed"], "GAP"),
    ],
)
def test_says_what_is_to_be_named(oms: CliRunner, command: list[str], named: str) -> None:
    done = oms.invoke(app, command)

    assert done.exit_code == 2
    assert f"Invalid value for {named}" in done.output
