"""Places orders as a channel does, at a pace, and follows them until each has come to an end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from contracts.message import Message
from contracts.order import OrderEvent, OrderPlaced, OrderValidated, PlacementRefused
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME, TOPIC_OF
from contracts.wire import decode, link_of

from oms.history.logged import STATE_AFTER
from oms.log import LogReader
from oms.placing.orders_file import BadLine, Line
from oms.placing.sending import Sender, TooLarge, letter_of

STATES = (
    "placed",
    "validated",
    "backordered",
    "confirmed",
    "shipped",
    "completed",
    "rejected",
    "cancelled",
    "refused",
    "dead letter",
)
ENDS = frozenset(STATES[5:])
LOOK_BACK_AFTER_S = 3.0
EVENTS = TOPIC_OF[OrderValidated].name
DEAD_LETTERS = TOPIC_OF[OrderPlaced].dead_letter


@dataclass(slots=True)
class Tally:
    """Where each of the orders that were placed stands, as the events of its newest placing say."""

    state: dict[str, str] = field(default_factory=dict)
    """By order, or by message where a line does not say which order it is."""
    sent: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By id of the message, the order and which placing of it."""
    newest: dict[str, int] = field(default_factory=dict)
    """By order, the highest revision that was placed."""
    _heard: dict[tuple[str, int, str], int] = field(default_factory=dict)
    """By topic partition and source, the last number that was heard."""

    def placed(self, line: Line, message_id: str) -> None:
        order, revision = line.order_id or message_id, line.revision
        self.sent[message_id] = order, revision
        if revision > self.newest.get(order, 0):
            self.state[order] = "placed"
            self.newest[order] = revision

    def see(self, record: Record) -> bool:
        """Take in a record of the order's events or of the dead letters; true if it was news of one of our orders."""
        if record.topic not in BY_NAME:
            message_id = (dict(record.headers).get("ce_id") or b"").decode(errors="replace")
            order, revision = self.sent.get(message_id, ("", 0))
            return self._is_followed(order, revision) and self._is_now(order, "dead letter")
        if self._is_echo(record):
            return False
        try:
            message = decode(record).message
        except Unreadable:
            return False
        if not isinstance(message, OrderEvent) or not self._is_followed(message.order_id, message.revision):
            return False
        if isinstance(message, PlacementRefused):
            # The order that was there before goes on as it was; if it has nothing to say, this is the end of ours.
            return self.state[message.order_id] == "placed" and self._is_now(message.order_id, "refused")
        state = STATE_AFTER.get(type(message))
        return state is not None and self._is_now(message.order_id, state)

    def _is_followed(self, order: str, revision: int) -> bool:
        """Whether it is one of our orders, and no placing of it that a newer one took the place of."""
        return order in self.state and revision >= self.newest.get(order, revision)

    def _is_echo(self, record: Record) -> bool:
        """Whether it was heard before: what is published again may come after what was said later."""
        link = link_of(record)
        if link is None:
            return False
        source, number = link
        where = record.topic, record.partition, source
        is_echo = number <= self._heard.get(where, 0)
        if not is_echo:
            self._heard[where] = number
        return is_echo

    def afresh(self) -> "Tally":
        """The same tally, for reading everything from the beginning."""
        return Tally(self.state, self.sent, self.newest)

    def _is_now(self, order: str, state: str) -> bool:
        self.state[order] = state
        return True

    @property
    def states(self) -> Counter[str]:
        return Counter(self.state.values())

    @property
    def open(self) -> list[str]:
        """The orders that have not come to an end."""
        return [order for order, state in self.state.items() if state not in ENDS]


async def send(
    lines: AsyncIterator[Line | BadLine],
    sender: Sender,
    model: type[Message],
    *,
    rate: float | None = None,
    on_sent: Callable[[Line, str], None],
    on_bad: Callable[[BadLine], None],
) -> None:
    """Send each line as a message of this type, at most `rate` a second, and wait until Kafka has them all.

    `on_sent` hears of each line with its message id, `on_bad` of each line that could not be sent. Raises Unreachable
    and NoLog.
    """
    begun = asyncio.get_running_loop().time()
    count = 0
    async for line in lines:
        if isinstance(line, BadLine):
            on_bad(line)
            continue
        if rate is not None:
            await asyncio.sleep(begun + count / rate - asyncio.get_running_loop().time())
        try:
            message = letter_of(model, line.body, line.order_id)
        except TooLarge as error:
            on_bad(BadLine(line.number, str(error)))
            continue
        except UnicodeEncodeError:
            on_bad(BadLine(line.number, "what should be the order's id is not text"))
            continue
        count += 1
        # Before it is sent: its first event may come back before Kafka's answer does.
        on_sent(line, message.id)
        await sender.send(message)
    await sender.flush()


async def follow(
    log: LogReader,
    tally: Tally,
    *,
    begun: asyncio.Event,
    all_sent: asyncio.Event,
    patience_s: float,
    on_look: Callable[[], None] = lambda: None,
) -> None:
    """Keep the tally until every order came to an end, or nothing has been heard of any for `patience_s`.

    An order that was placed before, unchanged, says nothing when it is placed again: what became of it is looked up.
    `begun` is set once nothing can be missed any more; `on_look` is called at least twice a second.
    """
    clock = asyncio.get_running_loop().time
    last_news = clock()
    looked_back = False
    async with aclosing(log.news([EVENTS, DEAD_LETTERS])) as news:
        async for records in news:
            begun.set()
            on_look()
            heard = [tally.see(record) for record in records]
            if any(heard) or not all_sent.is_set():
                last_news = clock()
            elif not tally.open or clock() - last_news > patience_s:
                return
            elif not looked_back and tally.states["placed"] and clock() - last_news > LOOK_BACK_AFTER_S:
                looked_back = True
                await _look_back(log.brokers, tally)


async def _look_back(brokers: str, tally: Tally) -> None:
    tally = tally.afresh()
    async with LogReader(brokers) as log:
        async for records in log.read(await log.spans([EVENTS])):
            for record in records:
                tally.see(record)
