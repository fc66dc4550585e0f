"""Live status: every change of an order is told on one Redis channel, a batch at a time.

Nobody depends on hearing it: whoever listens reads the order itself, too.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from chassis.decision import Document
from contracts.message import Value
from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from order.state import Order, Status

CHANNEL = "throughline:order:status"
"""What the name of the channel begins with; the number of the database follows."""
PATIENCE_S = 0.5
"""How long anything waits for Redis, in seconds."""
REST_S = 5.0
"""How long a Redis that did not answer is left alone, in seconds; what there is to tell it waits."""


class StatusChange(Value):
    """What an order came to. A change may leave the status as it was: of a refusal see the order's `refused`."""

    order_id: str
    """The order, as `<channel>:<number>`."""
    revision: int
    """Which placing of the order this is."""
    status: Status
    at: datetime
    """When it changed, in UTC."""
    heard: str
    """The type of the latest message on its timeline, or `Deadline`; what is refused is not on it."""
    version: int
    """Counts the changes of the order: a later one has a higher number."""

    @classmethod
    def of(cls, order: Order) -> "StatusChange":
        return cls(
            order_id=order.id,
            revision=order.revision,
            status=order.status,
            at=order.changed_at,
            heard=order.timeline[-1].heard,
            version=order.version,
        )


CHANGES: TypeAdapter[tuple[StatusChange, ...]] = TypeAdapter(tuple[StatusChange, ...])


class StatusView:
    """Tells Redis what changed; see `chassis.service.View`."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._rests_until_s = 0.0

    @staticmethod
    def of(document: Document) -> StatusChange | None:
        return StatusChange.of(document) if isinstance(document, Order) else None

    async def show(self, changes: Sequence[StatusChange]) -> None:
        """Raises RedisError or TimeoutError when Redis does not take it at once; then it is left alone for a while.

        Until then the next call waits: what it is to tell must not be lost.
        """
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._rests_until_s - clock())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._redis.publish(channel_of(self._redis), CHANGES.dump_json(tuple(changes)))
        except (RedisError, TimeoutError):
            self._rests_until_s = clock() + REST_S
            raise


def connect(redis_url: str) -> Redis:
    return Redis.from_url(redis_url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)


def channel_of(redis: Redis) -> str:
    """Redis shares channels among its databases; the number keeps two installations on one Redis apart."""
    return f"{CHANNEL}:{redis.connection_pool.connection_kwargs.get('db', 0)}"
