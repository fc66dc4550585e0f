"""A simulated process that serves one partition of a service, and the seat that there is for one."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from chassis.engine.partition import Partition
from chassis.entry import Outgoing, by_partition
from chassis.kafka.partitioner import home_of
from chassis.mongo.store import MongoStore
from chassis.ports import RecordPlace
from chassis.service import Outside, Service
from chassis.telemetry import Meters
from chassis.testing.life import Life
from chassis.testing.topics import MemoryFeed, MemoryTopics
from chassis.testing.virtual_time import VirtualClock
from contracts.record import Record

from oms.simulate.database import Client, Database
from oms.simulate.line import Line, Mishap, Reply, answer_of
from oms.simulate.outside import Asking, Party
from oms.simulate.plan import Blow, Fault, Roll
from oms.simulate.shop import LIMITS
from oms.simulate.versions import VERSIONS

CALLS_AT_ONCE = 4
CALL_TIMEOUT_S = 5.0
STOP_WITHIN_S = 8.0
"""A process that does not stop in time is killed."""
Tell = Callable[[str], None]


class Unread:
    """Stands in for the meters: nobody reads them here, and to keep them takes time."""

    def __getattr__(self, name: str) -> "Unread":
        setattr(self, name, self)  # it is asked for once, and found from then on
        return self

    def __call__(self, *_: object) -> "Unread":
        return self


METERS = cast(Meters, Unread())


class Log:
    """The topics as one process writes them; see `chassis.ports.Log`."""

    def __init__(self, topics: MemoryTopics, line: Line) -> None:
        self._topics = topics
        self._line = line

    def partition_of(self, key: str) -> int:
        return home_of(key, self._topics.partitions)

    async def read(self, places: Collection[RecordPlace]) -> Mapping[RecordPlace, Record | None]:
        def read(reply: Reply) -> None:
            reply({place: next(iter(self._topics.read(*place, 1)), None) for place in places})

        records: Mapping[RecordPlace, Record | None] = await self._line.ask(read, _broken)
        return records

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """All partitions side by side, each in its order: a crash may leave any of them without theirs."""
        for sent in [self._line.send(self._writing(batch), _broken) for batch in by_partition(records).values()]:
            answer_of(await sent)

    def _writing(self, batch: Sequence[Outgoing]) -> Callable[[Reply], None]:
        def write(reply: Reply) -> None:
            self._topics.write(batch)
            reply(None)

        return write


def _broken() -> Exception:
    return ConnectionError("the line to Kafka broke")


class World:
    """What all processes share."""

    def __init__(self, chance: random.Random, partitions: int, parties: dict[str, Party], tell: Tell) -> None:
        self.chance = chance
        self.clock = VirtualClock()
        self.topics = MemoryTopics(partitions, self.clock)
        self.databases: dict[str, Database] = {}
        self.parties = parties
        self.tell = tell
        self.struck: set[str] = set()
        """Where in the code something was done to a process."""
        self._writers = 0
        self._incarnations = 0

    def database(self, service: str) -> Database:
        return self.databases.setdefault(service, Database(self.chance))

    def next_writer(self) -> str:
        self._writers += 1
        return f"process-{self._writers}"

    def next_incarnation(self) -> str:
        self._incarnations += 1
        return f"{self._incarnations:08x}"


class Process:
    """One process."""

    def __init__(self, world: World, service: Service, number: int) -> None:
        self.life = Life()
        self.line = Line(self.life, world.chance)
        self.clock = VirtualClock()
        self.name = f"{service.name}/{number} {world.next_writer()}"
        if (party := world.parties.get(service.name)) is not None:
            gateway = Asking(party, self.line)
            service = replace(service, outside=Outside(gateway, timeout_s=CALL_TIMEOUT_S, at_once=CALLS_AT_ONCE))
        client = Client(world.database(service.name), self.line)
        store = MongoStore(cast(Any, client), service.name, service, name_incarnation=world.next_incarnation)
        self.feed = MemoryFeed(world.topics, service.topics, number, delay_s=self.line.latency_s)
        self.partition = Partition(
            number,
            self.name,
            service,
            store=store,
            log=Log(world.topics, self.line),
            clock=self.clock,
            feed=self.feed,
            limits=LIMITS,
            meters=METERS,
        )
        self.feed.deliver = self.partition.offer
        self.task = self.life.begin(self.partition.run(), self.name)
        self.task.add_done_callback(self._end)

    def _end(self, _: "asyncio.Task[None]") -> None:
        self.feed.close()
        self.life.is_over = True


class Seat:
    """The place of one partition of a service: somebody serves it, or soon will again."""

    def __init__(self, world: World, service: Service, number: int) -> None:
        self._world = world
        self._service = service
        self._number = number
        self._outside = copy_context()
        """What a process does of its own is not to be taken for what is done to it."""
        self._due: list[Fault] = []
        """What is to be done to whoever serves then, and was not done yet."""
        self.retired: list[Process] = []
        self.start()

    def start(self) -> None:
        """A process takes over, whoever else thinks that it serves the partition."""
        self.process = Process(self._world, self._service, self._number)

    def strike(self, fault: Fault) -> None:
        """Let it happen to the process that serves now, or to a successor if it does not live long enough."""
        if isinstance(fault.what, Mishap):
            self.process.line.fail_in(fault.requests, fault.what)
        else:
            self._due.append(fault)
            self._lie_in_wait(fault)

    def spare(self) -> None:
        """Set right what is wrong, and let nothing happen any more."""
        self._due.clear()
        for process in (*self.retired, self.process):
            process.clock.skew = timedelta()
            process.life.spare()
            process.line.spare()

    def _lie_in_wait(self, fault: Fault) -> None:
        victim = self.process
        blows: dict[object, Callable[[Process, Fault], None]] = {
            Blow.CRASH: self._crash,
            Blow.FREEZE: self._freeze,
            Blow.SPLIT: self._split,
            Blow.HAND_OVER: self._hand_over,
            Roll.OLD: self._roll,
            Roll.NEW: self._roll,
            Blow.CLOCK: self._set_clock,
        }
        blow = blows[fault.what]

        def strike() -> None:
            if fault in self._due:
                self._due.remove(fault)
                self._do(blow, victim, fault)

        lurk = self._lurk(victim.life, fault, strike)
        victim.line.call_in(fault.requests, lambda: victim.life.strike_in(1, lurk))

    @staticmethod
    def _lurk(life: Life, fault: Fault, strike: Callable[[], None]) -> Callable[[], None]:
        """What is to be done at each moment until the one that the fault waits for has come."""
        passed: list[str] = []

        def look() -> None:
            if len(passed) < fault.moments:
                passed.append(life.place)
                life.strike_in(1, look)
            elif fault.anew and life.place in passed:
                life.strike_in(1, look)
            else:
                strike()

        return look

    def _do(self, blow: Callable[[Process, Fault], None], victim: Process, fault: Fault) -> None:
        self._world.tell(f"{victim.name} {fault.what} at {victim.life.place}")
        self._world.struck.add(victim.life.place)
        blow(victim, fault)

    def _later(self, delay_s: float, do: Callable[..., None], *what: object) -> None:
        asyncio.get_running_loop().call_later(delay_s, do, *what, context=self._outside)

    def _crash(self, victim: Process, fault: Fault) -> None:
        victim.life.end()
        self._later(fault.lasts_s, self._succeed, victim)

    def _freeze(self, victim: Process, fault: Fault) -> None:
        victim.life.freeze()
        self._later(fault.lasts_s, self._succeed, victim)
        self._later(fault.lasts_s + fault.wakes_s, self._wake, victim, fault)

    def _wake(self, zombie: Process, fault: Fault) -> None:
        if not zombie.task.done():
            self._world.tell(f"{zombie.name} wakes")
        zombie.life.thaw()
        self._later(fault.wakes_s, self._retire, zombie)

    def _split(self, victim: Process, fault: Fault) -> None:
        self._later(0.0, self._succeed, victim)
        self._later(fault.wakes_s, self._retire, victim)

    def _hand_over(self, victim: Process, _: Fault) -> None:
        self._retire(victim)
        victim.task.add_done_callback(lambda _: self._succeed(victim), context=self._outside)

    def _roll(self, victim: Process, fault: Fault) -> None:
        """From now on, whoever takes over does so in this version."""
        self._service = VERSIONS[fault.service][fault.what]
        self._hand_over(victim, fault)

    def _retire(self, victim: Process) -> None:
        """The group has taken the partition away."""
        victim.partition.stop()
        self._later(STOP_WITHIN_S, victim.life.end)

    def _set_clock(self, victim: Process, fault: Fault) -> None:
        victim.clock.skew += timedelta(seconds=fault.lasts_s)

    def _succeed(self, victim: Process) -> None:
        """Another one takes the place of this one, if none has yet."""
        if self.process is victim:
            self.retired.append(victim)
            self.start()
            self._world.tell(f"{self.process.name} takes over from {victim.name}")
            for fault in self._due if victim.life.is_over else ():
                self._lie_in_wait(fault)
