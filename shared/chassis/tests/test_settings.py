"""A service that is set wrongly says which variable is wrong, and why, and ends."""

import pytest
from chassis.settings import ViewSettings


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("HTTP_PORT", "abc", "valid integer"),
        ("KAFKA_BROKERS", "kafka", "say [ssl://|sasl_ssl://user:password@]host:port"),
        ("MONGO_URL", "http://mongo:27017", "should match pattern"),
        ("KAFKA_BROKERS", "kafka:70000", "Port out of range"),
        ("MONGO_URL", "mongodb://mongo:x", "Port contains non-digit characters"),
        ("MONGO_URL", "mongodb://ada:p@ss@mongo", "must be escaped"),
        ("MONGO_URL", "mongodb://mongo/?readPreferenceTags=dc:ny", "cannot be combined with tags"),
        ("MONGO_URL", "mongodb://mongo/?maxStalenessSeconds=120", "cannot be combined with maxStalenessSeconds"),
        ("MONGO_URL", "mongodb://mongo/?tlsCAFile=/nowhere.pem", "No such file"),
        ("REDIS_URL", "garbage", "should match pattern"),
        ("REDIS_URL", "redis://redis:abc/0", "is not a valid number"),
        ("REDIS_URL", "redis://redis:70000/0", "is not a valid number"),
        ("REDIS_URL", "redis://redis/first", "is not a valid number"),
        ("MONGO_DATABASE", "shop.order", "should match pattern"),
        ("MONGO_DATABASE", "o" * 64, "at most 63 characters"),
    ],
)
def test_the_variable_that_is_wrong_is_named(
    variable: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        ViewSettings.from_environment()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith(f"{variable}: ")
    assert why in said


@pytest.mark.parametrize("password", ["pa/ss", "pa#ss", "12/ss", "1/2/ss", "[ss"])
def test_a_password_of_redis_that_is_not_escaped_is_not_repeated(
    password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{password}@redis:6379/0")
    with pytest.raises(SystemExit):
        ViewSettings.from_environment()
    assert capsys.readouterr().err == (
        "REDIS_URL: Value error, the port or the database is not a valid number; "
        "characters such as / and # must be escaped in a password\n"
    )


@pytest.mark.parametrize("password", ["a1/ss", "pa/ss", "1?ss=1", "1/?ss=1"])
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_a_password_of_mongodb_that_is_not_escaped_is_not_repeated(
    scheme: str, password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGO_URL", f"{scheme}://ada:{password}@mongo-0:27017/?replicaSet=rs0")
    with pytest.raises(SystemExit):
        ViewSettings.from_environment()
    assert capsys.readouterr().err == (
        "MONGO_URL: Value error, an @ comes after a / or ?; such characters must be escaped in a password, and an @ "
        "in an option as %40\n"
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6379/",
        "rediss://:pa%2Fss@[::1]:6379/15?timeout=5",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_redis_is_taken_where_it_can_be(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert ViewSettings.from_environment().redis_url == url


def test_all_that_is_wrong_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PORT", "-1")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(SystemExit):
        ViewSettings.from_environment()
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["HTTP_PORT", "LOG_LEVEL"]


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_how_much_is_logged_is_said_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    assert ViewSettings.from_environment().log_level == "info"
