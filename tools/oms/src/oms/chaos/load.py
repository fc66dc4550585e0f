"""Orders that keep coming, whatever is broken: some of every sort, at a steady rate."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from contracts.order import CancelOrder, OrderPlaced
from payment.gateway import CAPTURE_FAILS, DECLINED, SLOW, TIMEOUT
from shipping.gateway import NOWHERE

from oms.bench.orders import spread
from oms.connection import Unreachable
from oms.placing.sending import Letter, Sender, letter

CHANNEL = "chaos"
LINES = 3
REPEATED, CANCELLED = 2, 6
"""Which of ten orders is sent twice, as by a channel that is not sure, and which is cancelled, or cancels another."""
CANCELLED_AFTER = 20
"""A cancellation comes with its order, or this many orders later: some are in time and some are not."""
AGAIN_AFTER_S = 1.0
LEAVE_WITHIN_S = 60.0


SORTS: tuple[dict[str, str], ...] = (
    {"payment_token": f"{DECLINED}do_not_honor"},
    {"payment_token": CAPTURE_FAILS},
    {"payment_token": TIMEOUT},
    {"payment_token": SLOW},
    {"postal_code": NOWHERE},
)
"""What is special about every other order, one after the other."""


def _messages(channel: str) -> Iterator[list[OrderPlaced | CancelOrder]]:
    """An order each time, and what else comes with it."""
    recent: deque[str] = deque(maxlen=CANCELLED_AFTER)
    for number, order in enumerate(spread(LINES).orders(channel)):
        messages: list[OrderPlaced | CancelOrder] = [_special(order, number)]
        if number % 10 == REPEATED:
            messages.append(order)
        if number % 10 == CANCELLED:
            cancelled = order.order_id if number % 20 == CANCELLED else recent[0]
            messages.append(CancelOrder(order_id=cancelled, reason="chaos", requested_by="customer"))
        recent.append(order.order_id)
        yield messages


def _special(order: OrderPlaced, number: int) -> OrderPlaced:
    if number % 2 == 0:
        return order
    sort = SORTS[number // 2 % len(SORTS)]
    if "postal_code" in sort:
        return order.model_copy(update={"shipping_address": order.shipping_address.model_copy(update=sort)})
    return order.model_copy(update=sort)


class Load:
    """Places orders for as long as it runs: what Kafka does not take is kept, and sent again.

    Those of another channel are other orders.
    """

    def __init__(self, brokers: str, rate: float, on_placed: Callable[[str], None], channel: str = CHANNEL) -> None:
        self._brokers = brokers
        self._rate = rate
        self._on_placed = on_placed
        self._channel = channel
        self._waiting: deque[Letter] = deque()
        self._news = asyncio.Event()
        self._is_over = False

    async def run(self) -> None:
        """Place orders until told to stop; return when Kafka has all of them. Raises Unreachable."""
        sending = asyncio.create_task(self._send())
        try:
            await self._write()
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await sending
        except TimeoutError as late:
            raise Unreachable.kafka(self._brokers, late) from late
        finally:
            sending.cancel()

    def stop(self) -> None:
        self._is_over = True

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number, messages in enumerate(_messages(self._channel)):
            await asyncio.sleep(begun + number / self._rate - loop.time())
            if self._is_over:  # asked now, or what is announced might come when everything is sent
                break
            self._on_placed(messages[0].order_id)
            self._waiting.extend(map(letter, messages))
            self._news.set()
        self._news.set()

    async def _send(self) -> None:
        while self._waiting or not self._is_over:
            try:
                async with Sender(self._brokers) as sender:
                    await self._send_by(sender)
            except Unreachable:
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _send_by(self, sender: Sender) -> None:
        while self._waiting or not self._is_over:
            self._news.clear()
            batch = list(self._waiting)
            for one in batch:
                await sender.send(one)
            await sender.flush()
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting and not self._is_over:
                await self._news.wait()
