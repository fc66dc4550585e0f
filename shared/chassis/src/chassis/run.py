"""Runs a service: wires the engine to Kafka, MongoDB and HTTP, and stops it gracefully inside a deadline."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import metadata
from uuid import uuid4

import uvicorn
from fastapi import APIRouter

from chassis.clock import WallClock
from chassis.engine.partition import Partition
from chassis.http.repairs_api import repairs_router
from chassis.http.shell import create_app
from chassis.kafka.edge import Edge
from chassis.kafka.log import KafkaLog, KafkaPublisher
from chassis.limits import Limits
from chassis.mongo.client import connect
from chassis.mongo.reader import MongoReader
from chassis.mongo.store import MongoStore
from chassis.ports import Count, Feed, Publisher, Reader, Unavailable
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.telemetry import Meters, configure_logging, logger

Routes = Callable[[Reader, Publisher], APIRouter]

RETRY_S = 1.0
MEASURE_WITHIN_S = 1.0
"""How long a scrape waits for the store, in seconds: while that is away, the other metrics say so."""
HTTP_FINISH_S = 1
"""How long a stop waits for open connections, in seconds; a stream of events would go on for ever."""


def run(service: Service, settings: ChassisSettings, routes: Routes) -> None:
    """Run the service until SIGTERM or SIGINT; exits with 1 when it could not stop inside its deadline."""
    configure_logging(service.name, settings.log_level)
    sys.exit(asyncio.run(_run(service, settings, routes)))


async def _run(service: Service, settings: ChassisSettings, routes: Routes) -> int:
    asked_to_stop = asyncio.Event()
    stopping = _Stopping(settings.stop_deadline_s)

    def stop() -> None:
        asked_to_stop.set()
        stopping.begin()  # from here on, whatever is being waited for

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with _serving(service, settings, routes, asked_to_stop) as port:
        if port is not None:
            # What lives as long as the process need not be looked at by every garbage collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            logger().info("started", http_port=port)
        await asked_to_stop.wait()
        stopping.begin()
    stopping.done()
    logger().info("stopped")
    return 0


class _Stopping:
    """Ends the process when stopping takes too long: the journal makes that safe."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._deadline_s, self._give_up)

    def done(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _give_up(self) -> None:
        logger().error("did not stop in time; the next owner goes on from the journal", deadline_s=self._deadline_s)
        sys.stdout.flush()
        os._exit(1)


@asynccontextmanager
async def _serving(
    service: Service, settings: ChassisSettings, routes: Routes, asked_to_stop: asyncio.Event
) -> AsyncIterator[int | None]:
    """Serve until the block ends, which is told the port of HTTP; None if we were asked to stop before what we depend
    on was there.
    """
    clock, meters = WallClock(), Meters()
    writer = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    client = connect(settings.mongo_url)
    database = settings.mongo_database or service.name
    store, reader = MongoStore(client, database, service), MongoReader(client, database, service)
    log = KafkaLog(settings.kafka_brokers, service.name)
    limits = Limits(
        batch_max_messages=settings.batch_max_messages,
        inbox_max_messages=settings.inbox_max_messages,
        under_way_max_documents=settings.under_way_max_documents,
        documents_in_memory=settings.documents_in_memory,
        checkpoint_interval_s=settings.checkpoint_interval_s,
    )

    def open_partition(number: int, feed: Feed) -> Partition:
        return Partition(
            number,
            writer,
            service,
            store=store,
            log=log,
            clock=clock,
            feed=feed,
            limits=limits,
            meters=meters,
        )

    edge = Edge(service.name, service.topics, settings, open_partition, meters)
    publisher = KafkaPublisher(log, service.name, clock)
    routers = (routes(reader, publisher), repairs_router(service.name, reader, publisher, log))

    async def measure() -> None:
        await edge.measure()
        await _measure_stuck(reader, edge.partitions, meters)

    about = metadata(f"throughline-{service.name}")["Summary"]
    app = create_app(f"Throughline {service.name}", about, routers, edge.health, measure, meters)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=HTTP_FINISH_S,
        )
    )
    listener = listen(server.config)
    http = asyncio.create_task(server.serve([listener]), name="http")
    http.add_done_callback(lambda _: asked_to_stop.set())
    try:
        if await _connected(store, log, edge, asked_to_stop):
            yield listener.getsockname()[1]
            await edge.stop()
        else:
            yield None
    finally:
        server.should_exit = True
        await http
        await log.stop()
        client.close()


def listen(config: uvicorn.Config) -> socket.socket:
    """Take the port. If it is taken, uvicorn says so and ends the process; within a task that would be a traceback."""
    listener = config.bind_socket()
    # asyncio does so only where a socket names its protocol, which uvicorn's does not. Without it the body of an answer
    # waits until its headers are acknowledged: 40 ms on Linux.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _measure_stuck(reader: Reader, partitions: Collection[int], meters: Meters) -> None:
    """Set the gauges of what waits for a person in these partitions; where the store is slow, of some of it only, and
    without a store of none.
    """
    counts: list[Count] = []
    with contextlib.suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(MEASURE_WITHIN_S):
            async for one in reader.stuck():
                counts.append(one)  # noqa: PERF401 - what came before the time is out is kept
    meters.stuck.clear()
    meters.stuck_since.clear()
    for one in counts:
        if one.partition in partitions:
            meters.stuck.labels(str(one.partition), one.what, one.why).set(one.count)
            meters.stuck_since.labels(str(one.partition), one.what, one.why).set(one.since.timestamp())


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _connected(store: MongoStore, log: KafkaLog, edge: Edge, asked_to_stop: asyncio.Event) -> bool:
    """Wait until MongoDB and Kafka are there, saying what is missing; False when asked to stop before that."""
    while not asked_to_stop.is_set():
        try:
            partitions = await log.count_partitions()
            await store.prepare(partitions)
            await log.start(partitions)
            await edge.start()
        except Unavailable as missing:
            logger().warning("waiting for what we depend on", reason=str(missing))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked_to_stop.wait(), RETRY_S)
        else:
            return True
    return False
