"""How orders come in by HTTP and by file, and how what became of them is read."""

import asyncio
import json
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

import httpx
import pytest
from chassis.decision import D
from chassis.http.openapi import STREAMED
from chassis.http.shell import create_app
from chassis.limits import MOST_TAKEN_BYTES
from chassis.ports import Unavailable
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.inventory import StockRejected, StockReleased
from contracts.message import Message, Reason, SagaStep
from contracts.order import CancelOrder, OrderPlaced
from contracts.payment import PaymentDeclined, PaymentVoided
from contracts.strict_json import MOST_OPEN_BODY_BYTES
from order import api
from order.file_intake import LINES_AT_ONCE
from order.live import Live
from order.state import MalformedOrder, Order
from order.view import StatusChange

Placed = Callable[..., OrderPlaced]
ID = "web:1001"
NO_REDIS = "redis://127.0.0.1:1/0"
STUCK_AFTER = timedelta(minutes=5)
NDJSON = {"content-type": STREAMED}


class Shop(Shelf):
    """What the API reads and writes."""

    kafka_takes = 10**9
    """Kafka goes away after so many messages."""
    is_readable = True
    """Whether MongoDB answers."""
    looked_up = 0
    slow_to_find = ""
    """The order that is found when another one was."""

    def __init__(self, stage: Rehearsal) -> None:
        super().__init__(stage)
        self.read = asyncio.Event()

    async def get(self, model: type[D], id: str, /) -> D | None:  # noqa: A002 - it is the field's name
        self.looked_up += 1
        if not self.is_readable:
            raise Unavailable("MongoDB")
        if id == self.slow_to_find:
            await self.read.wait()
        found = await super().get(model, id)
        self.read.set()
        return found

    async def publish(self, message: Message, /) -> str:
        if len(self.published) >= self.kafka_takes:
            raise Unavailable("Kafka")
        return await super().publish(message)


@pytest.fixture
def shop(stage: Rehearsal) -> Shop:
    return Shop(stage)


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None: ...

    app = create_app(
        "order", "", [api.router(shop, shop, Live(NO_REDIS), STUCK_AFTER)], lambda: (True, {}), measure, Meters()
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://order") as client:
        yield client


def json_of(order: OrderPlaced, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field, well-formed or not
    return order.model_dump(mode="json", exclude_unset=True) | changes


def codes(answer: httpx.Response) -> dict[str, str]:
    """By path, the codes of what is wrong."""
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["path"]: error["code"] for error in answer.json()["errors"]}


def hears(stage: Rehearsal, model: type[SagaStep], **fields: object) -> None:
    stage.take(model.model_validate_json(json.dumps({"order_id": ID, "revision": 1, "attempt": 1} | fields)))


def rejected(stage: Rehearsal, placed: Placed) -> None:
    stage.take(placed())
    hears(stage, PaymentDeclined, code="lost_card", message="")
    hears(stage, StockReleased, location="LON", lines=())


# Placing.


async def test_an_order_is_accepted_and_says_where_to_look(http: httpx.AsyncClient, shop: Shop, placed: Placed) -> None:
    answer = await http.post("/orders", json=json_of(placed()))
    assert answer.status_code == 202
    assert answer.headers["location"] == "/orders/web:1001"
    assert answer.json() == {"order_id": ID, "revision": 1, "status_url": "/orders/web:1001"}
    assert shop.published == [placed()]


async def test_the_same_order_again_is_the_same_order(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    answer = await http.post("/orders", json=json_of(placed()))
    assert (answer.status_code, answer.headers["location"]) == (202, "/orders/web:1001")
    assert shop.published == []


async def test_other_content_under_a_known_number_and_revision_is_a_conflict(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    answer = await http.post("/orders", json=json_of(placed(special_instructions="leave it at the door")))
    assert answer.status_code == 409
    assert codes(answer) == {"revision": "other_content"}
    assert shop.published == []


async def test_the_next_revision_is_passed_on_even_if_the_order_still_seems_to_run(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    assert (await http.post("/orders", json=json_of(placed(revision=2)))).status_code == 202
    assert shop.published == [placed(revision=2)]


async def test_a_revision_that_is_past_is_a_conflict(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    rejected(stage, placed)
    stage.take(placed(revision=2))
    answer = await http.post("/orders", json=json_of(placed()))
    assert answer.status_code == 409
    assert codes(answer) == {"revision": "out_of_turn"}
    assert shop.published == []


async def test_an_order_that_makes_no_sense_is_refused_with_every_reason(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    fields = json_of(placed(), total=1, surprise=True, placed_at="2026-01-05T12:00:00+01:00")
    fields["shipping_address"]["country"] = "XX"
    fields["customer"]["name"] = "A\x00da"
    answer = await http.post("/orders", json=fields)
    assert answer.status_code == 422
    assert codes(answer) == {
        "placed_at": "value_error",
        "customer.name": "string_pattern_mismatch",
        "shipping_address.country": "country_alpha2",
        "surprise": "extra_forbidden",
        "total": "total_mismatch",
    }
    assert shop.published == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ('"total": "1750"', "total"),
        ('"total": 1750.5', "total"),
        ('"total": ' + "9" * 30, "total"),
        ('"revision": 0', "revision"),
        ('"number": "10/01"', "number"),
        ('"lines": {}', "lines"),
        ('"payment_token": "4111111111111111"', "payment_token"),
    ],
)
async def test_a_malformed_field_is_named(http: httpx.AsyncClient, placed: Placed, change: str, path: str) -> None:
    fields = json_of(placed())
    fields.pop(path, None)
    body = json.dumps(fields)[:-1] + ", " + change + "}"
    answer = await http.post("/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert path in codes(answer)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b"{", 400),
        (b'{"total": NaN}', 400),
        (b'{"total": 1, "total": 2}', 400),
        (b"[" * 100_000, 400),
        (b'{"note": "' + b"x" * MOST_OPEN_BODY_BYTES + b'"}', 413),
    ],
)
async def test_a_bad_body_is_refused_as_a_problem(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    answer = await http.post("/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/orders", "/orders/web:1001/cancel"])
@pytest.mark.parametrize("body", [b"{}", b"no JSON", b"\xff"])
async def test_a_body_of_another_type_is_refused_as_a_problem(http: httpx.AsyncClient, path: str, body: bytes) -> None:
    answer = await http.post(path, content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"


async def test_says_when_kafka_cannot_be_reached(http: httpx.AsyncClient, shop: Shop, placed: Placed) -> None:
    shop.kafka_takes = 0
    answer = await http.post("/orders", json=json_of(placed()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# What OpenAPI says.


@pytest.fixture
async def described(http: httpx.AsyncClient) -> dict[str, Any]:
    """The operations by their paths."""
    paths: dict[str, Any] = (await http.get("/openapi.json")).json()["paths"]
    return paths


def test_openapi_says_what_the_lines_of_a_file_and_of_its_report_are(described: dict[str, Any]) -> None:
    placing = described["/orders/file"]["post"]
    lines = {"anyOf": [{"$ref": "#/components/schemas/OrderPlaced"}]}
    reports = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("LineReport", "FileReport")]}
    assert placing["requestBody"]["content"] == {STREAMED: {"itemSchema": lines}}
    assert placing["responses"]["200"]["content"] == {STREAMED: {"itemSchema": reports}}
    assert {"400", "415"} <= placing["responses"].keys()


@pytest.mark.parametrize("path", ["/orders/{order_id}/events", "/events"])
def test_openapi_says_what_an_event_holds(described: dict[str, Any], path: str) -> None:
    event = described[path]["get"]["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]
    assert event["required"] == ["data"]
    assert event["properties"]["data"] == {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/StatusChange"},
    }


def test_openapi_says_which_refusals_a_channel_may_hear(described: dict[str, Any]) -> None:
    for path in ("/orders", "/orders/{order_id}/cancel"):
        assert {"202", "400", "409", "413", "415", "422", "503"} <= described[path]["post"]["responses"].keys()
    for path in ("/orders/{order_id}", "/orders/{order_id}/events", "/sagas/{order_id}"):
        assert {"200", "404", "503"} <= described[path]["get"]["responses"].keys()


# Placing a file.


async def test_a_file_is_taken_in_line_by_line_and_each_line_is_reported(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    good, wrong, again = (
        json.dumps(json_of(placed(), **changes)).encode()
        for changes in ({"number": "1"}, {"number": "2", "total": 1, "currency": "ZZZ"}, {"number": "3"})
    )
    twice = b'{"number": "4", ' + good[1:]
    body = b"\n".join((good, b"", wrong, b"no JSON", twice, again)) + b"\n"
    answer = await http.post("/orders/file", content=body, headers=NDJSON)
    assert answer.status_code == 200
    *lines, total = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["line"], line["outcome"], line["order_id"]) for line in lines] == [
        (1, "accepted", "web:1"),
        (3, "refused", "web:2"),
        (4, "refused", None),
        (5, "refused", None),
        (6, "accepted", "web:3"),
    ]
    assert [[reason["path"] for reason in line["reasons"]] for line in lines[1:4]] == [
        ["currency", "total"],
        [""],
        ["number"],
    ]
    assert total == {"accepted": 2, "refused": 3, "unavailable": 0, "complete": True}
    assert shop.published == [placed(number="1"), placed(number="3")]


async def reports(http: httpx.AsyncClient, *orders: OrderPlaced) -> list[dict[str, Any]]:
    """The report on a file of these orders."""
    lines = [order.model_dump_json(exclude_unset=True) for order in orders]
    answer = await http.post("/orders/file", content="\n".join(lines), headers=NDJSON)
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_line_is_refused_for_what_an_order_alone_is_refused_for(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    first, second, total = await reports(http, placed(special_instructions="ring once"), placed(number="2"))
    assert (first["outcome"], first["order_id"], first["revision"]) == ("refused", ID, 1)
    assert [(reason["path"], reason["code"]) for reason in first["reasons"]] == [("revision", "other_content")]
    assert second["outcome"] == "accepted"
    assert (total["accepted"], total["refused"], total["complete"]) == (1, 1, True)
    assert shop.published == [placed(number="2")]


async def test_a_line_that_is_known_just_so_is_accepted_and_sent_nowhere(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    report, _ = await reports(http, placed())
    assert (report["outcome"], report["order_id"], report["reasons"]) == ("accepted", ID, [])
    assert shop.published == []


async def test_a_file_is_taken_in_while_what_is_known_cannot_be_looked_up_and_waits_for_that_once(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    shop.is_readable = False
    orders = [placed(number=str(number)) for number in range(LINES_AT_ONCE)]
    *_, total = await reports(http, *orders, placed(special_instructions="ring once"))
    assert (total["accepted"], total["complete"]) == (LINES_AT_ONCE + 1, True)
    assert shop.published[-1] == placed(special_instructions="ring once")
    assert shop.looked_up <= LINES_AT_ONCE


async def test_lines_are_sent_in_the_order_in_which_they_stand_there_however_they_are_looked_up(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    shop.slow_to_find = "web:0"
    orders = [placed(number=str(number)) for number in range(3)]
    await reports(http, *orders)
    assert shop.published == orders


async def test_the_mark_with_which_some_programs_begin_a_text_is_passed_over(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    lines = [BOM_UTF8 + json.dumps(json_of(placed(), number=number)).encode() for number in "12"]
    answer = await http.post("/orders/file", content=b"\n".join(lines), headers=NDJSON)
    first, second, _ = [json.loads(line) for line in answer.text.splitlines()]
    assert (first["outcome"], second["outcome"]) == ("accepted", "refused")
    assert shop.published == [placed(number="1")]


async def test_a_file_of_any_size_is_taken_in_without_holding_it_or_the_report(
    http: httpx.AsyncClient, shop: Shop, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 10 * LINES_AT_ONCE
    held: list[int] = []
    reports: list[SpooledTemporaryFile[bytes]] = []

    async def file() -> AsyncIterator[bytes]:
        for number in range(count):
            held.append(number - len(shop.published))
            yield json.dumps(json_of(placed(), number=str(number))).encode() + b"\n"

    def spooled(bytes_in_memory: int) -> SpooledTemporaryFile[bytes]:
        reports.append(SpooledTemporaryFile(bytes_in_memory))  # noqa: SIM115 - the API closes it
        return reports[-1]

    monkeypatch.setattr(api, "MOST_REPORT_BYTES_IN_MEMORY", 10_000)
    monkeypatch.setattr(api, "SpooledTemporaryFile", spooled)
    answer = await http.post("/orders/file", content=file(), headers=NDJSON)
    *lines, total = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["line"] for line in lines] == list(range(1, count + 1))
    assert total["accepted"] == count
    assert [order.order_id for order in shop.published if isinstance(order, OrderPlaced)] == [
        f"web:{number}" for number in range(count)
    ]
    assert max(held) < LINES_AT_ONCE
    assert [report._rolled for report in reports] == [True]  # onto the disk


async def test_of_long_lines_fewer_are_read_at_once(http: httpx.AsyncClient, shop: Shop, placed: Placed) -> None:
    """Nothing else is done meanwhile: neither is anything decided, nor is Kafka told that we live."""
    count, size = 20, MOST_TAKEN_BYTES // 4
    ahead: list[int] = []

    async def file() -> AsyncIterator[bytes]:
        for number in range(count):
            ahead.append(number - len(shop.published))
            yield json.dumps(json_of(placed(), number=str(number))).encode().ljust(size) + b"\n"

    answer = await http.post("/orders/file", content=file(), headers=NDJSON)
    assert json.loads(answer.text.splitlines()[-1])["accepted"] == count
    assert max(ahead) < 4


async def test_a_line_without_end_is_refused_and_the_next_one_is_read(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    body = b"{" + b" " * 3 * MOST_OPEN_BODY_BYTES + b"}\n" + json.dumps(json_of(placed())).encode()
    answer = await http.post("/orders/file", content=body, headers=NDJSON)
    first, second, _ = [json.loads(line) for line in answer.text.splitlines()]
    assert (first["line"], first["reasons"][0]["code"]) == (1, "too_large")
    assert (second["line"], second["outcome"]) == (2, "accepted")
    assert shop.published == [placed()]


async def test_a_file_says_where_it_stopped_when_kafka_goes_away(
    http: httpx.AsyncClient, shop: Shop, placed: Placed
) -> None:
    shop.kafka_takes = LINES_AT_ONCE - 1
    lines = [json.dumps(json_of(placed(), number=str(number))) for number in range(3 * LINES_AT_ONCE)]
    answer = await http.post("/orders/file", content="\n".join(lines), headers=NDJSON)
    *_, last, total = [json.loads(line) for line in answer.text.splitlines()]
    assert (last["line"], last["outcome"], last["order_id"]) == (100, "unavailable", "web:99")
    assert total == {"accepted": 99, "refused": 0, "unavailable": 1, "complete": False}


async def test_a_file_of_another_type_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/orders/file", content=b"{}", headers={"content-type": "text/csv"})
    assert answer.status_code == 415


# Cancelling.


async def test_a_cancellation_is_passed_on(http: httpx.AsyncClient, shop: Shop) -> None:
    answer = await http.post(f"/orders/{ID}/cancel", json={"reason": "too late", "requested_by": "Ada"})
    assert (answer.status_code, answer.headers["location"]) == (202, "/orders/web:1001")
    assert shop.published == [CancelOrder(order_id=ID, reason="too late", requested_by="Ada")]


@pytest.mark.parametrize("body", [{}, {"reason": "", "requested_by": "Ada"}, {"reason": "why", "requested_by": 7}])
async def test_a_malformed_cancellation_is_refused(
    http: httpx.AsyncClient, shop: Shop, body: dict[str, object]
) -> None:
    assert (await http.post(f"/orders/{ID}/cancel", json=body)).status_code == 422
    assert (
        await http.post("/orders/nonsense/cancel", json={"reason": "why", "requested_by": "Ada"})
    ).status_code == 422
    assert shop.published == []


async def test_a_cancellation_that_is_certainly_too_late_is_a_conflict(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed(), CancelOrder(order_id=ID, reason="too late", requested_by="Ada"))
    hears(stage, PaymentVoided)
    hears(stage, StockReleased, location="LON", lines=())
    answer = await http.post(f"/orders/{ID}/cancel", json={"reason": "too late", "requested_by": "Ben"})
    assert answer.status_code == 409
    assert codes(answer) == {"order_id": "already_cancelled"}
    assert shop.published == []


async def test_the_same_cancellation_again_is_accepted_when_it_is_done(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed(), CancelOrder(order_id=ID, reason="too late", requested_by="Ada"))
    hears(stage, PaymentVoided)
    hears(stage, StockReleased, location="LON", lines=())
    answer = await http.post(f"/orders/{ID}/cancel", json={"reason": "too late", "requested_by": "Ada"})
    assert (answer.status_code, answer.headers["location"]) == (202, "/orders/web:1001")
    assert stage.take(*shop.published) == ()


# Reading.


async def test_an_order_shows_its_steps_and_its_timeline_but_not_the_means_of_payment(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    hears(stage, StockRejected, location="LON", shortages=[{"sku": "MUG", "requested": 2, "available": 1}])
    answer = await http.get("/orders/web:1001")
    shown = answer.json()
    assert (shown["order_id"], shown["status"], shown["deadline"]) == (ID, "reserving", "2026-01-05T12:01:00Z")
    assert [(step["step"], step["attempt"], step["location"], step["state"]) for step in shown["steps"]] == [
        ("reserve", 1, "LON", "failed"),
        ("authorize", 1, "", "pending"),
        ("reserve", 2, "MAN", "pending"),
    ]
    assert shown["timeline"] == [
        {
            "at": "2026-01-05T12:00:00Z",
            "heard": "OrderPlaced",
            "source": "web",
            "detail": "",
            "said": ["OrderValidated", "ReserveStock", "AuthorizePayment"],
        },
        {
            "at": "2026-01-05T12:00:00Z",
            "heard": "StockRejected",
            "source": "inventory",
            "detail": "LON: short of MUG",
            "said": ["ReserveStock"],
        },
    ]
    assert shown["content"]["total"] == 1750
    assert "tok_ok" not in answer.text


async def test_a_rejected_order_shows_why(http: httpx.AsyncClient, stage: Rehearsal, placed: Placed) -> None:
    rejected(stage, placed)
    shown = (await http.get(f"/orders/{ID}")).json()
    assert (shown["status"], shown["ended_by"], shown["deadline"]) == ("rejected", "authorize", None)
    assert [reason["code"] for reason in shown["reasons"]] == ["payment_declined"]


async def test_an_order_shows_what_was_refused_of_it_after_it_had_been_accepted(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    assert (await http.get(f"/orders/{ID}")).json()["refused"] is None
    assert (await http.post("/orders", json=json_of(placed(revision=2)))).status_code == 202
    stage.take(*shop.published)
    shown = (await http.get(f"/orders/{ID}")).json()
    assert shown["status"] == "reserving"
    assert shown["refused"] == {
        "at": "2026-01-05T12:00:00Z",
        "request": "OrderPlaced",
        "revision": 2,
        "by": "web",
        "reason": {
            "path": "revision",
            "code": "still_running",
            "message": "only a rejected order is placed again; this is reserving",
        },
    }


async def test_an_order_that_could_not_be_read_shows_why(http: httpx.AsyncClient, stage: Rehearsal) -> None:
    reason = Reason(path="total", code="missing", message="Field required")
    stage.take(MalformedOrder(channel="web", number="1001", revision=1, digest="d", reasons=(reason,)))
    shown = (await http.get(f"/orders/{ID}")).json()
    assert (shown["status"], shown["content"], shown["reasons"]) == ("rejected", None, [reason.model_dump()])


async def test_an_order_says_which_version_it_is_as_its_events_do(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed
) -> None:
    stage.take(placed())
    hears(stage, StockRejected, location="LON", shortages=[{"sku": "MUG", "requested": 2, "available": 1}])
    order = stage.get(Order, ID)
    assert order is not None
    answer = await http.get(f"/orders/{ID}")
    assert (answer.json()["version"], answer.headers["etag"]) == (StatusChange.of(order).version, 'W/"2"')
    assert (await http.get("/orders")).json()["orders"][0]["version"] == 2


@pytest.mark.parametrize("known", ['W/"1"', '"1"', '"0", W/"1"', "*"])
async def test_an_order_that_is_known_already_is_not_sent_again_until_it_changes(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed, known: str
) -> None:
    stage.take(placed())
    same = await http.get(f"/orders/{ID}", headers={"if-none-match": known})
    assert (same.status_code, same.headers["etag"], same.content) == (304, 'W/"1"', b"")
    for other in ('W/"0"', '"11"', "1", ""):
        answer = await http.get(f"/orders/{ID}", headers={"if-none-match": other})
        assert (answer.status_code, answer.json()["version"]) == (200, 1)


async def test_an_unknown_order_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.get("/orders/web:none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_reader_may_wait_for_an_order_that_was_just_placed(
    http: httpx.AsyncClient, shop: Shop, stage: Rehearsal, placed: Placed
) -> None:
    asking = asyncio.create_task(http.get(f"/orders/{ID}", params={"wait_s": 10}))
    await shop.read.wait()
    stage.take(placed())
    assert (await asking).json()["order_id"] == ID


async def test_lists_are_filtered(http: httpx.AsyncClient, stage: Rehearsal, placed: Placed) -> None:
    rejected(stage, placed)
    stage.advance(timedelta(minutes=1))
    customer = placed().customer.model_copy(update={"id": "c-2"})
    stage.take(placed(number="2", channel="shop"), placed(number="3", customer=customer))

    async def found(**params: str) -> list[str]:
        return [order["order_id"] for order in (await http.get("/orders", params=params)).json()["orders"]]

    assert await found() == ["shop:2", "web:3", "web:1001"]
    assert await found(status="rejected") == ["web:1001"]
    assert await found(channel="shop") == ["shop:2"]
    assert await found(customer="c-2") == ["web:3"]
    assert await found(since="2026-01-05T12:00:30Z", status="reserving", channel="web") == ["web:3"]


async def test_what_changed_since_then_is_listed_by_its_last_change(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed
) -> None:
    async def changed_since(moment: str, **params: str) -> list[tuple[str, str]]:
        answer = await http.get("/orders", params={"changed_since": moment} | params)
        return [(order["order_id"], order["changed_at"]) for order in answer.json()["orders"]]

    for number in range(3):
        stage.take(placed(number=str(number)))
        stage.advance(timedelta(seconds=1))
    assert await changed_since("2026-01-05T12:00:01Z") == [
        ("web:1", "2026-01-05T12:00:01Z"),
        ("web:2", "2026-01-05T12:00:02Z"),
    ]
    stage.take(CancelOrder(order_id="web:0", reason="too late", requested_by="Ada"))
    assert [id_ for id_, _ in await changed_since("2026-01-05T12:00:01Z")] == ["web:1", "web:2", "web:0"]
    assert await changed_since("2026-01-05T12:00:02Z", status="undoing") == [("web:0", "2026-01-05T12:00:03Z")]
    assert await changed_since("2026-01-05T12:00:03.001Z") == []


async def test_an_order_that_changes_while_the_changes_are_read_comes_again(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed
) -> None:
    for number in range(3):
        stage.take(placed(number=str(number)))
    params = {"changed_since": "2026-01-05T12:00:00Z", "limit": "2"}
    first = (await http.get("/orders", params=params)).json()
    stage.advance(timedelta(seconds=1))
    stage.take(CancelOrder(order_id="web:0", reason="too late", requested_by="Ada"))
    second = (await http.get("/orders", params=params | {"cursor": first["next"]})).json()
    assert [(order["order_id"], order["version"]) for order in first["orders"]] == [("web:0", 1), ("web:1", 1)]
    assert [(order["order_id"], order["version"]) for order in second["orders"]] == [("web:2", 1), ("web:0", 2)]
    assert second["next"] is None


async def test_pages_stay_where_they_are_while_orders_come_in(
    http: httpx.AsyncClient, stage: Rehearsal, placed: Placed
) -> None:
    for number in range(7):
        stage.take(placed(number=str(number)))
        stage.advance(timedelta(seconds=number % 2))
    seen: list[str] = []
    params = {"limit": "2"}
    while True:
        page = (await http.get("/orders", params=params)).json()
        seen += [order["order_id"] for order in page["orders"]]
        stage.take(placed(number=f"new-{len(seen)}"))
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(seen) == [f"web:{number}" for number in range(7)]
    received = [order.received_ms for id_ in seen if (order := stage.get(Order, id_))]
    assert received == sorted(received, reverse=True)


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"cursor": "nonsense"}, "cursor"),
        ({"status": "lost"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"since": "20260101"}, "since"),
        ({"since": "1767225600"}, "since"),
        ({"changed_since": "2026-01-05"}, "changed_since"),
        ({"changed_since": "20260105"}, "changed_since"),
        ({"changed_since": "2026-01-05T12:00:00"}, "changed_since"),
        ({"channel": "Web"}, "channel"),
    ],
)
async def test_a_wrong_filter_is_named(http: httpx.AsyncClient, params: dict[str, str], path: str) -> None:
    answer = await http.get("/orders", params=params)
    assert answer.status_code == 422
    assert list(codes(answer)) == [path]
