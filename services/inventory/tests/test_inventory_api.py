"""What people and shops see of the stock, and what becomes of what they say."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from chassis.http.shell import create_app
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.inventory import (
    Adjustment,
    AdjustStock,
    ConfigureItem,
    GoodsLine,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    TransferStock,
)
from inventory.api import router
from inventory.decide import Policy, decider, needs
from inventory.view import Availability

LAMPS = (GoodsLine(sku="LAMP", quantity=5),)
DELIVERY = ReceiveStock(movement_id="delivery/1", location="BERLIN", lines=LAMPS, reference="PO 17")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Rehearsal(needs, decider(Policy(backorder_queue_max_orders=9))))


@pytest.fixture
async def api(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    async def measure() -> None:
        """Nothing is measured here."""

    nowhere = Availability("redis://127.0.0.1:1/0", settle_s=0, refresh_s=60)
    app = create_app("inventory", "", [router(shelf, shelf, nowhere)], lambda: (True, {}), measure, Meters())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as client,
    ):
        yield client


def reserve(number: int, quantity: int, when_short: str = "backorder", location: str = "BERLIN") -> ReserveStock:
    return ReserveStock.model_validate(
        {
            "order_id": f"web:{number}",
            "revision": 1,
            "attempt": 1,
            "location": location,
            "lines": (GoodsLine(sku="LAMP", quantity=quantity),),
            "when_short": when_short,
        }
    )


def problem(answer: httpx.Response) -> tuple[int, list[str]]:
    """The status and the fields that are wrong."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, [error["path"] for error in answer.json().get("errors", ())]


async def test_goods_that_arrive_become_a_message(shelf: Shelf, api: httpx.AsyncClient) -> None:
    answer = await api.post("/movements/receive", json=DELIVERY.model_dump(mode="json"))

    assert answer.status_code == 202
    assert answer.headers["Location"] == "/movements/BERLIN/delivery%2F1"
    assert answer.json() == {
        "status_url": "/movements/BERLIN/delivery%2F1",
        "location": "BERLIN",
        "movement_id": "delivery/1",
    }
    assert shelf.published == [DELIVERY]
    assert type(shelf.published[0]) is ReceiveStock


async def test_a_movement_without_an_id_gets_one(shelf: Shelf, api: httpx.AsyncClient) -> None:
    body = {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 5}]}

    first, second = [(await api.post("/movements/receive", json=body)).json()["movement_id"] for _ in range(2)]

    assert first != second
    assert [message.movement_id for message in shelf.published if isinstance(message, ReceiveStock)] == [first, second]


async def test_what_a_shop_leaves_out_is_left_out_of_the_message(shelf: Shelf, api: httpx.AsyncClient) -> None:
    """An instance of before would refuse a field that it does not know, also where it has nothing but its default."""
    await api.post("/movements/receive", json={"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 5}]})
    await api.put("/items/BERLIN/LAMP", json={"bin": "A-1"})

    receipt, item = shelf.published
    assert receipt.model_fields_set == {"movement_id", "location", "lines"}
    assert item.model_fields_set == {"location", "sku", "bin"}


async def test_corrections_and_transfers_become_messages(shelf: Shelf, api: httpx.AsyncClient) -> None:
    adjust = AdjustStock(
        movement_id="count 1", location="BERLIN", lines=(Adjustment(sku="LAMP", change=-1),), reason="broken"
    )
    transfer = TransferStock(movement_id="truck 1", location="BERLIN", to_location="LYON", lines=LAMPS)

    await api.post("/movements/adjust", json=adjust.model_dump(mode="json"))
    await api.post("/movements/transfer", json=transfer.model_dump(mode="json"))

    assert shelf.published == [adjust, transfer]


async def test_the_same_movement_again_is_the_same_movement(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(DELIVERY)

    answer = await api.post("/movements/receive", json=DELIVERY.model_dump(mode="json"))

    assert (answer.status_code, answer.headers["Location"]) == (202, "/movements/BERLIN/delivery%2F1")
    assert shelf.published == []


async def test_an_id_that_names_another_movement_is_refused(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(DELIVERY)
    other = DELIVERY.model_dump(mode="json") | {"lines": [{"sku": "LAMP", "quantity": 6}]}

    assert problem(await api.post("/movements/receive", json=other)) == (409, ["movement_id"])
    assert shelf.published == []


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("receive", {"location": "BERLIN", "lines": []}, ["lines"]),
        (
            "receive",
            {"location": "berlin", "lines": [{"sku": "LAMP", "quantity": 0}]},
            ["location", "lines[0].quantity"],
        ),
        ("receive", {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": "5"}]}, ["lines[0].quantity"]),
        ("receive", {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 10**30}]}, ["lines[0].quantity"]),
        ("receive", {"location": "BERLIN", "lines": [{"sku": "LA\u0000MP", "quantity": 1}]}, ["lines[0].sku"]),
        ("receive", {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 1}], "colour": "red"}, ["colour"]),
        ("receive", {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 1, "bin": "A"}]}, ["lines[0].bin"]),
        (
            "transfer",
            {"location": "A", "to_location": "B", "lines": [{"sku": "X", "n": 1, "quantity": 1}]},
            ["lines[0].n"],
        ),
        (
            "adjust",
            {"location": "BERLIN", "lines": [{"sku": "LAMP", "change": 1, "why": ""}]},
            ["lines[0].why", "reason"],
        ),
        ("transfer", {"location": "BERLIN", "lines": [{"sku": "LAMP", "quantity": 1}]}, ["to_location"]),
    ],
)
async def test_what_is_wrong_with_a_movement_is_named(
    shelf: Shelf, api: httpx.AsyncClient, path: str, body: dict[str, object], wrong: list[str]
) -> None:
    assert problem(await api.post(f"/movements/{path}", json=body)) == (422, wrong)
    assert shelf.published == []


async def test_shows_what_became_of_a_movement(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(DELIVERY, TransferStock(movement_id="t", location="BERLIN", to_location="BERLIN", lines=LAMPS))

    done = (await api.get("/movements/BERLIN/delivery%2F1")).json()
    refused = (await api.get("/movements/BERLIN/t")).json()

    assert done == {
        "location": "BERLIN",
        "movement_id": "delivery/1",
        "what": "receive",
        "state": "done",
        "lines": [{"sku": "LAMP", "change": 5}],
        "note": "PO 17",
        "reported_by": "",
        "arrival_id": "",
        "transfer_id": "",
        "from_location": None,
        "reasons": [],
        "at": "2026-01-05T12:00:00Z",
    }
    assert (refused["state"], [reason["path"] for reason in refused["reasons"]]) == ("refused", ["to_location"])


async def test_says_and_shows_who_reported_it(shelf: Shelf, api: httpx.AsyncClient) -> None:
    await api.post("/movements/receive", json=DELIVERY.model_dump(mode="json") | {"reported_by": "Ann"})
    await api.put("/items/BERLIN/LAMP", json={"bin": "A-1", "reported_by": "Ben"})
    shelf.stage.take(*shelf.published)

    movement = (await api.get("/movements/BERLIN/delivery%2F1")).json()
    (line,) = (await api.get("/ledger", params={"location": "BERLIN", "sku": "LAMP"})).json()["lines"]

    assert shelf.published[1] == ConfigureItem(location="BERLIN", sku="LAMP", bin="A-1", reported_by="Ben")
    assert (movement["reported_by"], line["reported_by"]) == ("Ann", "Ann")


async def test_shows_by_which_movement_a_transfer_arrives_and_which_one_an_arrival_is_of(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    sent = TransferStock(movement_id="truck 1", location="BERLIN", to_location="LYON", lines=LAMPS)
    too_many = sent.model_copy(update={"movement_id": "truck 2"})
    _, arrival, *_ = shelf.stage.take(DELIVERY, sent)[2:]
    shelf.stage.take(arrival, too_many)

    left = (await api.get("/movements/BERLIN/truck 1")).json()
    arrived = (await api.get(f"/movements/LYON/{left['arrival_id']}")).json()
    refused = (await api.get("/movements/BERLIN/truck 2")).json()

    assert (arrived["transfer_id"], arrived["from_location"], arrived["arrival_id"]) == ("truck 1", "BERLIN", "")
    assert (refused["state"], refused["arrival_id"]) == ("refused", "")


async def test_an_unknown_movement_is_not_found(api: httpx.AsyncClient) -> None:
    assert problem(await api.get("/movements/BERLIN/truck")) == (404, [])


async def test_says_how_an_item_is_kept(shelf: Shelf, api: httpx.AsyncClient) -> None:
    answer = await api.put("/items/BERLIN/LAMP", json={"bin": "A-1", "low_threshold": 2, "substitutes": ["TORCH"]})

    assert (answer.status_code, answer.headers["Location"]) == (202, "/stock/BERLIN/LAMP")
    assert shelf.published == [
        ConfigureItem(location="BERLIN", sku="LAMP", bin="A-1", low_threshold=2, substitutes=("TORCH",))
    ]


async def test_an_item_that_nobody_knew_is_waited_for(shelf: Shelf, api: httpx.AsyncClient) -> None:
    answer = await api.put("/items/BERLIN/LAMP", json={"bin": "A-1"})
    waiting = asyncio.create_task(api.get(answer.headers["Location"], params={"wait_s": 10}))
    await asyncio.sleep(0)
    shelf.stage.take(*shelf.published)

    assert (await waiting).json()["bin"] == "A-1"
    assert problem(await api.get("/stock/BERLIN/VASE", params={"wait_s": 31})) == (422, ["wait_s"])


async def test_what_is_wrong_with_an_item_is_named(api: httpx.AsyncClient) -> None:
    assert problem(await api.put("/items/BERLIN/LAMP", json={"bin": "A 1", "low": 2})) == (422, ["bin", "low"])
    assert problem(await api.put("/items/berlin/LAMP", json={})) == (422, ["location"])


async def test_shows_an_item_and_who_waits_for_it(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(DELIVERY, reserve(1, 4), reserve(2, 3), reserve(3, 2))

    assert (await api.get("/stock/BERLIN/LAMP")).json() == {
        "location": "BERLIN",
        "sku": "LAMP",
        "available": 0,
        "reserved": 5,
        "shipped": 0,
        "received": 5,
        "bin": "",
        "low_threshold": 0,
        "low": False,
        "substitutes": [],
        "waiting_orders": 2,
        "waiting_units": 4,
    }
    assert problem(await api.get("/stock/BERLIN/VASE")) == (404, [])


async def test_says_what_is_available_without_redis(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(DELIVERY, reserve(1, 2), DELIVERY.model_copy(update={"location": "LYON"}))

    asked = await api.get("/availability", params={"sku": ["LAMP", "VASE"], "location": ["BERLIN", "PARIS"]})
    anywhere = await api.get("/availability", params={"sku": ["LAMP", "VASE"]})

    assert asked.json()["levels"] == [
        {"location": "BERLIN", "sku": "LAMP", "available": 3, "reserved": 2},
        {"location": "BERLIN", "sku": "VASE", "available": 0, "reserved": 0},
        {"location": "PARIS", "sku": "LAMP", "available": 0, "reserved": 0},
        {"location": "PARIS", "sku": "VASE", "available": 0, "reserved": 0},
    ]
    assert anywhere.json()["levels"] == [
        {"location": "BERLIN", "sku": "LAMP", "available": 3, "reserved": 2},
        {"location": "LYON", "sku": "LAMP", "available": 5, "reserved": 0},
    ]


@pytest.mark.parametrize(
    ("query", "wrong"), [("", ["sku"]), ("sku=LA%20MP", ["sku[0]"]), ("sku=LAMP&location=berlin", ["location[0]"])]
)
async def test_what_is_wrong_with_a_question_is_named(api: httpx.AsyncClient, query: str, wrong: list[str]) -> None:
    assert problem(await api.get(f"/availability?{query}")) == (422, wrong)


async def test_the_ledger_shows_every_movement_of_an_item_page_by_page(shelf: Shelf, api: httpx.AsyncClient) -> None:
    more = DELIVERY.model_copy(update={"movement_id": "delivery/2", "lines": (GoodsLine(sku="LAMP", quantity=2),)})
    shelf.stage.take(DELIVERY, reserve(1, 6), more)

    first = (await api.get("/ledger", params={"location": "BERLIN", "sku": "LAMP", "limit": 2})).json()
    second = (
        await api.get("/ledger", params={"location": "BERLIN", "sku": "LAMP", "limit": 2, "cursor": first["next"]})
    ).json()

    assert [
        (line["number"], line["cause_url"], line["available"], line["reserved"], line["allocated_to"])
        for line in first["lines"] + second["lines"]
    ] == [
        (3, "/movements/BERLIN/delivery/2", 2, 0, ""),
        (3, "/movements/BERLIN/delivery/2", -1, 1, "BERLIN/web:1/1/1"),
        (2, "/reservations/BERLIN/web:1/1/1", -5, 5, ""),
        (1, "/movements/BERLIN/delivery/1", 5, 0, ""),
    ]
    assert (second["next"], second["lines"][0]["note"]) == (None, "PO 17")
    for line in first["lines"] + second["lines"]:
        assert (await api.get(line["cause_url"])).status_code == 200


async def test_the_ledger_is_that_of_an_item_in_a_location(api: httpx.AsyncClient) -> None:
    assert problem(await api.get("/ledger?limit=0")) == (422, ["limit", "location", "sku"])


async def test_lists_who_waits_in_order_of_arrival(shelf: Shelf, api: httpx.AsyncClient) -> None:
    shelf.stage.take(*(ConfigureItem(location=location, sku="LAMP") for location in ("BERLIN", "LYON")))
    shelf.stage.take(*(reserve(number, 1) for number in (3, 1, 2)), reserve(4, 1, location="LYON"))
    shelf.stage.take(ReleaseStock(order_id="web:1", revision=1, attempt=1, location="BERLIN"))
    waiting: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get("/backorders", params={"location": "BERLIN", "limit": 1, **cursor})).json()
        waiting += [shown["order_id"] for shown in page["reservations"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert waiting == ["web:3", "web:2"]


async def test_shows_what_was_reserved_for_an_order(shelf: Shelf, api: httpx.AsyncClient) -> None:
    announced = ConfigureItem(location="LYON", sku="LAMP")
    shelf.stage.take(DELIVERY, reserve(1, 9, "refuse"), announced, reserve(1, 2, location="LYON"))

    every = (await api.get("/reservations", params={"order_id": "web:1"})).json()["reservations"]

    assert [(shown["location"], shown["state"]) for shown in every] == [("BERLIN", "rejected"), ("LYON", "waiting")]
    assert every[0]["shortages"] == [{"sku": "LAMP", "requested": 9, "available": 5, "substitutes": []}]
    assert (await api.get("/reservations/LYON/web:1/1/1")).json() == every[1]
    assert problem(await api.get("/reservations/LYON/web:1/1/2")) == (404, [])
    assert problem(await api.get("/reservations/LYON/web/1/0")) == (422, ["order_id", "attempt"])


async def test_shows_all_that_was_reserved_for_an_order_that_was_placed_often(
    shelf: Shelf, api: httpx.AsyncClient
) -> None:
    shelf.stage.take(*(reserve(1, 9, "refuse").model_copy(update={"revision": revision}) for revision in range(1, 121)))

    every = (await api.get("/reservations", params={"order_id": "web:1"})).json()["reservations"]

    assert sorted(shown["revision"] for shown in every) == list(range(1, 121))
