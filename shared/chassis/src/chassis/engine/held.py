"""What a partition holds in memory: all of it follows from what is stored, and none of it outlives a recovery."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from chassis.decision import CallAnswered
from chassis.engine.alarms import AHEAD, Alarms
from chassis.engine.calls import Calls
from chassis.engine.memory import Memory
from chassis.engine.pending import AT_A_TIME
from chassis.engine.showing import Showing
from chassis.engine.tail import Tail
from chassis.engine.time import Time
from chassis.engine.under_way import UnderWay
from chassis.entry import Change, Recovered, Stored
from chassis.kinds import UnreadableDocument, kinds_of, read_document
from chassis.limits import MOST_SLEEP_S, Limits
from chassis.ports import FOR_EVER, Feed, Log, Store
from chassis.service import Service
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked
from chassis.telemetry import Meters, logger

RETRY_S = 1.0
T = TypeVar("T")


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
        self.parked = set(recovered.parked)
        """The places that are parked."""
        self.under_way = UnderWay(limits.under_way_max_documents, self.parked)
        self.showing = Showing(service.view, checkpoint.partition)
        self.calls = Calls(service.outside, time, answer, meters)
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
        self._meters = meters
        self._time = time

    async def remember_all(self, recovered: Recovered) -> None:
        """Alarms, calls and queues of what is stored, overtaken by what is journaled since."""
        self.under_way.recall(recovered.queued)
        # Where time leaps from record to record, it leaps over any horizon.
        self.alarms.until = self._time.now() + AHEAD if self.tail.past is None else FOR_EVER
        for key, when in await self._store.alarms(self._number, None, self.alarms.until):
            self.alarms.set(key, when)
        for entry in recovered.entries:
            for change in entry.changes:
                document = read_document(self._models, change.key, change.body)
                self.remember(Stored(document, change.trace), replace(change, queued=document.is_queued))
        self.calls.learn(*await self._store.calling(self._number, self._hold_calls(), AT_A_TIME))

    def remember(self, stored: Stored, change: Change) -> None:
        """Take in a committed change. It may not have been shown before a crash, so it is shown in any case."""
        self.memory.commit(stored, change)
        self.alarms.set(change.key, change.alarm)
        self.under_way.see(stored.document, self._time.last)
        self.calls.want(change.key, stored, change.due)
        self.showing.add(stored.document)
        if isinstance(stored.document, Parked):
            (self.parked.add if stored.document.open else self.parked.discard)(stored.document.place)

    async def look_ahead(self, wake: Callable[[], None]) -> None:
        """Take in, before their time comes, alarms and calls that were left to the store; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_for_alarms(wake))
            group.create_task(self._look_for_calls(wake))

    async def _look_for_alarms(self, wake: Callable[[], None]) -> None:
        while True:
            early_s = (self.alarms.until - AHEAD / 2 - self._time.now()).total_seconds()
            if early_s > 0:
                await asyncio.sleep(min(early_s, MOST_SLEEP_S))
            else:
                await self._look_until(self._time.now() + AHEAD)
                wake()

    async def _look_until(self, until: datetime) -> None:
        # First of all, what changes from now on is held. What changed before is unsaved, or the store says so. What it
        # says may be overtaken by the time that we hear it; then the alarm rings in vain.
        since, self.alarms.until = self.alarms.until, until
        for change in self.memory.unsaved():
            self.alarms.set(change.key, change.alarm)
        for key, when in await self._insist(partial(self._store.alarms, self._number, since, until)):
            self.alarms.learn(key, when)

    async def _look_for_calls(self, wake: Callable[[], None]) -> None:
        while True:
            await self.calls.short.wait()
            read = partial(self._store.calling, self._number, self._hold_calls(), AT_A_TIME)
            self.calls.learn(*await self._insist(read))
            wake()

    def _hold_calls(self) -> datetime:
        """The store is to be asked for calls that are due from then on: those of what is not saved yet are held."""
        since = self.calls.pending.begin_reading()
        for change in self.memory.unsaved():
            if (stored := self.memory.get(change.key)) is not None:
                self.calls.want(change.key, stored, change.due)
        return since

    async def _insist(self, read: Callable[[], Awaitable[T]]) -> T:
        """Ask the store until it answers: what it has must not be forgotten. Raises UnreadableDocument."""
        while True:
            try:
                return await read()
            except UnreadableDocument:
                raise  # it would be unreadable for ever: the partition fails by it, and says so
            except Exception as failed:  # noqa: BLE001 - whatever it is
                self._meters.read_failures.inc()
                logger(partition=self._number).error("what is due was not read; trying again", reason=repr(failed))
                await asyncio.sleep(RETRY_S)

    async def known(self, gap: Gap | None) -> Gap | None:
        """The gap as it is remembered, with since when; without one, the last that is not known to be passed."""
        key = Gap.key_of(str(self._number))
        stored = self.memory.get(key) if key in self.memory else (await self._store.load([key])).get(key)
        known = stored.document if stored else None
        if isinstance(known, Gap) and known.open and (gap is None or gap.loss == known.loss):
            return known
        return gap
