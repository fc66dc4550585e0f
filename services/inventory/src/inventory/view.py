"""Availability in Redis: a copy of the levels, thrown away and made again from the store when it may lack something.

throughline:inventory:availability:<location>    a hash: SKU -> `<version> <available> <reserved>`
throughline:inventory:availability:locations     the set of locations that have a hash
throughline:inventory:availability:complete      there while the hashes hold everything that the store holds
throughline:inventory:availability:rebuilding    who is making the copy again
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import NamedTuple, TypeVar
from uuid import uuid4

from chassis.decision import Document
from chassis.kinds import UnreadableDocument
from chassis.ports import BY_ID, Reader, Unavailable
from chassis.telemetry import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from inventory.state import Stock

PREFIX = "throughline:inventory:availability"
READ_WITHIN_S = 0.25
"""How long a reader waits for Redis, in seconds; then the store answers."""
WRITE_WITHIN_S = 5.0
"""How long a write may take, in seconds: nobody waits for it, and to give it up too early costs a whole new copy."""
REST_S = 5.0
"""How long a Redis that did not answer is left alone, in seconds, so that it slows nobody down."""
LOCK_S = 30
"""How long the process that makes the copy again may show no sign of life, in seconds beyond its wait for the store,
before another one may do it."""
PAGE = 1000
"""How many items are read from the store at a time."""

# A level never goes back: a late writer, or a reader of the store that is a second behind, changes nothing.
WRITE = """
for i = 1, #ARGV, 5 do
  local hash = KEYS[1] .. ':' .. ARGV[i]
  local old = redis.call('HGET', hash, ARGV[i + 1])
  if not old or tonumber(string.match(old, '^%d+')) < tonumber(ARGV[i + 2]) then
    redis.call('HSET', hash, ARGV[i + 1], ARGV[i + 2] .. ' ' .. ARGV[i + 3] .. ' ' .. ARGV[i + 4])
    redis.call('SADD', KEYS[1] .. ':locations', ARGV[i])
  end
end
"""
READ = """
if redis.call('EXISTS', KEYS[1] .. ':complete') == 0 then
  return nil
end
local most = tonumber(ARGV[1])
local skus, locations, found = {}, {}, {}
for i = 2, #ARGV do
  if i <= most + 1 then skus[#skus + 1] = ARGV[i] else locations[#locations + 1] = ARGV[i] end
end
if #locations == 0 then
  locations = redis.call('SMEMBERS', KEYS[1] .. ':locations')
end
for _, location in ipairs(locations) do
  for i, level in ipairs(redis.call('HMGET', KEYS[1] .. ':' .. location, unpack(skus))) do
    if level then found[#found + 1] = location .. ' ' .. skus[i] .. ' ' .. level end
  end
end
return found
"""
FORGET = """
for _, location in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':locations')) do
  redis.call('UNLINK', KEYS[1] .. ':' .. location)
end
redis.call('UNLINK', KEYS[1] .. ':locations', KEYS[1] .. ':complete', KEYS[1] .. ':rebuilding')
"""
# A process that makes the copy may go on only while it holds the lock, which goes when the copy is thrown away.
GO_ON = """
if redis.call('GET', KEYS[1] .. ':rebuilding') ~= ARGV[1] then
  return 0
end
return redis.call('EXPIRE', KEYS[1] .. ':rebuilding', ARGV[2])
"""
FINISH = """
if redis.call('GET', KEYS[1] .. ':rebuilding') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1] .. ':complete', '1', 'PX', ARGV[2])
return redis.call('UNLINK', KEYS[1] .. ':rebuilding')
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Level:
    """How much of an item a location has."""

    location: str
    sku: str
    available: int
    reserved: int


class VersionedLevel(NamedTuple):
    """A level as it is shown, its fields in the order in which WRITE takes them."""

    location: str
    sku: str
    version: int
    available: int
    reserved: int

    @classmethod
    def of(cls, stock: Stock) -> "VersionedLevel":
        return cls(stock.location, stock.sku, stock.version, stock.available, stock.reserved)


class Patience:
    """How long Redis is waited for. When it does not answer by then, it is left alone for a while."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._rests_until_s = 0.0

    @property
    def rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rests_until_s

    async def ask(self, asked: Callable[[], Awaitable[Answer]]) -> Answer:
        """What Redis answers. Raises Unavailable when it does not, or refuses."""
        try:
            async with asyncio.timeout(self._within_s):
                return await asked()
        except (RedisError, OSError, TimeoutError) as failed:
            self._rests_until_s = asyncio.get_running_loop().time() + REST_S
            raise Unavailable(f"Redis: {type(failed).__name__} {failed}") from failed


class Availability:
    """The copy, as the service writes and reads it; without Redis the levels come from the store.

    `settle_s`: how long the store may lag behind what was shown. `refresh_s`: how long a copy is trusted.
    """

    def __init__(self, redis_url: str, settle_s: float, refresh_s: float) -> None:
        self._redis = Redis.from_url(
            redis_url, decode_responses=True, socket_timeout=WRITE_WITHIN_S, socket_connect_timeout=WRITE_WITHIN_S
        )
        self._write, self._read, self._forget, self._go_on, self._finish = (
            self._redis.register_script(script) for script in (WRITE, READ, FORGET, GO_ON, FINISH)
        )
        self._settle_s = settle_s
        self._refresh_ms = int(refresh_s * 1000)
        self._reading, self._writing = Patience(READ_WITHIN_S), Patience(WRITE_WITHIN_S)
        self._rebuilding: asyncio.Task[None] | None = None
        # Nobody knows what a process before this one had still to show.
        self._lacks_something = True

    @staticmethod
    def of(document: Document) -> VersionedLevel | None:
        return VersionedLevel.of(document) if isinstance(document, Stock) else None

    async def show(self, levels: Sequence[VersionedLevel]) -> None:
        """Write the levels of what changed; see `chassis.service.View`. Raises Unavailable when Redis does not answer.

        What could not be written is not remembered: the copy as a whole is made again.
        """
        if self._writing.rests:
            self._lacks_something = True
            return
        try:
            await self._throw_away_if_needed(self._writing)
            await self._writing.ask(lambda: self._put(levels))
        except BaseException:
            self._lacks_something = True
            raise

    async def levels(self, reader: Reader, skus: Sequence[str], locations: Sequence[str]) -> list[Level]:
        """The levels of these items in these locations, or in all: of those that have ever heard of them."""
        if not self._reading.rests:
            with suppress(Unavailable):
                await self._throw_away_if_needed(self._reading)
                question = [str(len(skus)), *skus, *locations]
                found = await self._reading.ask(lambda: self._read(keys=[PREFIX], args=question))
                if found is not None:
                    return [_level(line) for line in found]
                self._make_again(reader)
        if locations:
            places = [Stock.place(location, sku) for location in locations for sku in skus]
            stocks = await reader.find(Stock, {"id": {"$in": places}}, sort=BY_ID, limit=len(places))
        else:
            stocks = [stock async for page in _pages(reader, {"sku": {"$in": list(skus)}}) for stock in page]
        return [Level(stock.location, stock.sku, stock.available, stock.reserved) for stock in stocks]

    async def close(self) -> None:
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        await self._redis.aclose()

    async def _throw_away_if_needed(self, patience: Patience) -> None:
        if self._lacks_something:
            self._lacks_something = False
            try:
                await patience.ask(lambda: self._forget(keys=[PREFIX]))
            except BaseException:
                self._lacks_something = True
                raise

    def _make_again(self, reader: Reader) -> None:
        if self._rebuilding is None or self._rebuilding.done():
            self._rebuilding = asyncio.create_task(self._rebuild(reader), name="availability")

    async def _rebuild(self, reader: Reader) -> None:
        token = uuid4().hex
        try:
            lock, lasts_s = f"{PREFIX}:rebuilding", LOCK_S + ceil(self._settle_s)
            if not await self._writing.ask(lambda: self._redis.set(lock, token, nx=True, ex=lasts_s)):
                return
            await asyncio.sleep(self._settle_s)
            async for stocks in _pages(reader, {}):
                if not await self._writing.ask(lambda: self._go_on(keys=[PREFIX], args=[token, LOCK_S])):
                    return
                await self._writing.ask(partial(self._put, [VersionedLevel.of(stock) for stock in stocks]))
            await self._writing.ask(lambda: self._finish(keys=[PREFIX], args=[token, self._refresh_ms]))
        except (Unavailable, UnreadableDocument) as failed:
            logger().warning("availability: the copy in Redis is not made again", reason=str(failed))

    def _put(self, levels: Iterable[VersionedLevel]) -> Awaitable[object]:
        return self._write(keys=[PREFIX], args=[field for level in levels for field in level])


async def _pages(reader: Reader, where: Mapping[str, object]) -> AsyncIterator[list[Stock]]:
    """Every stock that matches, however many there are; the last page has fewer than the others."""
    page = await reader.find(Stock, where, sort=BY_ID, limit=PAGE)
    yield page
    while len(page) == PAGE:
        page = await reader.find(Stock, {**where, "id": {"$gt": page[-1].id}}, sort=BY_ID, limit=PAGE)
        yield page


def _level(line: str) -> Level:
    location, sku, _, available, reserved = line.split(" ")
    return Level(location, sku, int(available), int(reserved))
