"""`docs/how-an-order-flows.md` says what is true: its tables are compared with orders on the real engines."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from chassis.mongo.raw import content_of
from contracts.order import OrderCancelled, OrderCompleted
from contracts.record import Record
from contracts.shipping import ShipmentDelivered
from contracts.topics import SERVICES
from oms.fleet import Addresses
from oms.log import LogReader
from oms.stack.process import until
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from tests.integration.shop import ADDRESS, Shop
from tests.integration.witness import PATIENCE_S
from tests.pages import ROOT, Page, names_in

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

PAGE = Page(ROOT / "docs" / "how-an-order-flows.md")
QUANTITY, STOCKED = 2, 10


@dataclass(frozen=True)
class Story:
    """An order that has run its course, and what of it is on the topics and in the journals."""

    order: str
    item: str
    said: list[Record]
    entries: dict[str, list[tuple[set[str], list[str]]]]
    """By service, of each journal entry the collections that it changed and the types of the messages that it said."""

    def key(self, what: str) -> str:
        """The key of a message, by what the page calls it."""
        return {"order": self.order, "location": "LON", "location and item": f"LON/{self.item}"}[what]


async def _told(order: str, item: str, stack: Addresses) -> Story:
    said = []
    async with LogReader(stack.kafka) as log:
        async for records in log.read(await log.spans()):
            said += [record for record in records if order.encode() in (record.key, _header(record, "correlationid"))]
    entries: dict[str, list[tuple[set[str], list[str]]]] = {}
    async with AsyncMongoClient(stack.mongo) as mongo:
        for service in SERVICES:
            found = [
                (raw["number"], content)
                async for raw in mongo[service]["journal"].find()
                if _is_about(order, content := content_of(raw))
            ]
            entries[service] = [
                (
                    {key.partition("/")[0] for key, *_ in content["changes"]},
                    [dict(headers)["ce_type"].decode() for *_, headers in content["outbox"]],
                )
                for _, content in sorted(found, key=lambda one: one[0])
            ]
    return Story(order, item, said, entries)


def _header(record: Record, name: str) -> bytes:
    return dict(record.headers).get(f"ce_{name}", b"")


def _is_about(order: str, content: dict[str, list[list[object]]]) -> bool:
    return any(order in str(key).split("/") for key, *_ in content["changes"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def completed(shop: Shop, stack: Addresses) -> Story:
    item = await shop.stocked(LON=STOCKED)
    order = await shop.place({item: QUANTITY})
    await shop.witness.hears(order, OrderCompleted)
    await shop.witness.hears(order, ShipmentDelivered)
    await shop.reads(f"order/orders/{order}", lambda shown: shown["timeline"][-1]["heard"] == "ShipmentDelivered")
    await shop.reads(f"shipping/shipments/{order}", lambda shown: shown["shipments"][0]["state"] == "delivered")
    return await _told(order, item, stack)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def undone(shop: Shop, stack: Addresses) -> Story:
    item = await shop.stocked(LON=STOCKED)
    order = await shop.place({item: QUANTITY}, shipping_address={**ADDRESS, "postal_code": "00000"})
    await shop.witness.hears(order, OrderCancelled)
    return await _told(order, item, stack)


@pytest_asyncio.fixture(params=["completed", "undone"], loop_scope="session")
async def story(request: pytest.FixtureRequest, completed: Story, undone: Story) -> AsyncIterator[tuple[str, Story]]:
    yield f"an order that is {request.param}", {"completed": completed, "undone": undone}[request.param]


async def test_every_message_is_in_the_table_and_the_table_names_no_other(story: tuple[str, Story]) -> None:
    title, told = story
    types = {_header(record, "id").decode(): _header(record, "type").decode() for record in told.said}
    said = [
        (_header(one, "type").decode(), one.topic, (one.key or b"").decode(), _cause_of(one, types))
        for one in told.said
    ]

    for _, message, topic, key, cause in PAGE.table_after(f"Messages of {title}"):
        causes = names_in(cause) or [""]
        fitting = [one for one in said if one[:3] == (message, *names_in(topic), told.key(key)) and one[3] in causes]
        assert fitting, f"{message} because of {cause}: it is none of {said}"
        said.remove(fitting[0])

    assert said == []


def _cause_of(record: Record, types: dict[str, str]) -> str:
    """What led to a message, by what the page calls it: a message's type, a call, or whose alarm."""
    cause = _header(record, "causationid").decode()
    if cause.startswith("call:"):
        return cause.rpartition("/")[2]
    return cause.removeprefix("alarm:").partition("/")[0] if cause.startswith("alarm:") else types.get(cause, cause)


async def test_every_entry_changes_and_says_what_the_table_has(story: tuple[str, Story]) -> None:
    title, told = story
    rows = PAGE.table_after(f"Writes of {title}")
    for service in SERVICES:
        ours = [(set(_changed(changes)), names_in(says)) for who, _, changes, says in rows if who == service]
        # A busy machine makes one entry of what is two in the table.
        assert len(told.entries[service]) <= len(ours)
        assert _all(said for _, said in told.entries[service]) == _all(said for _, said in ours)
        assert set().union(*(kinds for kinds, _ in told.entries[service])) == set().union(*(kinds for kinds, _ in ours))


def _changed(cell: str) -> list[str]:
    """The collections; what follows a colon is about the document."""
    return names_in(cell.partition(":")[0])


def _all(parts: Iterable[list[str]]) -> list[str]:
    return [one for part in parts for one in part]


async def test_the_documents_are_where_the_table_says(completed: Story, stack: Addresses) -> None:
    names = {"<order>": completed.order, "<item>": completed.item, "<location>": "LON", "<number>": ".+"}
    async with AsyncMongoClient(stack.mongo) as mongo:
        for service, collection, document, end in PAGE.table_after("Documents"):
            (pattern,) = names_in(document)
            for name, value in names.items():
                pattern = pattern.replace(name, value)
            found = await mongo[service][names_in(collection)[0]].find({"_id": {"$regex": f"^{pattern}$"}}).to_list()
            assert found, f"{service}.{collection} {pattern}"
            assert all(any(word in str(one["body"]) for one in found) for word in names_in(end)[-1:])


async def test_the_copy_in_redis_is_where_the_page_says(completed: Story, stack: Addresses) -> None:
    text = PAGE.path.read_text()
    assert "`throughline:inventory:availability:LON` as `<version> <available> <reserved>`" in text
    async with Redis.from_url(stack.redis, decode_responses=True) as redis:

        async def is_there() -> bool:
            copied = str(await redis.hget("throughline:inventory:availability:LON", completed.item))
            version, _, levels = copied.partition(" ")
            return levels == f"{STOCKED - QUANTITY} 0" and int(version) > 0

        assert await until(is_there, PATIENCE_S)
