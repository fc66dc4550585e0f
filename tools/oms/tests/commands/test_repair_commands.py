"""What the commands that put something right ask of whoever runs them."""

import json

import httpx
import pytest
from contracts.topics import SERVICES
from oms.cli import app
from oms.commands import repairs
from oms.stack.state import RunningStack
from typer.testing import CliRunner

EVERYWHERE = {f"{service.upper()}_URL": f"http://{service}" for service in SERVICES}
PARKED = {"inventory": (0, 2), "payment": (1,)}
"""The partitions of the services in which an order is parked."""
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


@pytest.mark.parametrize("unknown", [KeyError("getpwuid(): uid not found: 4242"), OSError("No username set")])
def test_whoever_has_no_login_name_is_asked_for_one(
    oms: CliRunner, monkeypatch: pytest.MonkeyPatch, unknown: Exception
) -> None:
    def nobody() -> str:
        raise unknown

    monkeypatch.setattr(repairs.getpass, "getuser", nobody)

    done = oms.invoke(app, ["saga", "retry", "web:1", "--reason", "fixed"])

    assert done.exit_code == 2
    assert "Invalid value for --by" in done.output


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
        (["dead-letter", "list", "--topic", "order.intak"], "--topic"),
        (["dead-letter", "drop", "--all", "--topic", "order.intake.dead-letter", "--reason", "fixed"], "--topic"),
        (["link", "accept", "nobody/0/payment.events/1:2", "--reason", "fixed"], "GAP"),
        (["saga", "show", "stuck"], "ID"),
        (["saga", "skip", "web:1/../web:2", "capture", "--reason", "fixed"], "ID"),
        (["order", "../stuck"], "ID"),
        (["order", ""], "ID"),
        (["order", "\udcff"], "ID"),
        (["replay", "\udcff"], "ID"),
        (["replay", "web"], "ID"),
    ],
)
def test_says_what_is_to_be_named(oms: CliRunner, command: list[str], named: str) -> None:
    done = oms.invoke(app, command)

    assert done.exit_code == 2
    assert f"Invalid value for {named}" in done.output


def test_names_the_topics_to_who_mistypes_one(oms: CliRunner) -> None:
    done = oms.invoke(app, ["dead-letter", "list", "--topic", "order.intak"])

    assert "order.intake" in done.output
    assert "order.events" not in done.output  # no service reads it, so that nothing of it is ever a dead letter


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (["--topic", "order.intake"], ["order"]),
        (["--topic", "order.intake", "--service", "payment"], ["payment"]),
        ([], list(SERVICES)),
    ],
)
def test_asks_who_reads_a_topic_for_its_dead_letters(
    oms: CliRunner, monkeypatch: pytest.MonkeyPatch, command: list[str], asked: list[str]
) -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(200, json={"dead_letters": [], "next": None})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(repairs.httpx, "Client", lambda **_: client)

    done = oms.invoke(app, ["dead-letter", "list", *command], env=EVERYWHERE)

    assert (done.exit_code, hosts) == (0, asked)


def test_releases_an_order_in_every_service_and_partition_in_which_it_is_parked(
    oms: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        service, path = request.url.host, request.url.path
        if request.method == "POST":
            posted.append(f"{service}{path}")
            return httpx.Response(202, json={"status_url": "/repairs/r"})
        if path == "/repairs/r":
            return httpx.Response(200, json={"outcome": "done", "detail": "it goes on"})
        assert (path, request.url.params["place"]) == ("/parked", "web:1")
        shown = [{"place": "web:1", "partition": partition} for partition in PARKED.get(service, ())]
        return httpx.Response(200, json={"parked": shown, "next": None})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(repairs.httpx, "Client", lambda **_: client)

    done = oms.invoke(app, ["parked", "release", "web:1", "--reason", "fixed", "--json"], env=EVERYWHERE)

    assert done.exit_code == 0
    assert posted == [
        "inventory/parked/0/web:1/release",
        "inventory/parked/2/web:1/release",
        "payment/parked/1/web:1/release",
    ]
    assert [(one["service"], one["about"]) for one in json.loads(done.stdout)["repairs"]] == [
        ("inventory", "web:1 in partition 0"),
        ("inventory", "web:1 in partition 2"),
        ("payment", "web:1 in partition 1"),
    ]


def test_gaps_are_asked_for_as_the_services_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"gaps": []})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(repairs.httpx, "Client", lambda **_: client)
    done = CliRunner(env=EVERYWHERE).invoke(app, ["link", "gaps"])

    assert (done.exit_code, done.output.strip()) == (0, "no partition stands still")
    assert asked == [f"http://{service}/gaps" for service in SERVICES]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["parked", "list"], '"place": "web:1"'),
        (["dead-letter", "list"], '"id": "order.intake/0/1"'),
        (["link", "gaps"], '"gaps": []'),
        (["parked", "release", "web:1", "--reason", "fixed"], '"outcome": "refused"'),
    ],
)
def test_shows_what_the_others_have_when_a_service_does_not_answer_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, command: list[str], shown: str
) -> None:
    there = {"place": "web:1", "partition": 0, "id": "order.intake/0/1"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "payment":
            raise httpx.ConnectError("refused")
        if request.method == "POST":
            return httpx.Response(202, json={"status_url": "/repairs/r"})
        found = {"parked": [there], "dead_letters": [there], "gaps": [], "outcome": "refused", "detail": "again"}
        return httpx.Response(200, json=found)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(repairs.httpx, "Client", lambda **_: client)

    done = CliRunner(env=EVERYWHERE).invoke(app, [*command, "--json"])

    assert shown in done.stdout
    assert "error: the payment service does not answer at http://payment" in done.stderr
    assert done.exit_code == 2
