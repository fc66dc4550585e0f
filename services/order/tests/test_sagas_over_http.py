"""Sagas that do not go on can be seen over HTTP, and what people ask for becomes a message to the order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from chassis.http.shell import create_app
from chassis.telemetry import Meters
from chassis.testing.stage import NOON, Rehearsal, Shelf
from contracts.fulfillment import FulfillmentCancelled
from contracts.inventory import StockIssued
from contracts.message import Message
from contracts.order import CompensateOrder, RetryStep, SkipStep
from contracts.topics import TOPIC_OF
from order import api
from order.decide import decider
from order.definition import Policy
from order.live import Live
from order.saga import DEFINITIONS, FIRST

from services.order.tests.scene import ID, Scene

WISH = {"by": "Ben", "reason": "the provider is back", "repair_id": "r-1"}
WHO = {"order_id": ID, "reason": "the provider is back", "requested_by": "Ben"}


@pytest.fixture
def shelf(stage: Rehearsal) -> Shelf:
    return Shelf(stage)


@pytest.fixture
async def http(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None: ...

    routes = api.router(shelf, shelf, Live("redis://127.0.0.1:1/0"), timedelta(minutes=5))
    app = create_app("order", "", [routes], lambda: (True, {}), measure, Meters())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://order") as client:
        yield client


async def read(http: httpx.AsyncClient, path: str) -> Any:  # noqa: ANN401 - JSON
    answer = await http.get(path)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


async def test_lists_what_nobody_answers_after_the_pivot_with_since_when_and_whether_it_can_be_skipped(
    http: httpx.AsyncClient, scene: Scene
) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    (saga,) = (await read(http, "/sagas/stuck"))["sagas"]
    (capture,) = saga["unanswered"]
    assert (saga["order_id"], saga["status"], datetime.fromisoformat(saga["since"])) == (ID, "completing", NOON)
    assert (capture["step"], capture["is_undo"], capture["skippable"]) == ("capture", False, True)


@pytest.mark.parametrize("status", ["fulfilling", "completing"])
async def test_an_order_that_a_newer_version_began_is_shown_all_the_same(
    http: httpx.AsyncClient,
    shelf: Shelf,
    scene: Scene,
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setitem(DEFINITIONS, 2, FIRST)
    shelf.stage.decide = decider(replace(policy, definition=2))
    scene.go_to(status)
    monkeypatch.delitem(DEFINITIONS, 2)
    shown = await read(http, f"/sagas/{ID}")
    assert (shown["definition"], shown["status"], shown["why_not_compensate"]) == (2, status, None)
    assert {step["skippable"] for step in shown["unanswered"]} == {False}
    await read(http, "/sagas/stuck?longer_than_s=0")
    wish = {"reason": "wrong size", "requested_by": "Ada"}
    assert (await http.post(f"/orders/{ID}/cancel", json=wish)).status_code == httpx.codes.ACCEPTED
    with pytest.raises(KeyError):  # it is parked, for the newer version to decide on
        shelf.stage.take(*shelf.published)


async def test_an_undo_that_nobody_answers_is_listed_with_how_often_it_was_asked_for(
    http: httpx.AsyncClient, scene: Scene
) -> None:
    scene.go_to("fulfilling")
    scene.cancel()
    scene.after(minutes=1)
    (saga,) = (await read(http, "/sagas/stuck"))["sagas"]
    assert (saga["tries"], saga["unanswered"][0]["step"], saga["unanswered"][0]["is_undo"]) == (2, "fulfill", True)
    scene.hear(FulfillmentCancelled)
    assert (await read(http, "/sagas/stuck"))["sagas"][0]["unanswered"][0]["step"] == "authorize"


async def test_what_waits_for_a_short_time_only_is_not_stuck_yet(http: httpx.AsyncClient, scene: Scene) -> None:
    scene.go_to("completing")
    an_age = timedelta(days=364).total_seconds()
    assert (await read(http, f"/sagas/stuck?longer_than_s={an_age}"))["sagas"] == []


async def test_pages_of_what_is_stuck_follow_each_other(
    http: httpx.AsyncClient, scene: Scene, stage: Rehearsal
) -> None:
    scene.go_to("completing")
    others = [scene.order.but(id=f"web:{number}") for number in (1, 2)]
    stage.documents.update({order.key: order for order in others})
    first = await read(http, "/sagas/stuck?limit=2")
    second = await read(http, f"/sagas/stuck?limit=2&cursor={first['next']}")
    assert [saga["order_id"] for page in (first, second) for saga in page["sagas"]] == ["web:1", "web:1001", "web:2"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("action", "body", "asked"),
    [
        ("retry", {}, RetryStep(repair_id="r-1", step=None, **WHO)),
        ("retry", {"step": "capture"}, RetryStep(repair_id="r-1", step="capture", **WHO)),
        ("skip", {"step": "capture"}, SkipStep(repair_id="r-1", step="capture", **WHO)),
        ("compensate", {}, CompensateOrder(repair_id="r-1", **WHO)),
    ],
)
async def test_what_is_asked_for_becomes_a_message(
    http: httpx.AsyncClient, scene: Scene, shelf: Shelf, action: str, body: dict[str, str], asked: Message
) -> None:
    scene.go_to("completing")
    answer = await http.post(f"/sagas/{ID}/{action}", json=WISH | body)
    assert answer.status_code == httpx.codes.ACCEPTED
    assert answer.headers["location"] == f"/sagas/{ID}/repairs/r-1"
    assert answer.json() == {"repair_id": "r-1", "status_url": f"/sagas/{ID}/repairs/r-1"}
    assert shelf.published == [asked]
    assert TOPIC_OF[type(asked)].name == "order.repairs"


@pytest.mark.parametrize("name", ["修理 1", "INC#17?x", "a/b"])
async def test_a_repair_of_any_name_is_found_where_it_is_said_to_be(
    http: httpx.AsyncClient, scene: Scene, shelf: Shelf, name: str
) -> None:
    scene.go_to("completing")
    answer = await http.post(f"/sagas/{ID}/retry", json=WISH | {"repair_id": name})
    scene.take(shelf.published[0])
    found = await http.get(answer.headers["location"])
    assert (found.status_code, found.json()["repair_id"]) == (httpx.codes.OK, name)


@pytest.mark.parametrize(
    ("action", "lacking", "status"),
    [("retry", "by", 422), ("retry", "reason", 422), ("compensate", "reason", 422), ("skip", "step", 422)],
)
async def test_nobody_repairs_a_saga_without_saying_who_why_and_what(
    http: httpx.AsyncClient, scene: Scene, shelf: Shelf, action: str, lacking: str, status: int
) -> None:
    scene.go_to("completing")
    answer = await http.post(f"/sagas/{ID}/{action}", json=WISH | {"step": "", lacking: ""})
    assert answer.status_code == status
    assert lacking in {error["path"] for error in answer.json()["errors"]}
    assert shelf.published == []


async def test_an_order_that_nobody_knows_cannot_be_repaired(http: httpx.AsyncClient, shelf: Shelf) -> None:
    for answer in (
        await http.post(f"/sagas/{ID}/retry", json=WISH),
        await http.get(f"/sagas/{ID}"),
        await http.get(f"/sagas/{ID}/repairs/r-1"),
    ):
        assert (answer.status_code, answer.json()["title"]) == (404, "Unknown order")
    assert shelf.published == []


async def test_a_saga_shows_who_asked_for_what_why_and_what_came_of_it(http: httpx.AsyncClient, scene: Scene) -> None:
    scene.go_to("completing")
    scene.take(RetryStep(repair_id="r-1", step="capture", **WHO))
    scene.take(CompensateOrder(repair_id="r-2", **WHO))
    shown = await read(http, f"/sagas/{ID}")
    retried, refused = shown["repairs"]
    assert retried == await read(http, f"/sagas/{ID}/repairs/r-1")
    assert (retried["request"], retried["about"], retried["by"], retried["reason"], retried["outcome"]) == (
        "RetryStep",
        f"{ID} capture",
        "Ben",
        "the provider is back",
        "done",
    )
    assert retried["at"] == scene.order.changed_at.isoformat().replace("+00:00", "Z")
    assert (refused["outcome"], refused["detail"]) == ("refused", "the carrier has the parcels already")
    assert shown["why_not_compensate"]["code"] == "already_shipped"
    assert shown["definition"] == 1
    assert {step["step"] for step in shown["steps"]} == {"reserve", "authorize", "fulfill", "ship", "capture", "issue"}


async def test_a_saga_that_is_being_undone_says_that_nobody_needs_to_turn_it_back(
    http: httpx.AsyncClient, scene: Scene
) -> None:
    scene.go_to("fulfilling")
    assert (await read(http, f"/sagas/{ID}"))["why_not_compensate"] is None
    scene.cancel()
    assert (await read(http, f"/sagas/{ID}"))["why_not_compensate"]["code"] == "already_undoing"


async def test_what_comes_of_a_request_is_waited_for(http: httpx.AsyncClient, scene: Scene) -> None:
    scene.go_to("completing")
    assert (await http.get(f"/sagas/{ID}/repairs/r-1")).status_code == httpx.codes.NOT_FOUND
    waiting = asyncio.create_task(read(http, f"/sagas/{ID}/repairs/r-1?wait_s=10"))
    scene.take(SkipStep(repair_id="r-1", step="issue", **WHO))
    assert (await waiting)["detail"] == "it is taken as done"
