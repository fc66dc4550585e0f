"""Delivers stock, and waits until it is on the shelves: an order that comes before its goods finds nothing."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from contracts.inventory import Movement, MovementRefused, ReceiveStock, StockReceived
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import TOPIC_OF
from contracts.wire import decode

from oms.log import LogReader
from oms.placing.sending import Sender, letter
from oms.placing.stock_file import StockRow, to_messages

LEDGER = TOPIC_OF[StockReceived].name
LOOK_BACK_AFTER_S = 3.0


@dataclass(slots=True)
class Arrivals:
    """Which parts of a delivery the stock books have answered."""

    awaited: dict[str, str] = field(default_factory=dict)
    """By movement, the location that has not answered."""
    refused: list[MovementRefused] = field(default_factory=list)

    def see(self, record: Record) -> bool:
        """Take in a record of the ledger; true if it was news of this delivery."""
        try:
            message = decode(record).message
        except Unreadable:
            return False
        if not isinstance(message, Movement) or self.awaited.get(message.movement_id) != message.location:
            return False
        del self.awaited[message.movement_id]
        if isinstance(message, MovementRefused):
            self.refused.append(message)
        return True

    @property
    def missing(self) -> list[str]:
        """The locations of which nothing was heard so far."""
        return sorted(set(self.awaited.values()))


async def deliver(
    brokers: str,
    rows: Sequence[StockRow],
    delivery: str,
    *,
    patience_s: float,
    on_look: Callable[[Arrivals], None] = lambda _: None,
) -> Arrivals:
    """Send what the rows list, and wait until every location has it, or nothing has been heard for `patience_s`.

    A delivery that came before says nothing when it comes again: what became of it is looked up. `on_look` is called
    at least twice a second. Raises Unreachable and NoLog.
    """
    messages = list(to_messages(rows, delivery))
    arrivals = Arrivals({one.movement_id: one.location for one in messages if isinstance(one, ReceiveStock)})
    clock = asyncio.get_running_loop().time
    looked_back = False
    async with LogReader(brokers) as log, aclosing(log.news([LEDGER])) as news:
        await anext(news)  # from here on nothing is missed
        async with Sender(brokers) as sender:
            for message in messages:
                await sender.send(letter(message))
        last_news = clock()
        while arrivals.awaited and clock() - last_news <= patience_s:
            heard = [arrivals.see(record) for record in await anext(news)]
            on_look(arrivals)
            if any(heard):
                last_news = clock()
            elif not looked_back and clock() - last_news > LOOK_BACK_AFTER_S:
                looked_back = True
                await _look_back(brokers, arrivals)
    return arrivals


async def _look_back(brokers: str, arrivals: Arrivals) -> None:
    async with LogReader(brokers) as log:
        async for records in log.read(await log.spans([LEDGER])):
            for record in records:
                arrivals.see(record)
