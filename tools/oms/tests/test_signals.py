"""Who ends a command in whatever way leaves nothing of it running."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from oms import cli, connection

ENDING = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def a_command_that_is_over_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cli, "app", lambda: None)
    monkeypatch.setattr(connection, "reach_this_machine_directly", lambda: None)
    before: list[Any] = [signal.getsignal(number) for number in ENDING]
    yield
    for number, handler in zip(ENDING, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_who_is_asked_to_end_or_whose_terminal_goes_away_puts_away_as_who_is_interrupted(
    number: signal.Signals,
) -> None:
    signal.signal(number, signal.SIG_DFL)

    cli.main()

    assert signal.getsignal(number) is signal.default_int_handler


def test_goes_on_without_a_terminal_when_told_so() -> None:
    """By `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    cli.main()

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
