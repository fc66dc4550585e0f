"""What no one can read, over HTTP: each service answers with a problem that names the field, and goes on."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from contracts.order import OrderCompleted

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

HUGE = 10**400
HUGE_CURSOR = base64.urlsafe_b64encode(f'{{"received_ms":{HUGE},"id":"tests:1"}}'.encode()).decode()
MOVED = {"location": "LON", "lines": [{"sku": "MUG", "quantity": 1}]}
GOOD_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "order/orders"): {},  # each test has a new one
    ("POST", "order/orders/tests:none/cancel"): {"reason": "wrong size", "requested_by": "Ann"},
    ("POST", "inventory/movements/receive"): MOVED,
    ("POST", "inventory/movements/adjust"): {
        "location": "LON",
        "lines": [{"sku": "MUG", "change": 1}],
        "reason": "found one",
    },
    ("POST", "inventory/movements/transfer"): MOVED | {"to_location": "MAN"},
    ("PUT", "inventory/items/LON/MUG"): {"bin": "A-07"},
    ("POST", "fulfillment/pick-lists/tests:none/1/1/LON/picked"): {"reported_by": "Pat"},
    ("POST", "fulfillment/pick-lists/tests:none/1/1/LON/short"): {"reported_by": "Pat", "sku": "MUG", "found": 0},
    ("POST", "fulfillment/pick-lists/tests:none/1/1/LON/packed"): {"reported_by": "Pat"},
    ("POST", "fulfillment/pick-lists/tests:none/1/1/LON/put-back"): {"reported_by": "Pat"},
}

every_way_in = pytest.mark.parametrize(("method", "path"), GOOD_BODIES.keys(), ids=lambda part: part)


@every_way_in
async def test_a_body_that_is_no_json_is_refused(shop: Shop, method: str, path: str) -> None:
    for body in (b"{", b"<order/>", b'{"a": }', b"\xff\xfe", b'{"name": "\x00"}', b"[" * 100_000, b'{"total": NaN}'):
        problem = await refusal_of(shop, method, path, body)
        assert problem["status"] == 400, body
        assert problem["errors"][0]["code"] == "malformed_json"


@every_way_in
async def test_a_field_that_stands_twice_is_refused_by_its_name(shop: Shop, method: str, path: str) -> None:
    problem = await refusal_of(shop, method, path, b'{"reason": "a", "reason": "b"}')

    assert problem["status"] == 400
    assert errors_of(problem) == {("reason", "duplicate_key")}


@every_way_in
async def test_a_body_of_twenty_megabytes_is_refused(shop: Shop, method: str, path: str) -> None:
    problem = await refusal_of(shop, method, path, b'{"note": "' + b"x" * 20_000_000 + b'"}')

    assert (problem["status"], problem["title"]) == (413, "Body too large")


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 20000000"])
async def test_a_body_that_grows_too_large_is_refused_before_its_end(shop: Shop, framing: str) -> None:
    url = httpx.URL(shop.url("order/orders"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /orders HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    part = b" " * 1_100_000
    writer.write(head.encode() + (b"%x\r\n%b\r\n" % (len(part), part) if "chunked" in framing else part))

    answer = await asyncio.wait_for(reader.readline(), 10)

    writer.close()
    assert answer.split()[1] == b"413"


@every_way_in
async def test_what_is_no_object_is_refused(shop: Shop, method: str, path: str) -> None:
    for body in (b"", b"[]", b"12", b'"text"', b"null"):
        problem = await refusal_of(shop, method, path, body)
        assert problem["status"] == 422, body
        assert problem["errors"]


@every_way_in
async def test_an_unknown_field_is_refused_by_its_name(shop: Shop, method: str, path: str) -> None:
    problem = await refusal_of(shop, method, path, json.dumps(good(shop, method, path) | {"colour": "red"}).encode())

    assert problem["status"] == 422
    assert errors_of(problem) == {("colour", "extra_forbidden")}


@every_way_in
@pytest.mark.parametrize(
    "wrong", [HUGE, {"a": "b"}, "a\u0000b\u001b[31m"], ids=["huge", "object", "control characters"]
)
async def test_a_field_of_another_type_is_refused_by_its_name(
    shop: Shop, method: str, path: str, wrong: object
) -> None:
    fields = good(shop, method, path)
    for name in fields:
        problem = await refusal_of(shop, method, path, json.dumps(fields | {name: wrong}).encode())
        assert problem["status"] == 422, name
        assert name in {place.partition("[")[0].partition(".")[0] for place, _ in errors_of(problem)}, problem


async def test_an_order_is_refused_with_all_of_its_reasons_at_once(shop: Shop) -> None:
    fields = shop.fields({"MUG": 2}) | {"currency": "XXL", "colour": "red", "total": 1}
    del fields["customer"]

    problem = await refusal_of(shop, "POST", "order/orders", json.dumps(fields).encode())

    assert problem["status"] == 422
    assert {path for path, _ in errors_of(problem)} == {"currency", "colour", "customer", "total"}


async def test_a_card_number_is_refused_and_not_repeated(shop: Shop) -> None:
    fields = shop.fields({"MUG": 2}) | {"payment_token": "4111 1111 1111 1111"}

    problem = await refusal_of(shop, "POST", "order/orders", json.dumps(fields).encode())

    assert ("payment_token", "card_number") in errors_of(problem)
    assert "1111" not in json.dumps(problem)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("order/orders/no-order", 422, "order_id"),
        ("order/orders/tests:none", 404, None),
        ("order/orders?status=dreaming", 422, "status"),
        ("order/orders?limit=0", 422, "limit"),
        ("order/orders?limit=many", 422, "limit"),
        (f"order/orders?limit={HUGE}", 422, "limit"),
        ("order/orders?cursor=%00", 422, "cursor"),
        (f"order/orders?cursor={HUGE_CURSOR}", 422, "cursor"),
        ("order/orders?since=yesterday", 422, "since"),
        ("order/orders?since=20260101", 422, "since"),
        ("order/orders?channel=A%20B", 422, "channel"),
        ("inventory/availability", 422, "sku"),
        ("inventory/availability?sku=a%20b", 422, "sku[0]"),
        ("inventory/ledger?location=LON&sku=MUG&cursor=x", 422, "cursor"),
        (f"inventory/ledger?location=LON&sku=MUG&cursor={HUGE}", 422, "cursor"),
        ("payment/payments?cursor=", 422, "cursor"),
        ("inventory/stock/LON/NOBODY-KNOWS-IT", 404, None),
        ("payment/payments/no-order", 422, "order_id"),
        ("payment/payments/tests:none", 404, None),
        ("payment/payments?state=rich", 422, "state"),
        ("fulfillment/pick-lists?cursor=x", 422, "cursor"),
        ("fulfillment/pick-lists?cursor=%00%ff", 422, "cursor"),
        ("fulfillment/fulfillments/tests:none", 404, None),
        ("shipping/shipments/no-order", 422, "order_id"),
        ("shipping/shipments/tests:none", 404, None),
        ("shipping/shipments/tests:none/labels/1.pdf", 404, None),
        ("order/nowhere", 404, None),
    ],
)
async def test_what_is_asked_for_wrongly_is_refused_by_its_name(
    shop: Shop, path: str, status: int, field: str | None
) -> None:
    answer = await shop.http.get(shop.url(path))

    problem = problem_in(answer)
    assert problem["status"] == status
    if field is not None:
        assert {place for place, _ in errors_of(problem)} == {field}


@pytest.mark.parametrize("service", ["order", "inventory", "payment", "fulfillment", "shipping"])
async def test_a_method_that_nobody_offers_is_refused(shop: Shop, service: str) -> None:
    answer = await shop.http.delete(shop.url(f"{service}/healthz"))

    assert problem_in(answer)["status"] == 405


async def test_bad_lines_of_a_file_are_reported_and_the_good_ones_are_placed(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=2)
    good_ones = [shop.order({mug: 1}) for _ in range(2)]
    lines = [
        good_ones[0].model_dump_json(exclude_unset=True).encode(),
        b"no order",
        json.dumps(shop.fields({mug: 1}) | {"total": 1}).encode(),
        b'{"number": "' + b"1" * 20_000_000 + b'"}',
        b"",
        b'{"currency": "GBP", "currency": "USD"}',
        good_ones[1].model_dump_json(exclude_unset=True).encode(),
    ]

    answer = await shop.http.post(
        shop.url("order/orders/file"), content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )

    *reports, total = [json.loads(line) for line in answer.text.splitlines()]
    assert [(report["line"], report["outcome"]) for report in reports] == [
        (1, "accepted"),
        (2, "refused"),
        (3, "refused"),
        (4, "refused"),
        (6, "refused"),
        (7, "accepted"),
    ]
    assert [report["reasons"][0]["code"] for report in reports[1:4]] == ["json_invalid", "total_mismatch", "too_large"]
    assert (total["accepted"], total["refused"], total["complete"]) == (2, 4, True)
    for order in good_ones:
        await witness.hears(order.order_id, OrderCompleted)


async def test_after_all_that_every_service_is_well_and_orders_go_through(shop: Shop, witness: Witness) -> None:
    order = shop.fields({await shop.stocked(LON=1): 1})

    answer = await shop.http.post(shop.url("order/orders"), json=order)

    assert answer.status_code == 202, answer.text
    await witness.hears(answer.json()["order_id"], OrderCompleted)
    for instance in shop.services.fleet.instances:
        assert (await shop.http.get(f"{instance.url}/readyz")).status_code == 200


def good(shop: Shop, method: str, path: str) -> dict[str, Any]:
    return shop.fields({"MUG": 1}) if path == "order/orders" else GOOD_BODIES[method, path]


async def refusal_of(shop: Shop, method: str, path: str, body: bytes) -> dict[str, Any]:
    answer = await shop.http.request(method, shop.url(path), content=body, headers={"content-type": "application/json"})
    return problem_in(answer)


def problem_in(answer: httpx.Response) -> dict[str, Any]:
    """The problem that an answer tells of (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    return problem


def errors_of(problem: dict[str, Any]) -> set[tuple[str, str]]:
    return {(error["path"], error["code"]) for error in problem["errors"]}
