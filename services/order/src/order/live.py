"""Tells listeners how orders go on: one subscription to Redis an instance, for as many listeners as there are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from chassis.ports import Reader
from chassis.telemetry import logger
from pydantic import ValidationError
from redis.exceptions import RedisError

from order.state import Order
from order.view import CHANGES, StatusChange, channel_of, connect

EVERY_ORDER = ""
MOST_WAITING = 1000
"""The most changes that wait for a listener; one that is slower misses them, and is told so."""
RETRY_S = 1.0
LOOK_AGAIN_S = 5.0
"""How long a follower hears nothing of its order before that is read, in seconds: Redis may not have told."""

Changes = asyncio.Queue[StatusChange | None]
"""The changes as they come; None says that some may be missing from here on."""


class Live:
    """Hands what is heard on the channel to those who listen; it is subscribed only while somebody does."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._listeners: dict[str, set[Changes]] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @asynccontextmanager
    async def listen(self, order_id: str = EVERY_ORDER) -> AsyncIterator[Changes]:
        """Hear the changes of one order, or of every order, until the block ends."""
        changes = Changes(MOST_WAITING)
        self._listeners.setdefault(order_id, set()).add(changes)
        if self._hearing is None:
            # One of its own: the subscription before it may still be on its way out.
            self._subscribed = asyncio.Event()
            self._hearing = asyncio.create_task(self._hear(self._subscribed), name="live status")
        try:
            yield changes
        finally:
            self._listeners[order_id].discard(changes)
            if not self._listeners[order_id]:
                del self._listeners[order_id]
            if not self._listeners:
                self._hearing.cancel()
                self._hearing = None

    async def subscribed(self, within_s: float) -> bool:
        """Whether Redis is heard, after waiting for that at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._subscribed.wait()
        return self._subscribed.is_set()

    async def _hear(self, subscribed: asyncio.Event) -> None:
        while True:
            try:
                async with connect(self._redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(channel_of(redis))
                    subscribed.set()
                    async for message in channel.listen():
                        self._hear_one(message["data"])
            except (RedisError, OSError) as failed:
                logger().warning("live status: Redis is not heard", reason=repr(failed))
                self._say_that_some_may_be_missing()
            finally:
                subscribed.clear()
            await asyncio.sleep(RETRY_S)

    def _hear_one(self, data: bytes) -> None:
        try:
            heard = CHANGES.validate_json(data)
        except ValidationError as unreadable:  # of a newer version, or of somebody else
            logger().warning("live status: what Redis told cannot be read", reason=str(unreadable)[:500])
            self._say_that_some_may_be_missing()
        else:
            self._hand_out(heard)

    def _say_that_some_may_be_missing(self) -> None:
        for listeners in self._listeners.values():
            for changes in listeners:
                _offer(changes, None)

    def _hand_out(self, heard: tuple[StatusChange, ...]) -> None:
        for change in heard:
            for changes in (*self._listeners.get(change.order_id, ()), *self._listeners.get(EVERY_ORDER, ())):
                _offer(changes, change)


async def changes_of(order: Order, changes: Changes, reader: Reader) -> AsyncIterator[StatusChange]:
    """What the order is now, and then each of its changes, without end.

    Redis makes it fast; reading the order now and then makes it right, also while Redis is away.
    """
    latest, shown = StatusChange.of(order), -1
    while True:
        if latest.version > shown:
            yield latest
            shown = latest.version
        heard = None
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                heard = await changes.get()
        if heard is None:
            order = await reader.get(Order, order.id) or order
        latest = heard or StatusChange.of(order)


def _offer(changes: Changes, change: StatusChange | None) -> None:
    if changes.full():
        while not changes.empty():  # told that some are missing, a listener looks at what is true now
            changes.get_nowait()
        changes.put_nowait(None)
    changes.put_nowait(change)
