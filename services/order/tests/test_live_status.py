"""Live status: told by any instance, heard by all, and right also while Redis is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import ref

import httpx
import pytest
import uvicorn
from chassis.http.shell import create_app
from chassis.telemetry import Meters
from chassis.testing.stage import Rehearsal, Shelf
from contracts.order import OrderPlaced
from contracts.payment import PaymentDeclined
from oms.stack.ports import free_port
from oms.stack.redis import Redis
from order import live, view
from order.api import router
from order.live import MOST_WAITING, Changes, Live, changes_of
from order.state import Order
from order.view import CHANGES, StatusChange, StatusView, channel_of, connect
from redis.exceptions import RedisError

pytestmark = pytest.mark.integration

Placed = Callable[..., OrderPlaced]
ID = "web:1001"
REST_S = 1.5
DECLINED = PaymentDeclined(order_id=ID, revision=1, attempt=1, code="lost_card", message="")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    server = Redis(tmp_path / "redis", free_port(), detached=False)
    await server.start()
    yield server
    server.resume()
    await server.stop()


@pytest.fixture
def order(stage: Rehearsal, placed: Placed) -> Callable[[], Order]:
    """Says what a placed order is now."""
    stage.take(placed())

    def now() -> Order:
        found = stage.get(Order, ID)
        assert found is not None
        return found

    return now


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


async def test_every_instance_hears_what_any_of_them_tells(redis: Redis, order: Callable[[], Order]) -> None:
    one, other = Live(redis.url), Live(redis.url)
    async with one.listen() as all_orders, other.listen(ID) as this_order, other.listen("web:other") as another:
        assert await one.subscribed(5)
        assert await other.subscribed(5)
        await StatusView(redis.url).show([StatusChange.of(order())])
        heard = await all_orders.get()
        assert heard == await this_order.get() == StatusChange.of(order())
        assert another.empty()


async def test_who_has_another_database_of_the_same_redis_hears_only_his_own_orders(
    redis: Redis, order: Callable[[], Order]
) -> None:
    other = redis.url.removesuffix("/0") + "/1"
    ours, theirs = StatusChange.of(order()), StatusChange.of(order().but(version=2))
    hub = Live(redis.url)
    async with hub.listen() as changes:
        assert await hub.subscribed(5)
        await StatusView(other).show([theirs])
        await StatusView(redis.url).show([ours])
        assert await changes.get() == ours


async def test_what_is_to_be_told_of_an_order_does_not_hold_it(order: Callable[[], Order]) -> None:
    """Of ten thousand orders it may have to wait for Redis."""
    changed = order().but(version=2)
    held, told = ref(changed), StatusView.of(changed)
    del changed
    assert held() is None
    assert told is not None
    assert told.version == 2


async def test_nobody_is_subscribed_when_nobody_listens(redis: Redis) -> None:
    hub = Live(redis.url)
    async with hub.listen(ID):
        async with hub.listen(ID):
            assert await hub.subscribed(5)
        assert await hub.subscribed(0)
    await soon(lambda: not hub._subscribed.is_set())
    assert hub._listeners == {}
    async with hub.listen():
        assert await hub.subscribed(5)


async def test_a_subscription_that_ends_is_not_taken_for_the_next_one(redis: Redis) -> None:
    hub = Live(redis.url)
    async with hub.listen():
        assert await hub.subscribed(5)
    async with hub.listen():
        assert not await hub.subscribed(0)
        assert await hub.subscribed(5)


async def test_a_listener_that_does_not_keep_up_is_told_that_changes_are_missing(
    redis: Redis, order: Callable[[], Order]
) -> None:
    hub = Live(redis.url)
    async with hub.listen() as changes:
        hub._hand_out(tuple(StatusChange.of(order().but(version=version)) for version in range(MOST_WAITING + 2)))
        heard = [changes.get_nowait() for _ in range(changes.qsize())]
        assert [change and change.version for change in heard] == [None, MOST_WAITING, MOST_WAITING + 1]


async def test_what_cannot_be_read_ends_the_live_status_of_nobody(redis: Redis, order: Callable[[], Order]) -> None:
    hub = Live(redis.url)
    async with hub.listen(ID) as changes, connect(redis.url) as channel:
        assert await hub.subscribed(5)
        told = CHANGES.dump_json((StatusChange.of(order()),))
        name = channel_of(channel)
        await channel.publish(name, told.replace(b'"reserving"', b'"on_hold"'))  # as a newer version may say
        await channel.publish(name, told)
        async with asyncio.timeout(5):
            assert await changes.get() is None
            assert await changes.get() == StatusChange.of(order())


async def test_a_redis_that_hangs_delays_nobody_for_long_and_is_then_left_alone(
    redis: Redis, order: Callable[[], Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "REST_S", REST_S)
    teller = StatusView(redis.url)
    await teller.show([StatusChange.of(order())])
    redis.pause()
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.timeout(10):  # far more than it takes, and it would hang for ever
        with pytest.raises((RedisError, TimeoutError)):
            await teller.show([StatusChange.of(order())])
    redis.resume()
    hub = Live(redis.url)
    async with hub.listen(ID) as changes:
        assert await hub.subscribed(5)
        await teller.show([StatusChange.of(order())])
        assert clock() - began > REST_S
        assert await changes.get() == StatusChange.of(order())  # it had to wait, and was not lost


async def test_an_order_is_followed_by_reading_it_while_redis_is_away(
    redis: Redis, stage: Rehearsal, order: Callable[[], Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_S", 0.02)
    hub = Live(redis.url)
    async with hub.listen(ID) as changes, aclosing(changes_of(order(), changes, Shelf(stage))) as followed:
        assert await hub.subscribed(5)
        assert (await anext(followed)).status == "reserving"
        await redis.stop()
        stage.take(DECLINED)
        assert (await anext(followed)).status == "undoing"


async def test_what_redis_did_not_tell_is_read(
    redis: Redis, stage: Rehearsal, order: Callable[[], Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.02)
    hub = Live(redis.url)
    async with hub.listen(ID) as changes, aclosing(changes_of(order(), changes, Shelf(stage))) as followed:
        await anext(followed)
        stage.take(DECLINED)
        assert (await anext(followed)).status == "undoing"


async def test_an_order_that_is_read_late_never_goes_back(
    stage: Rehearsal, order: Callable[[], Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0)
    shelf = Shelf(stage)
    changes = Changes()
    before = order()
    async with aclosing(changes_of(before, changes, shelf)) as followed:
        assert (await anext(followed)).version == 1
        for version in (3, 2, 4):
            changes.put_nowait(StatusChange.of(before.but(version=version)))
        assert [(await anext(followed)).version for _ in range(2)] == [3, 4]


# Over HTTP.


@pytest.fixture
def hub(redis: Redis) -> Live:
    return Live(redis.url)


@pytest.fixture
async def http(hub: Live, stage: Rehearsal) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server: streams are answered piece by piece."""

    async def measure() -> None: ...

    shelf = Shelf(stage)
    app = create_app(
        "order", "", [router(shelf, shelf, hub, timedelta(minutes=5))], lambda: (True, {}), measure, Meters()
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    await soon(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client
    server.should_exit = True
    await serving


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_an_order_is_followed_from_what_it_is_now_on(
    http: httpx.AsyncClient, hub: Live, redis: Redis, stage: Rehearsal, order: Callable[[], Order]
) -> None:
    async with http.stream("GET", f"/orders/{ID}/events") as answer, aclosing(events(answer)) as stream:
        assert (await anext(stream))["status"] == "reserving"
        stage.take(DECLINED)
        await StatusView(redis.url).show([StatusChange.of(order())])
        change = await anext(stream)
    assert change == {
        "order_id": ID,
        "revision": 1,
        "status": "undoing",
        "at": "2026-01-05T12:00:00Z",
        "heard": "PaymentDeclined",
        "version": 2,
    }
    await soon(lambda: hub._listeners == {})


async def test_all_orders_are_followed(http: httpx.AsyncClient, redis: Redis, order: Callable[[], Order]) -> None:
    async with http.stream("GET", "/events") as answer, aclosing(events(answer)) as stream:
        await StatusView(redis.url).show([StatusChange.of(order())])
        assert (await anext(stream))["order_id"] == ID


async def test_following_all_orders_ends_when_changes_may_be_missing(http: httpx.AsyncClient, redis: Redis) -> None:
    async with http.stream("GET", "/events") as answer:
        await redis.stop()
        assert [line async for line in answer.aiter_lines()] == []


async def test_all_orders_cannot_be_followed_without_redis(http: httpx.AsyncClient, redis: Redis) -> None:
    await redis.stop()
    answer = await http.get("/events")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


async def test_an_unknown_order_cannot_be_followed(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("order.api.NEW_ORDER_S", 0)
    answer = await http.get("/orders/web:none/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
