"""What people see of payments."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from chassis.backoff import Backoff
from chassis.decision import Call, Unknown
from chassis.http.shell import create_app
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.payment import AuthorizePayment, CapturePayment, VoidPayment
from payment.api import router
from payment.decide import decider, needs
from payment.state import Accepted, Declined


@pytest.fixture
def stage() -> Rehearsal:
    return Rehearsal(needs, decider(Backoff(timedelta(seconds=1), timedelta(seconds=60))))


@pytest.fixture
async def http(stage: Rehearsal) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None: ...

    shelf = Shelf(stage)
    app = create_app("payment", "", [router(shelf, shelf)], lambda: (True, {}), measure, Meters())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://payment") as client:
        yield client


def authorize(number: int, revision: int = 1) -> AuthorizePayment:
    fields = {"order_id": f"web:{number}", "revision": revision, "attempt": 1}
    return AuthorizePayment.model_validate({**fields, "amount": 500, "currency": "EUR", "payment_token": "tok_ok"})


def accept(call: Call) -> Accepted:
    return Accepted(reference=f"ref-{call.id}")


def lose(_: Call) -> Unknown:
    return Unknown("no answer within 10 s")


async def test_shows_where_the_money_of_an_order_is(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(authorize(1))
    stage.answer(accept)
    stage.take(authorize(1, revision=2), authorize(2))
    shown: dict[str, Any] = (await http.get("/payments/web:1")).json()
    assert shown["order_id"] == "web:1"
    assert [(payment["revision"], payment["state"], payment["held"]) for payment in shown["payments"]] == [
        (1, "authorized", 500),
        (2, "authorizing", 0),
    ]
    assert "tok_ok" not in str(shown)


async def test_names_a_capture_as_the_provider_does(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(authorize(1))
    stage.answer(accept)
    stage.take(CapturePayment(order_id="web:1", revision=1, attempt=1, amount=500))
    (payment,) = (await http.get("/payments/web:1")).json()["payments"]
    assert (payment["captured"], payment["capture_id"]) == (0, "")
    stage.answer(accept)
    (payment,) = (await http.get("/payments/web:1")).json()["payments"]
    assert (payment["captured"], payment["capture_id"]) == (500, "ref-web:1/1/1/capture")


async def test_says_why_a_payment_was_declined(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(authorize(1))
    stage.answer(lambda _: Declined(code="insufficient_funds", message="not enough money"))
    (payment,) = (await http.get("/payments/web:1")).json()["payments"]
    assert payment["declined"] == {"code": "insufficient_funds", "message": "not enough money"}


async def test_says_since_when_and_why_a_payment_is_failing(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(authorize(1))
    stage.answer(lose)
    stage.take(authorize(2), VoidPayment(order_id="web:1", revision=1, attempt=1))
    (payment,) = (await http.get("/payments", params={"failing": True})).json()["payments"]
    assert payment["order_id"] == "web:1"
    assert payment["to_be_undone"] is True
    assert payment["failing"] == {
        "call": "web:1/1/1/authorize",
        "since": "2026-01-05T12:00:00Z",
        "times": 1,
        "why": "no answer within 10 s",
        "again_at": "2026-01-05T12:00:01Z",
    }


async def test_pages_through_the_payments_of_a_state(stage: Rehearsal, http: httpx.AsyncClient) -> None:
    stage.take(*(authorize(number) for number in range(10, 15)))
    stage.answer(accept)
    stage.take(authorize(15))
    seen: list[str] = []
    params = {"state": "authorized", "limit": "2"}
    while True:
        page = (await http.get("/payments", params=params)).json()
        assert len(page["payments"]) <= 2
        seen.extend(payment["order_id"] for payment in page["payments"])
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == [f"web:{number}" for number in range(10, 15)]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/payments/web:404", 404, None),
        ("/payments/no-such-id", 422, "order_id"),
        ("/payments?state=rich", 422, "state"),
        ("/payments?limit=0", 422, "limit"),
        ("/payments?limit=many", 422, "limit"),
    ],
)
async def test_names_what_is_wrong_with_a_request(
    http: httpx.AsyncClient, path: str, status: int, field: str | None
) -> None:
    response = await http.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["path"] for error in response.json().get("errors", [])] == ([field] if field else [])
