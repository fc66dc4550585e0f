"""What pickers see, and what becomes of what they say."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import httpx
import pytest
from chassis.http.shell import create_app
from chassis.kinds import read_as
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentFailed,
    FulfillOrder,
    Pick,
    PickedLine,
    ReportPacked,
    ReportPicked,
    ReportPutBack,
    ReportRefused,
    ReportShort,
)
from contracts.inventory import BinQuantity
from contracts.message import Reason
from fulfillment.api import router
from fulfillment.decide import decider, needs
from fulfillment.state import Fulfillment

MUGS = BinQuantity(sku="mug", quantity=3, bin="A-10")
LAMP = BinQuantity(sku="lamp", quantity=1, bin="A-2")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Rehearsal(needs, decider(None)))


@pytest.fixture
async def api(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None:
        """Nothing is measured here."""

    app = create_app("fulfillment", "", [router(shelf, shelf)], lambda: (True, {}), measure, Meters())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://fulfillment") as client:
        yield client


def ask(shelf: Shelf, number: int, *locations: str, instructions: str = "") -> None:
    """An order a second."""
    shelf.stage.now += timedelta(seconds=1)
    picks = tuple(Pick(location=location, lines=(MUGS, LAMP)) for location in locations or ("LEEDS",))
    shelf.stage.take(
        FulfillOrder(order_id=f"shop:{number}", revision=1, attempt=1, picks=picks, special_instructions=instructions)
    )


async def listed(api: httpx.AsyncClient, **filters: str | int) -> list[tuple[str, str]]:
    """Order and location of every pick list, page by page."""
    found: list[tuple[str, str]] = []
    while True:
        page = (await api.get("/pick-lists", params=filters)).raise_for_status().json()
        found += [(shown["order_id"], shown["location"]) for shown in page["pick_lists"]]
        if page["next"] is None:
            return found
        filters["cursor"] = page["next"]


def problem(answer: httpx.Response) -> tuple[int, list[str]]:
    """The status and the fields that are wrong."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, [error["path"] for error in answer.json().get("errors", ())]


async def test_a_pick_list_says_all_that_a_picker_needs(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1, instructions="Wrap the mugs.")
    page = (await api.get("/pick-lists", params={"location": "LEEDS"})).json()
    (shown,) = page["pick_lists"]
    assert shown == {
        "order_id": "shop:1",
        "revision": 1,
        "attempt": 1,
        "location": "LEEDS",
        "state": "picking",
        "requested_at": "2026-01-05T12:00:01Z",
        "special_instructions": "Wrap the mugs.",
        "lines": [
            {"sku": "lamp", "bin": "A-2", "quantity": 1, "picked": 0},
            {"sku": "mug", "bin": "A-10", "quantity": 3, "picked": 0},
        ],
    }


async def test_what_is_to_be_put_back_is_listed_until_somebody_says_that_it_is(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    report = {"revision": 1, "attempt": 1, "reported_by": "Ann"}
    for number in (1, 2, 3):
        ask(shelf, number, "LEEDS", "YORK")
        shelf.stage.take(ReportPicked.model_validate(report | {"order_id": f"shop:{number}", "location": "LEEDS"}))
    for number in (1, 3):
        shelf.stage.take(CancelFulfillment(order_id=f"shop:{number}", revision=1, attempt=1))
    assert await listed(api, state="to_put_back", limit=1) == [("shop:1", "LEEDS"), ("shop:3", "LEEDS")]
    assert await listed(api, state="to_put_back", location="YORK") == []
    assert await listed(api) == [("shop:2", "LEEDS"), ("shop:2", "YORK")]

    answer = await api.post("/pick-lists/shop:1/1/1/LEEDS/put-back", json={"reported_by": "Ben"})

    assert answer.status_code == 202
    assert shelf.published == [
        ReportPutBack.model_validate(report | {"order_id": "shop:1", "location": "LEEDS", "reported_by": "Ben"})
    ]
    shelf.stage.take(*shelf.published)
    assert await listed(api, state="to_put_back") == [("shop:3", "LEEDS")]


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_hold_every_list_once_and_the_oldest_first(
    shelf: Shelf, api: httpx.AsyncClient, limit: int
) -> None:
    for number in (3, 1, 2):
        ask(shelf, number, "LEEDS", "YORK")
    everything = [(f"shop:{number}", location) for number in (3, 1, 2) for location in ("LEEDS", "YORK")]
    assert await listed(api, limit=limit) == everything
    assert await listed(api, limit=limit, location="YORK") == everything[1::2]


async def test_lists_asked_for_in_the_same_moment_are_all_shown(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1)
    for number in (2, 3, 4):
        shelf.stage.now -= timedelta(seconds=1)
        ask(shelf, number)
    assert len(await listed(api, limit=1)) == 4


async def test_only_what_is_still_to_be_done_is_shown_unless_a_state_is_asked_for(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    for number in (1, 2, 3, 4):
        ask(shelf, number, "LEEDS", "YORK")
    report = {"revision": 1, "attempt": 1, "reported_by": "Ann"}
    for location in ("LEEDS", "YORK"):
        shelf.stage.take(ReportPacked.model_validate(report | {"order_id": "shop:1", "location": location}))
    shelf.stage.take(ReportPacked.model_validate(report | {"order_id": "shop:2", "location": "LEEDS"}))
    shelf.stage.take(ReportPicked.model_validate(report | {"order_id": "shop:3", "location": "YORK"}))
    shelf.stage.take(CancelFulfillment(order_id="shop:4", revision=1, attempt=1))
    assert await listed(api) == [("shop:2", "YORK"), ("shop:3", "LEEDS"), ("shop:3", "YORK")]
    assert await listed(api, state="picking") == [("shop:2", "YORK"), ("shop:3", "LEEDS")]
    assert await listed(api, state="picked") == [("shop:3", "YORK")]
    assert await listed(api, state="packed") == [("shop:1", "LEEDS"), ("shop:1", "YORK"), ("shop:2", "LEEDS")]


async def test_every_attempt_at_an_order_is_shown_however_many_there_were(shelf: Shelf, api: httpx.AsyncClient) -> None:
    for revision in range(1, 102):
        shelf.stage.take(CancelFulfillment(order_id="shop:1", revision=revision, attempt=1))
    shown = (await api.get("/fulfillments/shop:1")).json()["fulfillments"]
    assert len(shown) == 101


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"location": "leeds"}, "location"),
        ({"state": "x"}, "state"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_by_name(
    api: httpx.AsyncClient, filters: Mapping[str, str | int], path: str
) -> None:
    assert problem(await api.get("/pick-lists", params=filters)) == (422, [path])


async def test_people_pick_and_pack_through_the_api(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1)
    part = {"reported_by": "Ann", "lines": [{"sku": "mug", "bin": "A-10", "picked": 2}]}
    answer = await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json=part)
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/fulfillments/shop:1"
    assert answer.json() == {"status_url": "/fulfillments/shop:1", "message_id": "test/1"}
    await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json={"reported_by": "Ann"})
    await api.post("/pick-lists/shop:1/1/1/LEEDS/packed", json={"reported_by": "Ben"})
    names = {"order_id": "shop:1", "revision": 1, "attempt": 1, "location": "LEEDS"}
    line = PickedLine(sku="mug", bin="A-10", picked=2)
    assert shelf.published == [
        ReportPicked.model_validate(names | {"reported_by": "Ann", "lines": (line,)}),
        ReportPicked.model_validate(names | {"reported_by": "Ann"}),
        ReportPacked.model_validate(names | {"reported_by": "Ben"}),
    ]
    shelf.stage.take(*shelf.published)
    shown = (await api.get("/fulfillments/shop:1")).json()
    assert [attempt["state"] for attempt in shown["fulfillments"]] == ["packed"]


async def test_what_a_picker_leaves_out_is_left_out_of_the_message(shelf: Shelf, api: httpx.AsyncClient) -> None:
    """An instance of before would refuse a field that it does not know, also where it has nothing but its default."""
    rug = BinQuantity(sku="rug", quantity=2)
    shelf.stage.take(
        FulfillOrder(order_id="shop:1", revision=1, attempt=1, picks=(Pick(location="LEEDS", lines=(rug,)),))
    )
    await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json={"reported_by": "Ann"})
    part = {"reported_by": "Ann", "lines": [{"sku": "rug", "picked": 1}]}
    await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json=part)
    await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json={"reported_by": "Ann", "sku": "rug", "found": 1})
    whole, partly, short = shelf.published
    assert "lines" not in whole.model_fields_set
    assert isinstance(partly, ReportPicked)
    assert partly.lines[0].model_fields_set == {"sku", "picked"}
    assert "bin" not in short.model_fields_set


async def test_a_short_pick_fails_the_fulfillment_and_the_api_says_why(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1)
    body = {"reported_by": "Ann", "sku": "mug", "bin": "A-10", "found": 1}
    assert (await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body)).status_code == 202
    shelf.stage.take(*shelf.published)
    (attempt,) = (await api.get("/fulfillments/shop:1")).json()["fulfillments"]
    assert attempt["state"] == "failed"
    assert Reason.model_validate(attempt["failure"]).code == "short_pick"


async def test_a_picker_names_all_that_is_short_and_is_told_what_to_do_about_the_rest(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    ask(shelf, 1)
    lamp = {"sku": "lamp", "bin": "A-2", "found": 0}
    body = {"reported_by": "Ann", "sku": "mug", "bin": "A-10", "found": 1, "also": [lamp]}
    assert (await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body)).status_code == 202
    (failed,) = shelf.stage.take(*shelf.published)
    assert isinstance(failed, FulfillmentFailed)
    assert [(line.sku, line.quantity) for line in failed.not_found[0].lines] == [("lamp", 1), ("mug", 2)]
    (attempt,) = (await api.get("/fulfillments/shop:1")).json()["fulfillments"]
    assert attempt["not_found"] == [pick.model_dump(mode="json") for pick in failed.not_found]
    late = await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body | {"found": 0})
    assert problem(late) == (409, ["sku"])
    assert late.json()["detail"] == "The list is failed. Put back what is off the shelf."
    (error,) = late.json()["errors"]
    assert "correct the stock of mug by AdjustStock" in error["message"]
    names = {"order_id": "shop:1", "revision": 1, "attempt": 1, "location": "LEEDS"}
    (refused,) = shelf.stage.take(ReportShort.model_validate_json(json.dumps(names | body | {"found": 0})))
    assert isinstance(refused, ReportRefused)
    assert [reason.message for reason in refused.reasons] == [error["message"]]


async def test_a_shortage_that_is_written_off_already_may_be_reported_again(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    ask(shelf, 1)
    body = {"reported_by": "Ann", "sku": "mug", "bin": "A-10", "found": 1}
    for _ in range(2):
        assert (await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body)).status_code == 202
    failed, *more = shelf.stage.take(*shelf.published)
    assert isinstance(failed, FulfillmentFailed)
    assert more == []
    assert (await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body)).status_code == 202
    assert shelf.stage.take(*shelf.published) == ()


async def test_of_a_late_shortage_that_is_none_or_of_another_list_that_is_said_first(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    ask(shelf, 1)
    names = {"order_id": "shop:1", "revision": 1, "attempt": 1, "location": "LEEDS", "reported_by": "Ann"}
    shelf.stage.take(ReportPacked.model_validate(names))
    body = {"reported_by": "Ann", "sku": "mug", "bin": "A-10", "found": 3}
    for wrong, path in (({}, "found"), ({"also": [{"sku": "hat", "bin": "", "found": 0}], "found": 0}, "also[0].sku")):
        answer = await api.post("/pick-lists/shop:1/1/1/LEEDS/short", json=body | wrong)
        assert problem(answer) == (422, [path])


async def test_says_since_when_a_fulfillment_is_in_its_state(shelf: Shelf, api: httpx.AsyncClient) -> None:
    async def since() -> list[str]:
        shown = (await api.get("/fulfillments/shop:1")).json()["fulfillments"]
        return [attempt["since"] for attempt in shown]

    ask(shelf, 1, "LEEDS", "YORK")
    assert await since() == ["2026-01-05T12:00:01Z"]
    for location in ("LEEDS", "YORK"):
        shelf.stage.advance(timedelta(minutes=1))
        names = {"order_id": "shop:1", "revision": 1, "attempt": 1, "location": location, "reported_by": "Ann"}
        shelf.stage.take(ReportPicked.model_validate(names))
    assert await since() == ["2026-01-05T12:02:01Z"]
    shelf.stage.advance(timedelta(minutes=1))
    shelf.stage.take(ReportPacked.model_validate(names | {"location": "LEEDS"}))
    assert await since() == ["2026-01-05T12:02:01Z"]
    shelf.stage.take(CancelFulfillment(order_id="shop:1", revision=1, attempt=1))
    assert await since() == ["2026-01-05T12:03:01Z"]


def test_a_fulfillment_of_a_version_that_did_not_remember_since_when_is_read(shelf: Shelf) -> None:
    ask(shelf, 1)
    known = shelf.stage.get(Fulfillment, "shop:1/1/1")
    assert known is not None
    older = json.loads(known.model_dump_json(exclude={"since"}))
    assert read_as(Fulfillment, known.key, older) == known.but(since=None)


async def test_every_attempt_at_an_order_is_shown(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1)
    ask(shelf, 2)
    for attempt in (1, 2):
        shelf.stage.take(CancelFulfillment(order_id="shop:1", revision=1, attempt=attempt))
    shown = (await api.get("/fulfillments/shop:1")).json()
    assert shown["order_id"] == "shop:1"
    assert [(attempt["attempt"], attempt["state"]) for attempt in shown["fulfillments"]] == [
        (1, "cancelled"),
        (2, "tombstone"),
    ]


async def test_an_unknown_order_is_not_found(api: httpx.AsyncClient) -> None:
    assert problem(await api.get("/fulfillments/shop:9")) == (404, [])


async def test_an_order_that_is_just_coming_in_is_waited_for(shelf: Shelf, api: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(api.get("/fulfillments/shop:1", params={"wait_s": 10}))
    await asyncio.sleep(0)
    ask(shelf, 1)
    assert (await waiting).json()["order_id"] == "shop:1"
    assert problem(await api.get("/fulfillments/shop:9", params={"wait_s": 31})) == (422, ["wait_s"])


@pytest.mark.parametrize("path", ["shop:9/1/1/LEEDS", "shop:1/2/1/LEEDS", "shop:1/1/2/LEEDS", "shop:1/1/1/YORK"])
async def test_a_report_on_an_unknown_list_is_not_found(shelf: Shelf, api: httpx.AsyncClient, path: str) -> None:
    ask(shelf, 1)
    answer = await api.post(f"/pick-lists/{path}/packed", json={"reported_by": "Ann"})
    assert problem(answer) == (404, [])
    assert shelf.published == []


async def test_a_report_on_a_list_that_is_no_longer_worked_on_is_a_conflict(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    ask(shelf, 1, "LEEDS", "YORK")
    ask(shelf, 2)
    await api.post("/pick-lists/shop:1/1/1/LEEDS/packed", json={"reported_by": "Ann"})
    shelf.stage.take(*shelf.published, CancelFulfillment(order_id="shop:2", revision=1, attempt=1))
    too_late = (1, "is packed."), (2, "is cancelled. The report is noted. Put back what is off the shelf.")
    for number, detail in too_late:
        answer = await api.post(f"/pick-lists/shop:{number}/1/1/LEEDS/picked", json={"reported_by": "Ann"})
        assert problem(answer) == (409, [])
        assert answer.json()["detail"] == f"The list {detail}"


@pytest.mark.parametrize("report", ["picked", "packed"])
async def test_what_a_picker_has_in_hand_when_the_order_is_called_off_is_listed_to_be_put_back(
    shelf: Shelf, api: httpx.AsyncClient, report: str
) -> None:
    ask(shelf, 1)
    shelf.stage.take(CancelFulfillment(order_id="shop:1", revision=1, attempt=1))
    late = await api.post(f"/pick-lists/shop:1/1/1/LEEDS/{report}", json={"reported_by": "Ann"})
    assert problem(late) == (409, [])
    assert shelf.stage.take(*shelf.published) == ()
    assert await listed(api, state="to_put_back") == [("shop:1", "LEEDS")]


async def test_a_late_report_that_does_not_fit_the_list_is_refused_all_the_same(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    ask(shelf, 1)
    shelf.stage.take(CancelFulfillment(order_id="shop:1", revision=1, attempt=1))
    body = {"reported_by": "Ann", "lines": [{"sku": "rug", "picked": 1}]}
    assert problem(await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json=body)) == (422, ["lines[0].sku"])
    assert shelf.published == []


async def test_to_put_back_what_is_still_wanted_is_a_conflict(shelf: Shelf, api: httpx.AsyncClient) -> None:
    ask(shelf, 1)
    answer = await api.post("/pick-lists/shop:1/1/1/LEEDS/put-back", json={"reported_by": "Ann"})
    assert problem(answer) == (409, [""])
    assert [error["code"] for error in answer.json()["errors"]] == ["still_wanted"]
    assert shelf.published == []


@pytest.mark.parametrize(
    ("report", "body", "path"),
    [
        (
            "picked",
            {"lines": [{"sku": "lamp", "bin": "A-2", "picked": 1}, {"sku": "rug", "picked": 1}]},
            "lines[1].sku",
        ),
        ("short", {"sku": "mug", "bin": "Z-9", "found": 0}, "sku"),
        ("short", {"sku": "mug", "bin": "A-10", "found": 3}, "found"),
        (
            "short",
            {"sku": "mug", "bin": "A-10", "found": 0, "also": [{"sku": "lamp", "bin": "A-2", "found": 1}]},
            "also[0].found",
        ),
        ("short", {"sku": "mug", "bin": "A-10", "found": 0, "also": [{"sku": "rug", "found": 0}]}, "also[0].sku"),
        (
            "short",
            {"sku": "mug", "bin": "A-10", "found": 0, "also": [{"sku": "mug", "bin": "A-10", "found": 2}]},
            "also[0].sku",
        ),
    ],
)
async def test_a_report_that_does_not_fit_the_list_is_refused_by_field(
    shelf: Shelf, api: httpx.AsyncClient, report: str, body: Mapping[str, object], path: str
) -> None:
    ask(shelf, 1)
    answer = await api.post(f"/pick-lists/shop:1/1/1/LEEDS/{report}", json={"reported_by": "Ann", **body})
    assert problem(answer) == (422, [path])
    assert shelf.published == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reported_by"),
        ({"reported_by": "Ann", "picked_by": "Ben"}, "picked_by"),
        ({"reported_by": "Ann\u0000"}, "reported_by"),
        ({"reported_by": "Ann", "lines": [{"sku": "mug", "picked": "2"}]}, "lines[0].picked"),
        ({"reported_by": "Ann", "lines": [{"sku": "mug", "picked": 10**30}]}, "lines[0].picked"),
    ],
)
async def test_a_malformed_report_is_refused_by_field(
    shelf: Shelf, api: httpx.AsyncClient, body: Mapping[str, object], field: str
) -> None:
    ask(shelf, 1)
    answer = await api.post("/pick-lists/shop:1/1/1/LEEDS/picked", json=body)
    assert problem(answer) == (422, [field])
