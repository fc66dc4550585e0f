"""How the services are asked over HTTP, whichever of their instances answers."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from contracts.topics import SERVICES
from oms.connection import Unreachable
from oms.desk import Declined, Desk, Request

URLS = ("order=http://first", "order=http://second/")
Answer = Callable[[httpx.Request], httpx.Response]


def desk(answer: Answer, only: str | None = "order") -> Desk:
    return Desk(httpx.Client(transport=httpx.MockTransport(answer)), URLS, only)


def problem(status: int, title: str, **fields: object) -> httpx.Response:
    return httpx.Response(status, json={"title": title, "status": status, **fields})


def test_asks_the_next_instance_when_one_does_not_answer() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.host == "first":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"stuck": []})

    assert desk(answer).get("order", "/stuck") == {"stuck": []}
    assert asked == ["http://first/stuck", "http://second/stuck"]


def test_waits_longer_for_an_answer_than_the_service_waits_for_what_is_asked_for() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"order_id": "web:1"})

    assert desk(answer).wait_for("order", "/orders/web:1", 30) == {"order_id": "web:1"}
    (request,) = asked
    assert str(request.url) == "http://first/orders/web:1?wait_s=30"
    assert request.extensions["timeout"]["read"] > 30


def test_says_which_service_does_not_answer_when_none_of_its_instances_does() -> None:
    with pytest.raises(Unreachable, match=r"order service does not answer at http://first or http://second .*MongoDB"):
        desk(lambda _: problem(503, "Unavailable", detail="MongoDB is away")).get("order", "/stuck")


def test_says_why_a_service_does_not_take_a_request() -> None:
    refusal = problem(409, "This is not what is missing", errors=[{"path": "last", "message": "it is 5"}])

    with pytest.raises(Declined, match="This is not what is missing: last: it is 5"):
        desk(lambda _: refusal).get("order", "/gaps")


def test_lists_page_after_page_to_the_end() -> None:
    pages: dict[str | None, dict[str, Any]] = {
        None: {"parked": [{"place": "web:1"}], "next": "web:1"},
        "web:1": {"parked": [{"place": "web:2"}], "next": None},
    }

    listed = desk(lambda request: httpx.Response(200, json=pages[request.url.params.get("cursor")])).listed(
        "/parked", "parked"
    )

    assert listed == [{"service": "order", "place": "web:1"}, {"service": "order", "place": "web:2"}]


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service is at its name."""
    for service in SERVICES:
        monkeypatch.setenv(f"{service.upper()}_URL", f"http://{service}")


@pytest.mark.usefixtures("everywhere")
def test_a_service_that_does_not_answer_hides_nothing_of_the_others() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "order":
            raise httpx.ConnectError("refused")
        shown = [{"place": "web:1"}] if request.url.host == "payment" else []
        return httpx.Response(200, json={"parked": shown, "next": None})

    asking = Desk(httpx.Client(transport=httpx.MockTransport(answer)))

    assert asking.listed("/parked", "parked") == [{"service": "payment", "place": "web:1"}]
    assert [str(one).partition(" does not")[0] for one in asking.silent] == ["the order service"]


@pytest.mark.usefixtures("everywhere")
def test_nothing_is_said_to_be_there_nowhere_while_a_service_does_not_answer() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return problem(503, "Unavailable") if request.url.host == "payment" else problem(404, "No")

    asking = Desk(httpx.Client(transport=httpx.MockTransport(answer)))

    with pytest.raises(Unreachable, match="payment service does not answer"):
        asking.find("/dead-letters/payment.events/0/1", ("order", "payment"))


@pytest.mark.usefixtures("everywhere")
def test_finds_a_thing_in_the_services_that_know_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"place": "web:1"}) if request.url.host == "payment" else problem(404, "No")

    asked = Desk(httpx.Client(transport=httpx.MockTransport(answer)))

    assert asked.find("/parked/0/web:1", ("order", "payment")) == [{"service": "payment", "place": "web:1"}]


def test_a_request_says_who_and_why_and_has_one_name_however_often_it_is_sent() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.method == "GET":
            return httpx.Response(200, json={"outcome": "done", "detail": "it goes on"})
        if request.url.host == "first":
            raise httpx.ReadTimeout("perhaps it came through")
        return httpx.Response(202, json={"status_url": "/repairs/r-1"})

    request = Request("order", "/parked/0/web:1/release", "web:1", {"step": "ship"}, "r-1")
    (outcome,) = desk(answer).carry_out([request], "kim", "fixed", wait_s=1)

    assert (outcome.outcome, outcome.detail) == ("done", "it goes on")
    bodies = {one.read() for one in sent if one.method == "POST"}
    assert bodies == {b'{"step":"ship","repair_id":"r-1","by":"kim","reason":"fixed"}'}
    assert [one.url.path for one in sent] == ["/parked/0/web:1/release"] * 2 + ["/repairs/r-1"]


def test_what_one_service_does_not_take_keeps_nothing_else_from_being_asked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/parked/0/web:1/release":
            return problem(404, "Nothing is stuck there")
        return httpx.Response(202, json={"status_url": "/repairs/r", "outcome": "refused", "detail": "it failed again"})

    requests = [Request("order", f"/parked/0/{place}/release", place) for place in ("web:1", "web:2")]
    outcomes = desk(answer).carry_out(requests, "kim", "fixed", wait_s=1)

    assert [(one.about, one.outcome, one.detail) for one in outcomes] == [
        ("web:1", "not asked", "Nothing is stuck there"),
        ("web:2", "refused", "it failed again"),
    ]


@pytest.mark.usefixtures("everywhere")
def test_a_service_that_does_not_answer_is_asked_once_and_keeps_nobody_else_from_being_asked() -> None:
    posted: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            posted.append(request.url.host)
        if request.url.host == "inventory":
            raise httpx.ConnectError("refused")
        return httpx.Response(202, json={"status_url": "/repairs/r", "outcome": "done", "detail": "it goes on"})

    asking = Desk(httpx.Client(transport=httpx.MockTransport(answer)))
    services = ("order", "inventory", "inventory", "payment")
    outcomes = asking.carry_out([Request(one, "/parked/0/web:1/release", "web:1") for one in services], "kim", "", 1)

    assert posted == ["order", "inventory", "payment"]
    assert [one.outcome for one in outcomes] == ["done", "not asked", "not asked", "done"]
    assert {one.detail.partition(" (")[0] for one in outcomes if one.service == "inventory"} == {
        "the inventory service does not answer at http://inventory"
    }


def test_says_so_when_nothing_comes_of_a_request_in_time() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(202, json={"status_url": "/repairs/r"}) if request.method == "POST" else problem(404, "No")
        )

    (outcome,) = desk(answer).carry_out(
        [Request("order", "/parked/0/web:1/release", "web:1")], "kim", "fixed", wait_s=0
    )

    assert outcome.outcome == "not answered"
