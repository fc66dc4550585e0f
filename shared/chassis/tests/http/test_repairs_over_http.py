"""What is stuck can be seen over HTTP, and what people ask for becomes a message to the partition concerned."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from chassis.decision import Decision, Document
from chassis.entry import Outgoing
from chassis.http.repairs_api import repairs_router
from chassis.http.shell import create_app
from chassis.ports import Damaged, RecordPlace, Unread
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked, ParkedRecord
from chassis.stuck.repair import Repair
from chassis.telemetry import Meters
from chassis.testing.stage import NOON, Rehearsal, Shelf
from contracts.message import Reason
from contracts.record import Received, Record
from contracts.repair import AcceptGap, DropDeadLetter, ReleaseParked, RetryDeadLetter

WISH = {"by": "kim", "reason": "fixed in 1.4.1"}
UNREAD = 7
"""The offset of a record that stands for a batch."""
AWAY = 9
"""The offset of a record that Kafka does not give."""
DAMAGED = 10
"""The offset of a record whose batch is damaged where Kafka keeps it."""
LOSS = {"topic": "payment.events", "source": "payment/2@aa", "first": 3, "last": 4}


def parked(place: str, partition: int = 2) -> Parked:
    return Parked(
        id=f"{partition}/{place}",
        place=place,
        partition=partition,
        since=NOON,
        why="KeyError",
        reason="KeyError: 'sku'",
        records=(ParkedRecord(topic="order.intake", offset=7, timestamp=1, key=None, value="e30=", headers=()),),
    )


def repair(repair_id: str, partition: int = 2, at: datetime = NOON) -> Repair:
    return Repair(
        id=f"{partition}/{repair_id}",
        repair_id=repair_id,
        partition=partition,
        at=at,
        request="ReleaseParked",
        about="web:1",
        by="kim",
        reason="fixed in 1.4.1",
        outcome="done",
        detail="it goes on",
    )


def letter(offset: int, code: str = "unknown_type") -> DeadLetter:
    return DeadLetter(
        id=f"order.intake/2/{offset}",
        partition=2,
        since=NOON,
        why=code,
        topic="order.intake",
        offset=offset,
        about="web:1",
        reasons=(Reason(path="ce_type", code=code, message="nobody knows it"),),
    )


STUCK: Sequence[Document] = (
    parked("web:1"),
    parked("web:2"),
    parked("web:3").but(open=False, records=()),
    letter(5),
    letter(6, "card_number"),
    letter(8).but(open=False),
    Gap.on_link(2, "payment.events", 9, "payment/2@aa", 3, 4, NOON),
)


def record_at(place: RecordPlace) -> Received:
    if place[2] == UNREAD:
        return Record(*place, 1, None, Unread(b"nobody can read the batch"), ())
    if place[2] == DAMAGED:
        return Record(*place, 1, None, Damaged(b"the checksum is wrong"), ())
    return Record(*place, 1, b"web:1", b'{"order_id": "web:1"}', (("ce_type", b"Odd"),))


class Topics:
    """The log, as the API reads it."""

    @staticmethod
    def partition_of(_: str) -> int:
        return 0

    @staticmethod
    async def publish(_: Sequence[Outgoing]) -> None:
        raise NotImplementedError

    @staticmethod
    async def read(places: Collection[RecordPlace]) -> Mapping[RecordPlace, Received | None]:
        return {place: record_at(place) for place in places if place[2] != AWAY}


class Desk:
    """The API of the order service as an operator's client sees it."""

    def __init__(self) -> None:
        stage = Rehearsal(lambda *_: (), lambda *_: Decision())
        stage.documents.update({document.key: document for document in STUCK})
        self.stage = stage
        self.shelf = Shelf(stage)
        routes = repairs_router("order", self.shelf, self.shelf, Topics())
        app = create_app("Test", "", [routes], lambda: (True, {}), self._measure, Meters())
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    def holds(self, document: Document) -> None:
        """The service remembers this, too."""
        self.stage.documents[document.key] = document

    async def _measure(self) -> None:
        """Nothing is measured here."""

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        answer = await self.client.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self.client.post(path, json={**WISH, **body})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.client:
        yield desk


async def test_tells_how_much_is_stuck_since_when_and_why(desk: Desk) -> None:
    desk.holds(parked("web:1", 0).but(since=NOON - timedelta(hours=1)))
    assert (await desk.get("/stuck"))["stuck"] == [
        {"what": "dead_letter", "why": "card_number", "count": 1, "since": "2026-01-05T12:00:00Z"},
        {"what": "dead_letter", "why": "unknown_type", "count": 1, "since": "2026-01-05T12:00:00Z"},
        {"what": "gap", "why": "numbers missing", "count": 1, "since": "2026-01-05T12:00:00Z"},
        {"what": "parked", "why": "KeyError", "count": 3, "since": "2026-01-05T11:00:00Z"},
    ]


async def test_lists_what_is_parked_page_by_page_without_what_was_released(desk: Desk) -> None:
    first = await desk.get("/parked?limit=1")
    second = await desk.get(f"/parked?limit=1&cursor={first['next']}")
    assert [one["place"] for page in (first, second) for one in page["parked"]] == ["web:1", "web:2"]
    assert second["next"] is None
    assert first["parked"][0]["waiting"] == [{"topic": "order.intake", "offset": 7, "timestamp_ms": 1}]
    assert first["parked"][0]["reason"] == "KeyError: 'sku'"


async def test_lists_in_which_partitions_an_order_is_parked(desk: Desk) -> None:
    desk.holds(parked("web:1", 0))
    listed = await desk.get("/parked?place=web:1")
    assert [(one["place"], one["partition"]) for one in listed["parked"]] == [("web:1", 0), ("web:1", 2)]
    assert (await desk.get("/parked?place=web:3"))["parked"] == []


@pytest.mark.parametrize("place", ["web:1", "LON/bin 7"])
async def test_shows_what_is_parked_in_one_partition(desk: Desk, place: str) -> None:
    desk.holds(parked(place, 0))
    shown = await desk.get(f"/parked/0/{place}")
    assert (shown["place"], shown["partition"]) == (place, 0)


@pytest.mark.parametrize("partition", [0, 2])
async def test_a_release_is_a_message_to_the_partition_concerned(desk: Desk, partition: int) -> None:
    desk.holds(parked("web:1", 0))
    answer = await desk.post(f"/parked/{partition}/web:1/release", repair_id="r-1")
    assert answer.status_code == httpx.codes.ACCEPTED
    wish = {"by": "kim", "reason": "fixed in 1.4.1"}
    assert desk.shelf.published == [
        ReleaseParked(repair_id="r-1", service="order", partition=partition, place="web:1", **wish)
    ]


@pytest.mark.parametrize("repair_id", ["r-1", "Réparation n° 7", "починка", "a?b#c", "50%25"])
async def test_the_answer_to_a_request_of_any_name_leads_to_what_comes_of_it(desk: Desk, repair_id: str) -> None:
    answer = await desk.post("/parked/2/web:1/release", repair_id=repair_id)
    assert answer.json() == {"repair_id": repair_id, "status_url": answer.headers["Location"]}
    desk.holds(repair(repair_id))
    assert (await desk.get(answer.headers["Location"]))["repair_id"] == repair_id


async def test_each_request_gets_a_name_of_its_own(desk: Desk) -> None:
    ids = {(await desk.post("/parked/2/web:1/release")).json()["repair_id"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(("action", "model"), [("retry", RetryDeadLetter), ("drop", DropDeadLetter)])
async def test_a_dead_letter_is_retried_or_dropped_by_its_place(
    desk: Desk, action: str, model: type[RetryDeadLetter | DropDeadLetter]
) -> None:
    answer = await desk.post(f"/dead-letters/order.intake/2/5/{action}", repair_id="r-1")
    assert answer.status_code == httpx.codes.ACCEPTED
    (asked,) = desk.shelf.published
    assert isinstance(asked, model)
    assert (asked.topic, asked.partition, asked.offset) == ("order.intake", 2, 5)


async def test_shows_a_dead_letter_with_what_it_says_unless_that_is_card_data(desk: Desk) -> None:
    whole = await desk.get("/dead-letters/order.intake/2/5")
    card = await desk.get("/dead-letters/order.intake/2/6")
    assert whole["content"] == {
        "encoding": "utf-8",
        "key": "web:1",
        "value": '{"order_id": "web:1"}',
        "headers": [["ce_type", "Odd"]],
    }
    assert whole["about"] == "web:1"
    assert card["content"] is None


async def test_shows_nothing_as_the_content_of_what_nobody_can_read(desk: Desk) -> None:
    desk.holds(letter(UNREAD, "unreadable"))
    assert (await desk.get(f"/dead-letters/order.intake/2/{UNREAD}"))["content"] is None


@pytest.mark.parametrize("offset", [AWAY, DAMAGED])
async def test_says_that_a_record_is_not_to_be_had_at_the_moment(desk: Desk, offset: int) -> None:
    desk.holds(letter(offset))
    answer = await desk.client.get(f"/dead-letters/order.intake/2/{offset}")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE


async def test_lists_the_dead_letters_of_a_topic_that_wait(desk: Desk) -> None:
    listed = await desk.get("/dead-letters?topic=order.intake")
    assert [one["offset"] for one in listed["dead_letters"]] == [5, 6]
    assert (await desk.get("/dead-letters?topic=payment.events"))["dead_letters"] == []


@pytest.mark.parametrize("topic", ["order.intak", "order.intake.dead-letter", "payment.commands"])
async def test_names_the_topics_that_have_dead_letters_here_to_who_asks_for_another(desk: Desk, topic: str) -> None:
    answer = await desk.client.get("/dead-letters", params={"topic": topic})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    (reason,) = answer.json()["errors"]
    assert (reason["path"], reason["code"]) == ("topic", "not_read")
    assert "payment.events" in reason["message"]


async def test_lists_dead_letters_of_a_partition_as_they_came(desk: Desk) -> None:
    for offset in (1000, 998, 10_000):
        desk.holds(letter(offset))
    first = await desk.get("/dead-letters?limit=3")
    second = await desk.get(f"/dead-letters?cursor={first['next']}")
    assert [one["offset"] for page in (first, second) for one in page["dead_letters"]] == [5, 6, 998, 1000, 10_000]


async def test_a_gap_is_accepted_by_saying_exactly_what_is_missing(desk: Desk) -> None:
    (gap,) = (await desk.get("/gaps"))["gaps"]
    assert {name: gap[name] for name in LOSS} == LOSS
    assert gap == await desk.get("/gaps/2")
    answer = await desk.post("/gaps/2/accept", **LOSS)
    assert answer.status_code == httpx.codes.ACCEPTED
    (asked,) = desk.shelf.published
    assert isinstance(asked, AcceptGap)
    assert (asked.topic, asked.source, asked.first, asked.last) == ("payment.events", "payment/2@aa", 3, 4)


async def test_another_gap_than_the_one_that_is_there_is_not_accepted(desk: Desk) -> None:
    answer = await desk.post("/gaps/2/accept", **{**LOSS, "last": 5})
    assert answer.status_code == httpx.codes.CONFLICT
    assert "payment/2@aa sent 5 after 2" in answer.json()["detail"]
    assert desk.shelf.published == []


@pytest.mark.parametrize(
    "path",
    [
        "/parked/2/web:9/release",
        "/parked/2/web:3/release",
        "/parked/0/web:1/release",
        "/dead-letters/order.intake/2/9/retry",
        "/dead-letters/order.intake/2/8/drop",
    ],
)
async def test_what_is_not_stuck_cannot_be_repaired(desk: Desk, path: str) -> None:
    answer = await desk.post(path)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"
    assert desk.shelf.published == []


@pytest.mark.parametrize("lacking", ["by", "reason"])
async def test_nobody_repairs_anything_without_saying_who_and_why(desk: Desk, lacking: str) -> None:
    answer = await desk.post("/parked/2/web:1/release", **{lacking: ""})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["path"] for error in answer.json()["errors"]] == [lacking]
    assert desk.shelf.published == []


async def test_shows_what_came_of_a_request(desk: Desk) -> None:
    unknown = await desk.client.get("/repairs/r-1")
    desk.holds(repair("r-1"))
    assert unknown.status_code == httpx.codes.NOT_FOUND
    shown = await desk.get("/repairs/r-1")
    assert (shown["outcome"], shown["by"], shown["about"]) == ("done", "kim", "web:1")
    assert (await desk.get("/repairs"))["repairs"] == [shown]


async def test_of_requests_of_one_name_to_several_partitions_the_latest_is_shown(desk: Desk) -> None:
    for partition, at in ((0, NOON), (1, NOON + timedelta(minutes=1)), (2, NOON - timedelta(minutes=1))):
        desk.holds(repair("r-1", partition, at))
    assert (await desk.get("/repairs/r-1"))["partition"] == 1
    first = await desk.get("/repairs?limit=2")
    second = await desk.get(f"/repairs?cursor={first['next']}")
    assert [one["partition"] for page in (first, second) for one in page["repairs"]] == [1, 0, 2]
