"""How orders are cancelled by their ids, and by what a file lists."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from oms.cli import app
from oms.commands import cancel, repairs
from oms.placing.sending import Letter, Sender
from oms.stack.state import RunningStack
from typer.testing import CliRunner, Result

WHY = ("--reason", "wrong size", "--by", "Ann")
Looks = Sequence[dict[str, Any]]
Cancel = Callable[..., Result]


def looks(status: str, refused: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"order_id": "web:1", "status": status, "refused": refused}


def refusal(by: str = "Ann", at: str = "2026-01-05T12:00:00Z", request: str = "CancelOrder") -> dict[str, Any]:
    return {"at": at, "request": request, "by": by, "reason": {"message": "the carrier has the parcels already"}}


class OrderService:
    """Shows an order as it is then, look by look, and at last always the same."""

    def __init__(self, shown: Looks, answer: httpx.Response) -> None:
        self._shown = list(shown)
        self._answer = answer
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.asked.append((request.url.path, json.loads(request.content)))
            return self._answer
        if not self._shown:
            return httpx.Response(404, json={"title": "Unknown order"})
        return httpx.Response(200, json=self._shown.pop(0) if len(self._shown) > 1 else self._shown[0])


TAKEN = httpx.Response(202, json={"status_url": "/orders/web:1"})


@pytest.fixture
def oms(monkeypatch: pytest.MonkeyPatch) -> Callable[[OrderService, Sequence[str]], Result]:
    monkeypatch.setattr(RunningStack, "load", lambda: None)
    monkeypatch.setattr(cancel, "sleep", lambda _: None)

    def run(service: OrderService, command: Sequence[str]) -> Result:
        client = httpx.Client(transport=httpx.MockTransport(service))
        monkeypatch.setattr(repairs.httpx, "Client", lambda **_: client)
        return CliRunner(env={"ORDER_URL": "http://order"}).invoke(app, ["cancel", *command])

    return run


@pytest.mark.parametrize(
    ("shown", "status", "said"),
    [
        (
            [looks("fulfilling"), looks("fulfilling"), looks("undoing"), looks("cancelled")],
            0,
            "done web:1: it is",
        ),
        ([looks("undoing"), looks("rejected")], 0, "done web:1: it is rejected, and nothing of it is left"),
        ([looks("shipping"), looks("completing", refusal())], 1, "refused web:1: the carrier has the parcels already"),
        (
            [looks("shipping"), looks("completing", refusal(request="CompensateOrder"))],
            1,
            "refused web:1: the carrier has the parcels already",
        ),
        (
            [looks("shipping"), looks("undoing"), looks("completing", refusal(by="Ben"))],
            1,
            "refused web:1: the carrier has the parcels already",
        ),
        ([looks("cancelled")], 0, "done web:1: it is cancelled"),
    ],
    ids=[
        "undone",
        "undone anyway",
        "too late",
        "too late for two requests",
        "too late for two people",
        "the same again",
    ],
)
def test_tells_what_came_of_a_cancellation(oms: Cancel, shown: Looks, status: int, said: str) -> None:
    service = OrderService(shown, TAKEN)

    done = oms(service, ["web:1", *WHY])

    assert (done.exit_code, service.asked) == (
        status,
        [("/orders/web:1/cancel", {"reason": "wrong size", "requested_by": "Ann"})],
    )
    assert said in done.stdout


@pytest.mark.parametrize(
    "still",
    [
        looks("undoing"),
        looks("undoing", refusal(by="Ben", at="2026-01-05T13:00:00Z")),
        looks("undoing", refusal(request="OrderPlaced", at="2026-01-05T13:00:00Z")),
        looks("undoing", refusal()),
    ],
    ids=["nothing yet", "somebody else's", "a placing", "an earlier one"],
)
def test_what_is_refused_of_others_or_was_before_decides_nothing(oms: Cancel, still: dict[str, Any]) -> None:
    before = looks("shipping", refusal())

    done = oms(OrderService([before, still], TAKEN), ["web:1", *WHY, "--wait", "0"])

    assert done.exit_code == 1
    assert "not answered web:1: it is undoing so far: see `oms order web:1`" in done.stdout


def test_an_order_that_was_rejected_before_is_waited_for_to_be_refused(oms: Cancel) -> None:
    shown = [looks("rejected"), looks("rejected"), looks("rejected", refusal())]

    assert oms(OrderService(shown, TAKEN), ["web:1", *WHY]).exit_code == 1


def test_what_is_certainly_too_late_is_refused_at_once(oms: Cancel) -> None:
    too_late = httpx.Response(409, json={"title": "The order cannot be cancelled"})

    done = oms(OrderService([looks("completed")], too_late), ["web:1", *WHY, "--json"])

    assert done.exit_code == 1
    assert json.loads(done.stdout)["cancellations"] == [
        {
            "order_id": "web:1",
            "outcome": "refused",
            "detail": "The order cannot be cancelled",
            "by": "Ann",
            "reason": "wrong size",
        }
    ]


def test_nobody_is_asked_about_an_order_that_is_not_known(oms: Cancel) -> None:
    service = OrderService([], TAKEN)

    done = oms(service, ["web:1", *WHY])

    assert (done.exit_code, service.asked) == (2, [])
    assert "not asked web:1: Unknown order" in done.stdout


def test_a_service_that_is_silent_is_asked_once(oms: Cancel) -> None:
    asked: list[str] = []

    def silent(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ConnectError("nobody is there")

    done = oms(silent, ["web:1", "web:2", *WHY])

    assert (done.exit_code, asked) == (2, ["/orders/web:1"])
    assert done.stdout.count("not asked") == 2


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ([], "ID"),
        (["web:1", "--file", "-"], "ID"),
        (["samples/cancellations.ndjson"], "ID"),
        (["web:1", "web:2/../web:3", *WHY], "ID"),
        (["web:1"], "--reason"),
        (["--file", "-", *WHY], "--file"),
        (["web:1", *WHY, "--rate", "5"], "--rate"),
        (["web:1", *WHY, "--brokers", "kafka:9092"], "--brokers"),
        (["--file", "-", "--url", "order=http://order"], "--url"),
    ],
)
def test_says_what_is_to_be_named(oms: Cancel, command: Sequence[str], named: str) -> None:
    service = OrderService([looks("fulfilling")], TAKEN)

    done = oms(service, command)

    assert (done.exit_code, service.asked) == (2, [])
    assert f"Invalid value for {named}" in done.output


def test_a_line_that_names_no_order_is_reported_and_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Letter] = []

    class Post(Sender):
        """Keeps what it is given."""

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            """Nothing is open."""

        async def send(self, message: Letter) -> None:
            sent.append(message)

        async def flush(self) -> None:
            """Nothing is on its way."""

    monkeypatch.setattr(cancel, "Sender", Post)
    file = tmp_path / "cancellations.ndjson"
    file.write_text(
        '{"reason": "wrong size", "requested_by": "Ann"}\n'
        '{"order_id": 7, "reason": "wrong size", "requested_by": "Ann"}\n'
        '{"channel": "web", "number": "1", "reason": "wrong size", "requested_by": "Ann"}\n'
        '{"order_id": "web:1", "reason": "wrong size", "requested_by": "Ann"}\n'
    )

    done = CliRunner().invoke(app, ["cancel", "--file", str(file), "--brokers", "kafka:1", "--json"])

    assert done.exit_code == 1
    assert [line["line"] for line in json.loads(done.stdout)["not_sent"]] == [1, 2, 3]
    assert [letter.key for letter in sent] == [b"web:1"]
