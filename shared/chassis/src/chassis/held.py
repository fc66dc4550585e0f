"""What a partition holds in memory: all of it follows from what is stored, and none of it outlives a recovery."""

import asyncio
from collections.abc import Callable

from chassis.alarms import Alarms
from chassis.calls import Calls
from chassis.decision import CallAnswered
from chassis.entry import Change, Recovered, Stored
from chassis.gap import Gap
from chassis.kinds import kinds_of
from chassis.limits import Limits
from chassis.memory import Memory
from chassis.parking import Parked
from chassis.past import Time
from chassis.ports import Feed, Log, Store
from chassis.service import Service
from chassis.showing import Showing
from chassis.tail import Tail
from chassis.telemetry import Meters
from chassis.under_way import UnderWay


class Held:
    """From one recovery to the next; `remember_all` fills it."""

    def __init__(
        self,
        recovered: Recovered,
        service: Service,
        writer: str,
        *,
        store: Store,
        log: Log,
        feed: Feed,
        time: Time,
        slots: asyncio.Semaphore,
        answer: Callable[[CallAnswered], None],
        limits: Limits,
        meters: Meters,
    ) -> None:
        checkpoint = recovered.checkpoint
        self.signature = f"{writer}/{checkpoint.epoch}"
        """Names the owner and the epoch, so that a zombie of this very process is not taken for its successor."""
        self.source = f"{service.name}/{checkpoint.partition}@{checkpoint.incarnation}"
        """What its messages are signed with."""
        self.memory = Memory(limits.documents_in_memory)
        self.alarms = Alarms()
        self.under_way = UnderWay(limits.under_way_max_documents)
        self.parked = set(recovered.parked)
        """The ids of the parking places that are open."""
        self.showing = Showing(service.view, checkpoint.partition)
        self.calls = Calls(service.gateway, time, slots, limits.call_timeout_s, answer, meters)
        self.tail = Tail(
            recovered,
            self.memory,
            store=store,
            log=log,
            feed=feed,
            checkpoint_interval_s=limits.checkpoint_interval_s,
            meters=meters,
        )
        self._number = checkpoint.partition
        self._models = kinds_of(service.documents)
        self._store = store
        self._time = time

    async def remember_all(self, recovered: Recovered) -> None:
        """Alarms and calls of what is stored, overtaken by what is journaled since."""
        calling = set(recovered.calling)
        for key, when in recovered.alarms:
            self.alarms.set(key, when)
        for entry in recovered.entries:
            for change in entry.changes:
                document = self._models[change.key.split("/", 1)[0]].model_validate_json(change.body)
                self.remember(Stored(document, change.trace), change)
                calling.discard(change.key)
        if calling:
            stored = await self._store.load(calling)
            self.memory.learn(calling, stored)
            for key, one in stored.items():
                self.calls.want(key, one)

    def remember(self, stored: Stored, change: Change) -> None:
        """Take in a committed change. It may not have been shown before a crash, so it is shown in any case."""
        self.memory.commit(stored, change)
        self.alarms.set(change.key, change.alarm)
        self.under_way.see(stored.document, self._time.last)
        self.calls.want(change.key, stored)
        self.showing.add({change.key: stored.document})
        if isinstance(stored.document, Parked):
            (self.parked.add if stored.document.open else self.parked.discard)(stored.document.id)

    async def known(self, gap: Gap | None) -> Gap | None:
        """The gap as it is remembered, with since when; without one, the last that is not known to be passed."""
        key = Gap.key_of(str(self._number))
        stored = self.memory.get(key) if key in self.memory else (await self._store.load([key])).get(key)
        known = stored.document if stored else None
        if isinstance(known, Gap) and known.open and (gap is None or gap.loss == known.loss):
            return known
        return gap
