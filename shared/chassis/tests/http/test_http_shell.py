"""The HTTP shell: what is refused before any route runs, and errors that all have one shape (RFC 9457)."""

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from chassis.http.body import AsJson
from chassis.http.openapi import STREAMED, streaming
from chassis.http.problem import Problem
from chassis.http.shell import create_app
from chassis.kinds import UnreadableDocument
from chassis.ports import Unavailable
from chassis.telemetry import Meters
from contracts.message import Quantity, Reason, Value
from contracts.strict_json import MOST_OPEN_BODY_BYTES, MOST_OPEN_VALUES
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Line(Value):
    sku: str
    quantity: Quantity


class Basket(Value):
    lines: tuple[Line, ...]


class Page(BaseModel):
    limit: int = 50


GOOD: dict[str, Any] = {"lines": [{"sku": "mug", "quantity": 2}]}
UNSOLD = Reason(path="lines[0].sku", code="unknown", message="nobody sells it")
ODD = {"loc": ("body", "x", 0), "type": "Odd-Type!", "msg": "odd", "input": "secret"}
FAILURES = {
    "problem": Problem(409, "Conflict", "it cannot be done now", (UNSOLD,)),
    "unavailable": Unavailable("MongoDB does not answer that at the moment; try again"),
    "unreadable": UnreadableDocument("baskets/a: lines: Field required"),
    "not-found": HTTPException(404, "no such basket", {"X-Hint": "look elsewhere"}),
    "odd": RequestValidationError([ODD]),
    "bug": RuntimeError("the secret of the shop"),
}


async def _for_ever() -> AsyncIterator[bytes]:
    while True:
        yield b"data: {}\n\n"
        await asyncio.sleep(0)


def routes() -> APIRouter:
    router = APIRouter()

    @router.post("/baskets")
    async def put(basket: Annotated[Basket, AsJson]) -> int:
        return len(basket.lines)

    @router.post("/stream", openapi_extra=streaming(Basket))
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @router.get("/baskets")
    async def list_baskets(page: Annotated[Page, Query()], sku: Annotated[list[str], Query(alias="item")]) -> int:
        return page.limit + len(sku)

    @router.get("/watch")
    async def watch() -> StreamingResponse:
        return StreamingResponse(_for_ever(), media_type="text/event-stream")

    @router.get("/fail/{how}")
    async def fail(how: str, count: int = 1) -> int:
        if how in FAILURES:
            raise FAILURES[how]
        return count

    return router


class Shell:
    """The application as a client sees it, and what its health is said to be."""

    def __init__(self) -> None:
        self.ready = True
        self.measured = 0
        self.meters = Meters()
        app = create_app("Test", "", [routes()], self.health, self.measure, self.meters)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.ready, {"partitions": {"0": {"state": "running" if self.ready else "gap"}}}

    async def measure(self) -> None:
        self.measured += 1

    async def post(self, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        headers = {"content-type": content_type} if content_type else {}
        return await self.client.post("/baskets", content=body, headers=headers)


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    async with made.client:
        yield made


def said(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that a response is."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    return body


async def test_a_good_body_reaches_its_route(shell: Shell) -> None:
    for content_type in ("application/json", "Application/JSON ; charset=utf-8", "application/json; x"):
        response = await shell.post(json.dumps(GOOD).encode(), content_type)
        assert (response.status_code, response.json()) == (200, 1)


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        (b'{"lines": [', "", "malformed_json"),
        (b"\xff\xfe", "", "malformed_json"),
        (b'{"lines": [{"sku": "mug", "quantity": NaN}]}', "", "malformed_json"),
        (b'{"lines": [{"sku": "mug", "quantity": -Infinity}]}', "", "malformed_json"),
        (b'{"lines": [{"sku": "a", "sku": "b", "quantity": 1}]}', "lines[0].sku", "duplicate_key"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "?", "duplicate_key"),
        (b"[" * 200_000, "", "malformed_json"),
    ],
)
async def test_json_that_two_readers_could_understand_differently_is_refused(
    shell: Shell, body: bytes, path: str, code: str
) -> None:
    refused = said(await shell.post(body), 400)
    assert [(error["path"], error["code"]) for error in refused["errors"]] == [(path, code)]


async def test_a_field_that_stands_twice_is_found_quickly_among_thousands(shell: Shell) -> None:
    names = ",".join(f'"k{number}":1' for number in range(MOST_OPEN_VALUES))
    begun = time.process_time()
    said(await shell.post(b"{" + names.encode() + b',"k1":1}'), 400)
    assert time.process_time() - begun < 2


async def test_a_body_of_very_many_values_is_refused_before_each_is_looked_at(shell: Shell) -> None:
    values = ",".join("1" for _ in range(MOST_OPEN_VALUES + 2))
    refused = said(await shell.post(f'{{"lines": [{values}]}}'.encode()), 413)
    assert [(error["path"], error["code"]) for error in refused["errors"]] == [("", "too_large")]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonx",
        STREAMED,
    ],
)
async def test_what_any_web_page_could_have_sent_is_refused(shell: Shell, content_type: str | None) -> None:
    """A browser sends these to whatever it reaches without asking first; a body without a type, too (a Blob's)."""
    refused = said(await shell.post(json.dumps(GOOD).encode(), content_type), 415)
    assert "Content-Type: application/json" in refused["detail"]


async def test_two_content_types_are_no_way_around(shell: Shell) -> None:
    for other in (STREAMED, "text/plain"):
        headers = [("content-type", "application/json"), ("content-type", other)]
        for ordered in (headers, headers[::-1]):
            said(await shell.client.post("/baskets", content=json.dumps(GOOD).encode(), headers=ordered), 415)


@pytest.mark.parametrize(("path", "type_"), [("/baskets", "application/json"), ("/stream", STREAMED)])
@pytest.mark.parametrize("codings", [["gzip"], ["identity, GZIP"], ["identity", "br"], ["x"]])
async def test_a_body_that_is_packed_is_refused_before_it_is_read(
    shell: Shell, path: str, type_: str, codings: list[str]
) -> None:
    headers = [("content-type", type_), *(("content-encoding", coding) for coding in codings)]
    answer = await shell.client.post(path, content=gzip.compress(b"{}"), headers=headers)
    assert "without Content-Encoding" in said(answer, 415)["detail"]
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", "identity, identity", ""])
async def test_a_body_that_is_said_to_be_as_it_is_is_read(shell: Shell, coding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    assert (await shell.client.post("/baskets", json=GOOD, headers=headers)).status_code == 200


async def test_json_in_another_encoding_is_refused(shell: Shell) -> None:
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        said(await shell.post(json.dumps(GOOD).encode(encoding)), 400)


async def test_a_number_that_is_too_long_for_python_is_refused_with_its_path(shell: Shell) -> None:
    body = json.dumps(GOOD).replace("2", "9" * 5000).encode()
    refused = said(await shell.post(body), 422)
    assert {error["path"] for error in refused["errors"]} <= {"lines[0].quantity", ""}


async def test_a_body_counts_as_long_as_it_came(shell: Shell) -> None:
    """Not as long as somebody would write it anew, with spaces and without letters that are not ASCII."""
    lines = ",".join('{"sku":"' + "é" * 20_000 + '","quantity":1}' for _ in range(20))
    response = await shell.post(f'{{"lines":[{lines}]}}'.encode())
    assert (response.status_code, response.json()) == (200, 20)


async def test_every_field_that_is_wrong_is_named(shell: Shell) -> None:
    body = {"lines": [{"sku": "mug", "quantity": "2"}, {"quantity": 0}]}
    refused = said(await shell.post(json.dumps(body).encode()), 422)
    assert [(error["path"], error["code"]) for error in refused["errors"]] == [
        ("lines[0].quantity", "int_type"),
        ("lines[1].sku", "missing"),
        ("lines[1].quantity", "greater_than_equal"),
    ]


async def test_a_body_that_is_too_long_is_refused(shell: Shell) -> None:
    said(await shell.post(b" " * (MOST_OPEN_BODY_BYTES + 1)), 413)
    said(await shell.post(b" " * MOST_OPEN_BODY_BYTES + b"x", "text/plain"), 413)
    padded = json.dumps(GOOD).encode()
    assert (await shell.post(padded + b" " * (MOST_OPEN_BODY_BYTES - len(padded)))).status_code == 200


async def test_a_body_without_a_length_is_refused_once_it_is_too_long(shell: Shell) -> None:
    """And it is not read to its end, which may never come."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    scope_limit = 10 * MOST_OPEN_BODY_BYTES

    async def guarded() -> AsyncIterator[bytes]:
        async for chunk in endless():
            assert sent < scope_limit, "it reads on and on"
            yield chunk

    response = await shell.client.post("/baskets", content=guarded(), headers={"content-type": "application/json"})
    said(response, 413)
    assert sent <= MOST_OPEN_BODY_BYTES + 2 * 65_536


async def test_a_body_in_chunks_is_put_together(shell: Shell) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in json.dumps(GOOD).encode():
            yield bytes([byte])

    response = await shell.client.post("/baskets", content=chunks(), headers={"content-type": "application/json"})
    assert (response.status_code, response.json()) == (200, 1)


async def test_a_streamed_body_is_left_to_its_route(shell: Shell) -> None:
    body = b'{"a": NaN}\n' * 200_000
    response = await shell.client.post("/stream", content=body, headers={"content-type": STREAMED})
    assert (response.status_code, response.json()) == (200, len(body))


async def test_errors_of_all_kinds_are_problems(shell: Shell) -> None:
    conflict = said(await shell.client.get("/fail/problem"), 409)
    assert (conflict["title"], conflict["detail"]) == ("Conflict", "it cannot be done now")
    assert conflict["errors"] == [{"path": "lines[0].sku", "code": "unknown", "message": "nobody sells it"}]

    unavailable = await shell.client.get("/fail/unavailable")
    assert "try again" in said(unavailable, 503)["detail"]
    assert unavailable.headers["retry-after"] == "1"

    missing = await shell.client.get("/fail/not-found")
    assert said(missing, 404)["title"] == "no such basket"
    assert missing.headers["x-hint"] == "look elsewhere"

    said(await shell.client.get("/nowhere"), 404)
    not_allowed = await shell.client.delete("/baskets")
    said(not_allowed, 405)
    assert not_allowed.headers["allow"] == "GET, HEAD, POST"

    wrong = said(await shell.client.get("/fail/none", params={"count": "many"}), 422)
    assert [(error["path"], error["code"]) for error in wrong["errors"]] == [("count", "int_parsing")]


@pytest.mark.parametrize("path", ["/baskets/", "/stream/", "/fail/none/", "/healthz/"])
async def test_a_path_with_a_slash_too_many_is_unknown_and_nobody_is_sent_elsewhere(shell: Shell, path: str) -> None:
    """Behind TLS the service knows itself as http://, and a client would send its body there in clear text."""
    for method in ("GET", "POST"):
        answer = await shell.client.request(method, path, json=GOOD)
        said(answer, 404)
        assert "location" not in answer.headers


async def test_a_code_that_is_no_word_is_made_one(shell: Shell) -> None:
    odd = said(await shell.client.get("/fail/odd"), 422)
    assert odd["errors"] == [{"path": "x[0]", "code": "odd_type_", "message": "odd"}]


async def test_a_bug_says_nothing_about_itself(shell: Shell) -> None:
    response = await shell.client.get("/fail/bug")
    said(response, 500)
    assert "secret" not in response.text


async def test_a_document_that_cannot_be_read_is_named(shell: Shell) -> None:
    body = said(await shell.client.get("/fail/unreadable"), 500)
    assert body["detail"] == "this version of the service cannot read baskets/a: lines: Field required"


async def test_health_is_being_alive_and_readiness_is_progress(shell: Shell) -> None:
    assert (await shell.client.get("/healthz")).status_code == 200
    ready = await shell.client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    shell.ready = False
    stalled = await shell.client.get("/readyz")
    assert (stalled.status_code, stalled.json()) == (503, {"ready": False, "partitions": {"0": {"state": "gap"}}})
    assert (await shell.client.get("/healthz")).status_code == 200


async def test_metrics_are_promised_as_the_text_that_they_are(shell: Shell) -> None:
    described = (await shell.client.get("/openapi.json")).json()["paths"]["/metrics"]["get"]["responses"]["200"]
    assert list(described["content"]) == ["text/plain"]


async def test_not_being_ready_is_promised_as_the_json_that_it_is(shell: Shell) -> None:
    described = (await shell.client.get("/openapi.json")).json()["paths"]["/readyz"]["get"]["responses"]["503"]
    assert list(described["content"]) == ["application/json"]


async def test_metrics_are_measured_when_they_are_read_and_carry_no_noise(shell: Shell) -> None:
    shell.meters.taken.labels("OrderPlaced").inc()
    shell.meters.journal_s.observe(0.01)
    response = await shell.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert shell.measured == 1
    lines = response.text.splitlines()
    assert 'throughline_messages_taken_total{type="OrderPlaced"} 1.0' in lines
    assert not [line for line in lines if "_created" in line]


def test_what_operators_are_promised_is_measured() -> None:
    """Rates, lag, batch size, journal and publish time, alarms, gaps, dead letters, parked."""
    names = {family.name for family in Meters().registry.collect()}
    assert names >= {
        "throughline_messages_taken",
        "throughline_messages_published",
        "throughline_lag_messages",
        "throughline_batch_messages",
        "throughline_journal_seconds",
        "throughline_publish_seconds",
        "throughline_checkpoint_seconds",
        "throughline_alarms_rung",
        "throughline_alarms_set",
        "throughline_gaps",
        "throughline_dead_letters",
        "throughline_parked",
        "throughline_bugs",
        "throughline_calls",
        "throughline_fenced",
    }


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("/baskets?item=mug&stauts=full", ["stauts"]),
        ("/baskets?item=mug&sku=mug&Limit=3&sku=tea", ["sku", "Limit"]),
        ("/fail/none?item=mug", ["item"]),
        ("/fail/none?how=none", ["how"]),
        ("/fail/none?", []),
        ("/fail/none?count=1", []),
        ("/baskets?limit=3&item=mug&item=tea", []),
    ],
)
async def test_a_query_parameter_that_the_route_does_not_know_is_refused_by_its_name(
    shell: Shell, asked: str, names: list[str]
) -> None:
    answer = await shell.client.get(asked)
    if names:
        errors = said(answer, 422)["errors"]
        assert [(error["path"], error["code"]) for error in errors] == [(name, "extra_forbidden") for name in names]
    else:
        assert answer.status_code == 200


async def test_a_query_parameter_that_is_unknown_keeps_a_body_from_being_taken(shell: Shell) -> None:
    answer = await shell.client.post("/baskets?dry_run=true", json=GOOD)
    assert [error["path"] for error in said(answer, 422)["errors"]] == ["dry_run"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_who_looks_after_the_service_may_ask_as_it_likes(shell: Shell, path: str) -> None:
    assert (await shell.client.get(f"{path}?verbose")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz", "/baskets?item=mug", "/baskets?items=mug", "/fail/problem", "/nowhere", "/docs"]
)
async def test_head_is_answered_as_get_is_but_without_a_body(shell: Shell, path: str) -> None:
    whole, head = await shell.client.get(path), await shell.client.head(path)

    assert head.status_code == whole.status_code
    assert head.headers == whole.headers
    assert whole.content
    assert not head.content


async def test_head_of_what_never_ends_ends(shell: Shell) -> None:
    async with asyncio.timeout(5):
        head = await shell.client.head("/watch")

    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    assert not head.content


def test_the_documentation_comes_from_the_service_itself() -> None:
    async def fetched() -> tuple[list[str], list[int]]:
        async with Shell().client as client:
            page = (await client.get("/docs")).text
            named = re.findall(r'(?:src|href|url)(?:=|: )["\']([^"\']+)', page)
            return named, [(await client.get(path)).status_code for path in named]

    named, found = asyncio.run(fetched())  # files are read by threads, which virtual time does not wait for

    assert "/openapi.json" in named
    assert len(named) >= 4, "with the script, the style and the icon"
    assert all(path.startswith("/") for path in named)
    assert set(found) == {200}
