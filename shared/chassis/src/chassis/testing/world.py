"""A small system in one process: services on a log and stores in memory, with processes that crash, freeze and wake."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from contracts.message import Message
from contracts.topics import TOPIC_OF
from contracts.wire import Envelope, encode

from chassis.decision import Call, D, Document
from chassis.engine.partition import Partition
from chassis.entry import Outgoing
from chassis.limits import Limits
from chassis.service import Copy, Gateway, Outside, Service, View
from chassis.telemetry import Meters
from chassis.testing.store import MemoryStore
from chassis.testing.topics import MemoryFeed, MemoryLog, MemoryTopics
from chassis.testing.virtual_time import VirtualClock

LIMITS = Limits(
    batch_max_messages=50,
    inbox_max_messages=200,
    under_way_max_documents=100,
    documents_in_memory=100,
    checkpoint_interval_s=1.0,
)

CALLS_AT_ONCE = 4
CALL_TIMEOUT_S = 10.0


def calling(service: Service, gateway: Gateway) -> Service:
    """The same service, with this outside world."""
    return replace(service, outside=Outside(gateway, timeout_s=CALL_TIMEOUT_S, at_once=CALLS_AT_ONCE))


class Process:
    """One process that serves one partition of a service, and may die or freeze at any step it takes outside itself."""

    def __init__(self, world: "World", service: Service, number: int, writer: str, limits: Limits) -> None:
        self.steps: list[str] = []
        """The steps it took, by name; see `chassis.testing.interrupt.Interrupt`."""
        self.before: Callable[[str], Awaitable[None]] | None = None
        """Asked before each step, if set; what it raises, the step raises."""
        self.meters = Meters()
        self._going = asyncio.Event()
        self._going.set()
        self.feed = MemoryFeed(world.topics, service.topics, number)
        steps = _Steps(service, self._step)
        self.service = replace(calling(service, steps), view=steps if service.view else None)
        self.partition = Partition(
            number,
            writer,
            self.service,
            store=world.store(service).through(self._step),
            log=MemoryLog(world.topics, self._step),
            clock=world.clock,
            feed=self.feed,
            limits=limits,
            meters=self.meters,
        )
        self.feed.deliver = self.partition.offer
        self.task = asyncio.create_task(self.partition.run(), name=f"{service.name}/{number} of {writer}")

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.before is not None:
            await self.before(name)
        await asyncio.sleep(0)
        await self._going.wait()

    def crash(self) -> None:
        """Die here and now: no step it has not taken will ever be taken."""
        self.freeze()
        self.feed.close()
        self.task.cancel()

    def freeze(self) -> None:
        """Take no further step until thawed; others may think that it is dead."""
        self._going.clear()

    def thaw(self) -> None:
        self._going.set()

    async def stop(self) -> None:
        """Stop as on SIGTERM; returns when it has."""
        self.partition.stop()
        await asyncio.wait({self.task})
        self.feed.close()

    def count(self, metric: str) -> float:
        """A metric's value, summed over its labels."""
        samples = [sample for family in self.meters.registry.collect() for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == metric)


class _Steps:
    """The gateway and the view of a process that may be dead."""

    def __init__(self, service: Service, step: Callable[[str], Awaitable[None]]) -> None:
        self._gateway = service.outside.gateway
        self._view: View | None = service.view
        self._step = step

    async def perform(self, call: Call) -> object:
        await self._step("call")
        answer = await self._gateway.perform(call)
        await self._step("called")
        return answer

    def of(self, document: Document) -> Copy | None:
        return self._view.of(document) if self._view else None

    async def show(self, shown: Sequence[Copy]) -> None:
        await self._step("show")
        if self._view:
            await self._view.show(shown)


class World:
    """The topics, a store for each service, and the processes; to be used under a `VirtualTimeLoop`."""

    def __init__(self, partitions: int = 2) -> None:
        self.clock = VirtualClock()
        self.topics = MemoryTopics(partitions, self.clock)
        self.log = MemoryLog(self.topics)
        self._stores: dict[str, MemoryStore] = {}
        self._processes: list[Process] = []

    def store(self, service: Service) -> MemoryStore:
        return self._stores.setdefault(service.name, MemoryStore(service.documents))

    def start(self, service: Service, number: int = 0, *, limits: Limits = LIMITS) -> Process:
        """Start a process that serves this partition, whoever else thinks that it does."""
        process = Process(self, service, number, f"process-{len(self._processes)}", limits)
        self._processes.append(process)
        return process

    async def close(self) -> None:
        """End every process."""
        for process in self._processes:
            process.task.cancel()
        await asyncio.gather(*(process.task for process in self._processes), return_exceptions=True)

    def send(
        self,
        message: Message,
        *,
        partition: int | None = None,
        source: str = "channel",
        sequence: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Outgoing:
        """Write a message as a channel would, by its key unless a partition is given, and say what was written.

        With a source and a sequence it is written as the partition of a service would; `headers` replace and add.
        """
        topic = TOPIC_OF[type(message)]
        key = topic.key_of(message)
        value, written = encode(
            Envelope(
                message=message,
                id=f"{source}-{len(self.topics.all(topic.name))}",
                source=source,
                time=self.clock.now(),
                correlation_id="",
                causation_id="",
                sequence=sequence,
            )
        )
        home = topic.partition_of(message, self.log.partition_of) if partition is None else partition
        record = Outgoing(topic.name, home, key.encode(), value, [*(dict(written) | dict(headers or {})).items()])
        self.topics.write([record])
        return record

    def read(self, service: Service, model: type[D], id: str) -> D | None:  # noqa: A002 - it is the field's name
        """A document as of the last checkpoint."""
        found = self.store(service).stored().get(model.key_of(id))
        return found if isinstance(found, model) else None

    def saved(self, service: Service) -> Mapping[str, Document]:
        """Every document as of the last checkpoint."""
        return self.store(service).stored()
