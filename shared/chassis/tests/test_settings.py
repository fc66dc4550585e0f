"""A service that is set wrongly says which variable is wrong, and why, and ends."""

import pytest
from chassis.settings import ChassisSettings


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("HTTP_PORT", "abc", "valid integer"),
        ("KAFKA_BROKERS", "kafka", "should match pattern"),
        ("MONGO_URL", "http://mongo:27017", "should match pattern"),
        ("KAFKA_BROKERS", "kafka:70000", "Port out of range"),
        ("MONGO_URL", "mongodb://mongo:x", "Port contains non-digit characters"),
        ("MONGO_URL", "mongodb://ada:p@ss@mongo", "must be escaped"),
        ("REDIS_URL", "garbage", "should match pattern"),
    ],
)
def test_the_variable_that_is_wrong_is_named(
    variable: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        ChassisSettings.from_environment()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith(f"{variable}: ")
    assert why in said


def test_all_that_is_wrong_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CALLS_AT_ONCE", "0")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(SystemExit):
        ChassisSettings.from_environment()
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["LOG_LEVEL", "CALLS_AT_ONCE"]


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_how_much_is_logged_is_said_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    assert ChassisSettings.from_environment().log_level == "info"
