"""The copy of the levels in Redis: fast while it is whole, never wrong while it is not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
import structlog
from chassis.decision import D
from chassis.kinds import UnreadableDocument
from chassis.ports import Sort, Unavailable
from chassis.testing.stage import Rehearsal, Shelf
from inventory import view
from inventory.decide import Policy, decider, needs
from inventory.state import Stock
from inventory.view import PREFIX, Availability, Level, VersionedLevel
from oms.stack.ports import free_port
from oms.stack.redis import Redis
from redis.asyncio import Redis as Client

pytestmark = pytest.mark.integration

SHORT_S, LONG_S = 0.25, 30.0


class Store(Shelf):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(Rehearsal(needs, decider(Policy(1))))
        self.asked = 0

    def holds(self, *stocks: Stock) -> None:
        self.stage.documents.update({stock.key: stock for stock in stocks})

    async def find(self, model: type[D], where: Mapping[str, object], /, *, sort: Sort, limit: int) -> list[D]:
        self.asked += 1
        return await super().find(model, where, sort=sort, limit=limit)


def lamps(available: int, version: int, location: str = "BERLIN", reserved: int = 0) -> Stock:
    return Stock.at(location, "LAMP").moved(available=available, reserved=reserved).but(version=version)


def level(available: int, version: int) -> VersionedLevel:
    shown = Availability.of(lamps(available, version))
    assert shown is not None
    return shown


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a Redis that is well may take longer than anybody waits for it in earnest."""
    monkeypatch.setattr(view, "READ_WITHIN_S", LONG_S)
    monkeypatch.setattr(view, "WRITE_WITHIN_S", LONG_S)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    server = Redis(tmp_path / "redis", free_port(), detached=False)
    await server.start()
    yield server
    server.resume()
    await server.stop()


@pytest.fixture
async def process(redis: Redis) -> AsyncIterator[Callable[..., Availability]]:
    """Makes what one process has of the copy."""
    async with AsyncExitStack() as ending:

        def begin(settle_s: float = 0, refresh_s: float = 600) -> Availability:
            availability = Availability(redis.url, settle_s, refresh_s)
            ending.push_async_callback(availability.close)
            return availability

        yield begin


@pytest.fixture
async def availability(process: Callable[..., Availability]) -> Availability:
    return process()


async def whole(availability: Availability, store: Store) -> None:
    """Ask, so that the copy is made if it lacks something, and wait until it is."""
    await availability.levels(store, ["LAMP"], ["BERLIN"])
    if availability._rebuilding is not None:
        await availability._rebuilding


async def shown(availability: Availability, store: Store, *locations: str) -> list[tuple[str, int]]:
    """The lamps that are available, without asking the store."""
    before = store.asked
    levels = await availability.levels(store, ["LAMP", "VASE"], locations)
    assert store.asked == before, "the copy was not whole"
    return sorted((level.location, level.available) for level in levels)


@contextmanager
def unanswered(availability: Availability, redis: Redis) -> Iterator[None]:
    """For as long as this lasts Redis answers nobody, and is not waited for long."""
    patiences = (availability._reading, availability._writing)
    redis.pause()
    for patience in patiences:
        patience._within_s = SHORT_S
    try:
        yield
    finally:
        for patience in patiences:
            patience._within_s = LONG_S
        redis.resume()


def rested(patience: view.Patience) -> None:
    """So much time has passed that Redis is asked again."""
    patience._rests_until_s = 0


async def wipe(redis: Redis) -> None:
    async with Client.from_url(redis.url) as client:
        await client.flushall()


async def test_answers_from_the_store_until_the_copy_is_made(availability: Availability, store: Store) -> None:
    store.holds(lamps(3, version=7, reserved=2))

    first = await availability.levels(store, ["LAMP", "VASE"], ["BERLIN"])
    await whole(availability, store)

    assert first == [Level("BERLIN", "LAMP", 3, 2)]
    assert await shown(availability, store, "BERLIN") == [("BERLIN", 3)]


async def test_answers_for_every_location_when_none_is_named(availability: Availability, store: Store) -> None:
    store.holds(lamps(3, version=7), lamps(4, version=1, location="LYON"))
    await whole(availability, store)

    assert await shown(availability, store) == [("BERLIN", 3), ("LYON", 4)]


def more_than_a_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Locations of which two are read at once; each has as many lamps as there are before it."""
    monkeypatch.setattr(view, "PAGE", 2)
    places = ("A", "B", "C", "D", "E")
    store.holds(*(lamps(number, version=1, location=place) for number, place in enumerate(places)))
    return places


async def test_the_store_answers_for_every_location_when_none_is_named_however_many_there_are(
    availability: Availability, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = more_than_a_page(store, monkeypatch)

    levels = await availability.levels(store, ["LAMP", "VASE"], [])

    assert levels == [Level(place, "LAMP", number, 0) for number, place in enumerate(places)]


async def test_makes_the_copy_however_long_the_store_may_lag_behind(
    process: Callable[..., Availability], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "LOCK_S", 1)
    store.holds(lamps(3, version=7))
    availability = process(settle_s=1.5)
    await whole(availability, store)

    assert await shown(availability, store, "BERLIN") == [("BERLIN", 3)]


async def test_makes_the_copy_of_more_than_one_page(
    availability: Availability, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = more_than_a_page(store, monkeypatch)
    await whole(availability, store)

    assert await shown(availability, store, *places) == [("A", 0), ("B", 1), ("C", 2), ("D", 3), ("E", 4)]


async def test_shows_what_changed(availability: Availability, store: Store) -> None:
    await whole(availability, store)

    await availability.show([level(2, version=8)])

    assert await shown(availability, store, "BERLIN") == [("BERLIN", 2)]


async def test_a_late_writer_does_not_bring_back_an_older_level(availability: Availability, store: Store) -> None:
    await whole(availability, store)

    await availability.show([level(2, version=10)])
    await availability.show([level(5, version=9)])

    assert await shown(availability, store, "BERLIN") == [("BERLIN", 2)]


async def test_a_store_that_lags_behind_does_not_bring_back_an_older_level(
    availability: Availability, store: Store
) -> None:
    store.holds(lamps(5, version=9))
    await availability.show([level(2, version=10)])

    await whole(availability, store)

    assert await shown(availability, store, "BERLIN") == [("BERLIN", 2)]


async def test_is_right_after_redis_was_wiped(availability: Availability, store: Store, redis: Redis) -> None:
    store.holds(lamps(3, version=7))
    await whole(availability, store)
    store.holds(lamps(1, version=8))

    await wipe(redis)

    assert await availability.levels(store, ["LAMP"], ["BERLIN"]) == [Level("BERLIN", "LAMP", 1, 0)]
    await whole(availability, store)
    assert await shown(availability, store, "BERLIN") == [("BERLIN", 1)]


async def test_a_level_that_was_shown_after_a_wipe_is_not_taken_for_all_there_is(
    availability: Availability, store: Store, redis: Redis
) -> None:
    store.holds(lamps(3, version=7), lamps(4, version=7, location="LYON"))
    await whole(availability, store)

    await wipe(redis)
    await availability.show([level(1, version=8)])
    levels = await availability.levels(store, ["LAMP"], ["LYON"])

    assert levels == [Level("LYON", "LAMP", 4, 0)]


async def test_is_right_while_redis_does_not_answer_and_afterwards(
    availability: Availability, store: Store, redis: Redis
) -> None:
    store.holds(lamps(3, version=7))
    await whole(availability, store)

    with unanswered(availability, redis):
        meanwhile = await availability.levels(store, ["LAMP"], ["BERLIN"])
        with pytest.raises(Unavailable):
            await availability.show([level(2, version=8)])
        store.holds(lamps(2, version=8))
    rested(availability._reading)
    await whole(availability, store)
    afterwards = await shown(availability, store, "BERLIN")
    await availability.show([level(1, version=9)])  # Redis is still left alone
    store.holds(lamps(1, version=9))
    rested(availability._writing)
    await whole(availability, store)

    assert meanwhile == [Level("BERLIN", "LAMP", 3, 0)]
    assert afterwards == [("BERLIN", 2)], "what was missed is there"
    assert await shown(availability, store, "BERLIN") == [("BERLIN", 1)]


async def test_is_not_made_again_from_what_cannot_be_read(
    availability: Availability, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for the next who asks, and the one who asked now is told what is wrong."""
    store.holds(lamps(3, version=7))
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logged:
        patch.setattr(store, "find", AsyncMock(side_effect=UnreadableDocument("stock/BERLIN/LAMP: version: wrong")))
        with pytest.raises(UnreadableDocument):
            await whole(availability, store)
        assert availability._rebuilding is not None
        await availability._rebuilding

    assert [line["reason"] for line in logged] == ["stock/BERLIN/LAMP: version: wrong"]


async def test_is_right_after_redis_refused_a_write(availability: Availability, store: Store, redis: Redis) -> None:
    store.holds(lamps(3, version=7))
    await whole(availability, store)

    async with Client.from_url(redis.url) as client:
        await client.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match="maxmemory"):
            await availability.show([level(1, version=8)])
        await client.config_set("maxmemory", 0)
    store.holds(lamps(1, version=8))
    rested(availability._writing)
    await whole(availability, store)

    assert await shown(availability, store, "BERLIN") == [("BERLIN", 1)]


async def test_leaves_a_redis_alone_that_does_not_answer(
    availability: Availability, store: Store, redis: Redis
) -> None:
    store.holds(lamps(3, version=7))
    clock = asyncio.get_running_loop().time

    with unanswered(availability, redis):
        await availability.levels(store, ["LAMP"], ["BERLIN"])
        with pytest.raises(Unavailable):
            await availability.show([level(3, version=7)])
        begun = clock()
        for version in range(100):
            await availability.show([level(3, version=version)])
            assert await availability.levels(store, ["LAMP"], ["BERLIN"]) == [Level("BERLIN", "LAMP", 3, 0)]
        took_s = clock() - begun

    assert took_s < 10 * SHORT_S, "it was asked each time"


async def test_what_an_earlier_process_showed_or_failed_to_show_is_thrown_away(
    process: Callable[..., Availability], store: Store
) -> None:
    earlier = process()
    await whole(earlier, store)
    await earlier.show([level(9, version=99)])
    store.holds(lamps(3, version=7))  # the store was wiped or restored, and counts again

    later = process()
    await whole(later, store)

    assert await shown(later, store, "BERLIN") == [("BERLIN", 3)]
    assert await shown(later, store) == [("BERLIN", 3)]


async def test_only_one_process_makes_the_copy(process: Callable[..., Availability], store: Store) -> None:
    one, other = process(settle_s=0.3), process(settle_s=0.3)
    await one.show([level(1, version=1)])
    await other.show([level(1, version=1)])
    store.holds(lamps(3, version=7))
    await asyncio.gather(one.levels(store, ["LAMP"], []), other.levels(store, ["LAMP"], []))
    store.asked = 0

    await asyncio.gather(whole(one, store), whole(other, store))

    asked_for_levels, pages = 2, 1
    assert store.asked == asked_for_levels + pages
    assert await shown(one, store, "BERLIN") == [("BERLIN", 3)]


@pytest.mark.parametrize("stocks", [(), (lamps(3, version=7),)], ids=["of nothing", "of something"])
async def test_a_copy_that_was_thrown_away_while_it_was_made_is_not_taken_for_whole(
    process: Callable[..., Availability], store: Store, redis: Redis, stocks: tuple[Stock, ...]
) -> None:
    one = process(settle_s=0.2)
    store.holds(*stocks)
    await one.levels(store, ["LAMP"], [])

    await process().show([level(2, version=8)])
    assert one._rebuilding is not None
    await one._rebuilding

    async with Client.from_url(redis.url) as client:
        assert not await client.exists(f"{PREFIX}:complete")


async def test_a_copy_is_trusted_for_so_long_only(
    process: Callable[..., Availability], redis: Redis, store: Store
) -> None:
    availability = process(refresh_s=60)
    await whole(availability, store)

    async with Client.from_url(redis.url) as client:
        assert 59_000 < await client.pttl(f"{PREFIX}:complete") <= 60_000
