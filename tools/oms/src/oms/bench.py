"""Measures the whole of it on this machine: real Kafka, real MongoDB, five processes, orders through all of them.

Every figure is measured on the run that prints it. Throughput is a backlog's: from the first OrderPlaced to the last
OrderCompleted, by the times that Kafka's records carry. Latency is an open loop's: orders are placed at a fixed rate
whether or not earlier ones are done, and each is timed from its OrderPlaced to its OrderCompleted.
"""

import asyncio
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice

import psutil
from contracts.inventory import ReceiveStock
from contracts.message import SkuQuantity
from contracts.order import Address, Customer, OrderCompleted, OrderLine, OrderPlaced

from oms.log import LogReader
from oms.sending import Letter, Sender, letter
from oms.stack.local import Ports
from oms.system import Plan, System, running

SKUS = 300
STOCK = 5_000_000
LOCATIONS = ("LON", "MAN", "ROT")
COUNTRIES = ("GB", "FR", "DE", "NL")
IDLE_S = 10.0
STALLED_S = 60.0
SETTINGS = {"PICK_AFTER_S": "0.001", "PACK_AFTER_S": "0.001", "DISPATCH_AFTER_S": "86400"}
"""The simulated pickers take no time, so that what is timed is ours; and the van leaves on another day, so that what is
counted is what an order takes until it is completed."""


@dataclass(frozen=True)
class Result:
    """What was measured; each name ends in its unit."""

    orders: int
    lines_per_order: int
    orders_per_s: float
    latency_rate_per_s: float
    """The fixed rate at which latency was measured."""
    p50_ms: float
    p99_ms: float
    rss_mb: dict[str, float]
    """Resident memory by process, after all orders."""
    cpu_us_per_order: dict[str, float]
    """Processor time by process during the backlog."""
    idle_cpu_percent: dict[str, float]
    """Of one core, by process, with nothing to do."""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Stalled(Exception):  # noqa: N818 - named for the state
    """Orders stopped completing."""


def make_orders(channel: str, lines: int) -> Iterator[OrderPlaced]:
    """Orders without end, every one of them good, over all SKUs and a few countries."""
    for number in count(1):
        skus = [f"SKU-{(number * 7 + line * 13) % SKUS:04d}" for line in range(lines)]
        bought = tuple(OrderLine(sku=sku, quantity=1 + number % 3, unit_price=250) for sku in skus)
        address = Address.model_validate(
            {"name": "A. Customer", "street": "1 High Street", "city": "Town", "country": COUNTRIES[number % 4]}
        )
        yield OrderPlaced.model_validate(
            {
                "channel": channel,
                "number": str(number),
                "customer": Customer(id=f"c{number}", name="A. Customer", email="a@example.com"),
                "shipping_address": address,
                "billing_address": address,
                "lines": bought,
                "shipping_charge": 300,
                "total": 300 + sum(line.quantity * line.unit_price for line in bought),
                "currency": "GBP",
                "payment_token": "tok_ok",
            }
        )


async def bench(orders: int, lines: int, rate: float | None, seconds: float, say: Callable[[str], None]) -> Result:
    """Run everything on free ports, and measure. Raises StackError and Stalled."""
    async with running(Plan(Ports.free(), http_port=0, settings=SETTINGS), say) as system:
        await stock(system)
        say("warming up with 500 orders")
        await _complete(system, _letters("warm", lines, 500))
        letters = _letters("bench", lines, orders)
        say(f"{orders} orders of {lines} lines, as a backlog")
        before = _cpu_s(system)
        begun, ended = await _complete(system, letters)
        after = _cpu_s(system)
        memory = {name: process.memory_info().rss / 1e6 for name, process in _processes(system).items()}
        throughput = orders / (ended - begun)
        pace = rate or throughput / 2
        say(f"latency at {pace:.0f} orders/s for {seconds:.0f} s")
        latencies = await _latencies(system, lines, pace, seconds)
        say("doing nothing")
        idle = await _idle(system)
    return Result(
        orders=orders,
        lines_per_order=lines,
        orders_per_s=round(throughput, 1),
        latency_rate_per_s=round(pace, 1),
        p50_ms=round(statistics.median(latencies), 1),
        p99_ms=round(statistics.quantiles(latencies, n=100)[98], 1),
        rss_mb={name: round(value, 1) for name, value in memory.items()},
        cpu_us_per_order={name: round((after[name] - before[name]) / orders * 1e6, 1) for name in after},
        idle_cpu_percent=idle,
    )


def _letters(channel: str, lines: int, orders: int) -> list[Letter]:
    return [letter(order) for order in islice(make_orders(channel, lines), orders)]


async def stock(system: System) -> None:
    """More of every item in every location than anybody will order."""
    async with Sender(system.addresses.kafka) as sender:
        for location in LOCATIONS:
            lines = tuple(SkuQuantity(sku=f"SKU-{sku:04d}", quantity=STOCK) for sku in range(SKUS))
            await sender.send(letter(ReceiveStock(movement_id="bench", location=location, lines=lines)))


async def _complete(system: System, letters: list[Letter]) -> tuple[float, float]:
    """Send them all at once, wait until as many orders completed; when the first was placed and the last completed."""
    async with LogReader(system.addresses.kafka) as log, Sender(system.addresses.kafka) as sender:
        seen = _Completions(log)
        await seen.begin()
        for one in letters:
            await sender.send(one)
        await sender.flush()
        await seen.wait(len(letters))
        return seen.first_s, seen.last_s


async def _latencies(system: System, lines: int, rate: float, seconds: float) -> list[float]:
    """Milliseconds from OrderPlaced to OrderCompleted, for orders placed at this rate whatever becomes of them."""
    total = int(rate * seconds)
    placing = _letters("steady", lines, total)
    loop = asyncio.get_running_loop()
    async with LogReader(system.addresses.kafka) as log, Sender(system.addresses.kafka) as sender:
        seen = _Completions(log)
        await seen.begin()
        start = loop.time()
        for number, one in enumerate(placing):
            await asyncio.sleep(start + number / rate - loop.time())
            await sender.send(one)
        await sender.flush()
        await seen.wait(total)
        return seen.latencies_ms()


class _Completions:
    """Watches orders being placed and completed, by key and header alone."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._placed: dict[bytes | None, int] = {}
        self._completed: dict[bytes | None, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._wanted = 0
        self._news = asyncio.Event()

    async def begin(self) -> None:
        news = self._log.news(["order.intake", "order.events"])
        await anext(news)

        async def watch() -> None:
            completed = OrderCompleted.__name__.encode()
            async for records in news:
                for record in records:
                    if record.topic == "order.intake":
                        self._placed[record.key] = record.timestamp
                    elif dict(record.headers)["ce_type"] == completed:
                        self._completed[record.key] = record.timestamp
                if records:
                    self._news.set()

        self._task = asyncio.create_task(watch())

    async def wait(self, orders: int) -> None:
        """Until so many completed. Raises Stalled when nothing happens for a minute."""
        try:
            while len(self._completed) < orders:
                self._news.clear()
                async with asyncio.timeout(STALLED_S):
                    await self._news.wait()
        except TimeoutError:
            raise Stalled(f"{len(self._completed)} of {orders} orders completed, then nothing for a minute") from None
        finally:
            if self._task is not None:
                self._task.cancel()

    @property
    def first_s(self) -> float:
        return min(self._placed.values()) / 1000

    @property
    def last_s(self) -> float:
        return max(self._completed.values()) / 1000

    def latencies_ms(self) -> list[float]:
        return [float(at - self._placed[key]) for key, at in self._completed.items() if key in self._placed]


def _processes(system: System) -> dict[str, psutil.Process]:
    children = [*system.fleet.instances, *(system.stack.children if system.stack else [])]
    return {child.name: psutil.Process(child.id.pid) for child in children if child.id is not None}


def _cpu_s(system: System) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in _processes(system).items()}


async def _idle(system: System) -> dict[str, float]:
    """Percent of a core that each service takes when there is nothing to do."""
    before = _cpu_s(system)
    await asyncio.sleep(IDLE_S)
    after = _cpu_s(system)
    names = [instance.name for instance in system.fleet.instances]
    return {name: round((after[name] - before[name]) / IDLE_S * 100, 2) for name in names}
