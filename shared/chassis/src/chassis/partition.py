"""The engine: one partition of a service, from its records to its entries to what it publishes.

records, answers, alarms ─▶ fold decide ─▶ insert the entry ─▶ publish ─▶ checkpoint
                                           (the commit)
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter

from contracts.wire import Received

from chassis.alarms import Alarms
from chassis.calls import Calls
from chassis.decision import AlarmRang, CallAnswered, Document
from chassis.entry import Change, Checkpoint, Entry, Fenced, Progress, Stored
from chassis.fold import Fold, Folded, Gap, Taken, TooHeavy
from chassis.memory import Memory
from chassis.parking import Parked
from chassis.ports import Clock, Feed, Log, Store
from chassis.service import Service
from chassis.telemetry import Meters, logger

RETRY_S = 1.0
UNPUBLISHED_ENTRIES = 8
"""Deciding waits when so many entries are journaled but not yet published."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a partition; see the settings of the same names."""

    batch_max_messages: int
    inbox_max_messages: int
    documents_in_memory: int
    checkpoint_interval_s: float
    call_timeout_s: float


class GapSeen(Exception):  # noqa: N818 - named for what happened
    """A link has a gap: the partition stands still until somebody decides what is to be done."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(f"{gap.topic}@{gap.offset}: {gap.source} sent {gap.sequence} after {gap.heard}")


class Partition:
    """Serves one partition for as long as this instance owns it."""

    def __init__(
        self,
        number: int,
        writer: str,
        service: Service,
        *,
        store: Store,
        log: Log,
        clock: Clock,
        feed: Feed,
        slots: asyncio.Semaphore,
        limits: Limits,
        meters: Meters,
    ) -> None:
        self.number = number
        self.state = "recovering"
        self._progressed_at = clock.now()
        self._writer = writer
        self._service = service
        self._store = store
        self._log = log
        self._clock = clock
        self._feed = feed
        self._slots = slots
        self._limits = limits
        self._meters = meters
        self._models: dict[str, type[Document]] = {Parked.kind: Parked}
        self._models.update({model.kind: model for model in service.documents})
        self._logger = logger(partition=number)
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._inbox: deque[Taken] = deque()
        self._paused = False
        self._forget()

    def _forget(self) -> None:
        """Start from nothing: what is in memory is not to be trusted."""
        self._memory = Memory(self._limits.documents_in_memory)
        self._alarms = Alarms()
        self._parked: set[str] = set()
        self._inbox.clear()
        self._progress = Progress()
        self._entries: deque[Entry] = deque()
        """Journaled since the checkpoint, the oldest first."""
        self._head = self._published = 0
        self._room = asyncio.Event()
        self._to_publish = asyncio.Event()
        self._decided_all = False
        self._to_show: dict[str, Document] = {}
        self._showing = asyncio.Event()
        self._now = datetime.min.replace(tzinfo=UTC)
        self._calls = Calls(
            self._service.gateway,
            self._clock,
            self._slots,
            self._limits.call_timeout_s,
            self._offer_answer,
            self._meters,
        )

    # What the edge says.

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records, in the order of their offsets; the feed is paused when too many wait."""
        self._inbox.extend(records)
        self._wake.set()
        if not self._paused and len(self._inbox) > self._limits.inbox_max_messages:
            self._paused = True
            self._feed.pause()

    def _offer_answer(self, answer: CallAnswered) -> None:
        self._inbox.append(answer)
        self._wake.set()

    def stop(self) -> None:
        """Ask it to finish what it has begun; `run` returns when that is journaled, published and checkpointed."""
        self._stopping.set()
        self._wake.set()

    @property
    def waiting(self) -> int:
        """How many inputs wait to be decided on."""
        return len(self._inbox)

    def stalled_s(self) -> float:
        """For how many seconds inputs have waited without any being taken; 0 when none waits."""
        return (self._clock.now() - self._progressed_at).total_seconds() if self._inbox else 0.0

    # The life of the partition.

    async def run(self) -> None:
        """Serve until stopped or cancelled. Whatever goes wrong, it recovers from the journal and goes on."""
        while not self._stopping.is_set():
            try:
                await self._recover()
                await self._serve()
            except* Fenced as fenced:
                self._meters.fenced.inc()
                self._logger.warning("fenced", reason=str(fenced.exceptions[0]))
            except* GapSeen as seen:
                self.state = "gap"
                self._logger.critical("a message was lost: the partition stands still", reason=str(seen.exceptions[0]))
                await self._stopping.wait()
            except* Exception as failed:
                self._logger.critical("failed; recovering from the journal", exc_info=failed)
                await self._pause(RETRY_S)
        self.state = "stopped"

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _recover(self) -> None:
        self.state = "recovering"
        self._feed.pause()
        self._paused = True
        self._forget()
        recovered = await self._store.recover(self.number, self._writer)
        self._base = recovered.checkpoint
        # Names the owner and the epoch, so that a zombie of this very process is not taken for its successor.
        self._signature = f"{self._writer}/{self._base.epoch}"
        self._source = f"{self._service.name}/{self.number}@{self._base.incarnation}"
        self._progress = self._base.progress.copy()
        self._head = self._published = self._base.number
        self._parked.update(recovered.parked)
        calling = set(recovered.calling)
        for key, when in recovered.alarms:
            self._alarms.set(key, when)
        for entry in recovered.entries:
            self._progress.update(entry.progress)
            self._entries.append(entry)
            self._head = entry.number
            for change in entry.changes:
                document = self._models[change.key.split("/", 1)[0]].model_validate_json(change.body)
                self._remember(Stored(document, change.trace), change)
                calling.discard(change.key)
        missing = list(calling)
        self._memory.learn(missing, await self._store.load(missing))
        for key in missing:
            stored = self._memory.get(key)
            self._calls.want(key, stored.document.calls if stored else ())
        await self._feed.start_at(self._progress.positions)
        self._paused = False
        self.state = "running"
        self._progressed_at = self._clock.now()
        self._logger.info("recovered", entry=self._head, republishing=len(recovered.entries), epoch=self._base.epoch)

    def _remember(self, stored: Stored, change: Change) -> None:
        """Take in a committed change."""
        self._memory.commit(stored, change)
        self._alarms.set(change.key, change.alarm)
        self._calls.want(change.key, stored.document.calls)
        if isinstance(stored.document, Parked):
            self._parked.add(stored.document.id)

    async def _serve(self) -> None:
        self._to_publish.set()
        async with asyncio.TaskGroup() as group:
            calls = group.create_task(self._calls.run())
            publishing = group.create_task(self._publish_all())
            checkpoints = group.create_task(self._checkpoint_often())
            showing = group.create_task(self._show_all())
            await self._decide_all()
            self._decided_all = True
            self._to_publish.set()
            await publishing
            calls.cancel()
            checkpoints.cancel()
            showing.cancel()
            await self._checkpoint()

    # Deciding and journaling.

    async def _decide_all(self) -> None:
        size = self._limits.batch_max_messages
        while not self._stopping.is_set():
            taken = await self._take(size)
            if not taken:
                continue
            try:
                folded = await self._fold(taken)
            except TooHeavy:
                self._inbox.extendleft(reversed(taken))
                size = max(1, len(taken) // 2)
                continue
            size = self._limits.batch_max_messages
            if folded.entry is not None:
                await self._room_to_publish()
                begun = perf_counter()
                await self._store.append(folded.entry)
                self._meters.journal_s.observe(perf_counter() - begun)
                self._commit(folded, folded.entry)
            else:
                self._progress = folded.progress
            self._progressed_at = self._clock.now()
            if folded.gap is not None:
                self._meters.gaps.labels(folded.gap.topic).inc()
                raise GapSeen(folded.gap)

    async def _take(self, most: int) -> list[Taken]:
        """The next inputs, at least one unless the partition is stopping; alarms that are due come first."""
        while not self._stopping.is_set():
            self._wake.clear()
            now = self._clock.now()
            taken: list[Taken] = [AlarmRang(key) for key in self._alarms.due(now, most)]
            self._meters.alarms.inc(len(taken))
            while self._inbox and len(taken) < most:
                taken.append(self._inbox.popleft())
            if taken:
                self._resume_feed()
                return taken
            when = self._alarms.next()
            try:
                async with asyncio.timeout(None if when is None else max(0.0, (when - now).total_seconds())):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return []

    def _resume_feed(self) -> None:
        if self._paused and len(self._inbox) * 2 <= self._limits.inbox_max_messages:
            self._paused = False
            self._feed.resume()

    async def _fold(self, taken: Sequence[Taken]) -> Folded:
        begun = perf_counter()
        # Time never runs backwards within a partition, whatever the clock does. It is kept to the millisecond.
        now = max(self._clock.now(), self._now)
        self._now = now = now - timedelta(microseconds=now.microsecond % 1000)
        fold = Fold(self._service, self.number, self._log, self._store, self._memory, self._parked, self._meters)
        folded = await fold.run(taken, self._progress, self._source, self._head + 1, self._signature, now)
        self._meters.batch.observe(len(taken))
        self._meters.decide_s.observe(perf_counter() - begun)
        return folded

    async def _room_to_publish(self) -> None:
        while self._head - self._published >= UNPUBLISHED_ENTRIES:
            self._room.clear()
            await self._room.wait()

    def _commit(self, folded: Folded, entry: Entry) -> None:
        self._head = entry.number
        self._progress = folded.progress
        self._entries.append(entry)
        for change in entry.changes:
            self._remember(folded.stored[change.key], change)
        self._to_publish.set()
        if self._service.view is not None:
            self._to_show.update({key: stored.document for key, stored in folded.stored.items()})
            self._showing.set()

    # Showing.

    async def _show_all(self) -> None:
        """Show what changed; nothing waits for it, and of several changes of a document only the last may be shown."""
        while self._service.view is not None:
            await self._showing.wait()
            self._showing.clear()
            documents = list(self._to_show.values())
            self._to_show.clear()
            try:
                await self._service.view.show(documents)
            except Exception as failed:  # noqa: BLE001 - a view holds copies only, and its readers do without
                self._logger.warning("the view was not updated", reason=repr(failed))

    # Publishing.

    async def _publish_all(self) -> None:
        """Publish the entries in order, as many at once as there are; again, until the log has taken them."""
        while True:
            await self._to_publish.wait()
            self._to_publish.clear()
            entries = [entry for entry in self._entries if entry.number > self._published]
            if not entries:
                if self._decided_all:
                    return
                continue
            records = [record for entry in entries for record in entry.outbox]
            begun = perf_counter()
            await self._log.publish(records)
            self._meters.publish_s.observe(perf_counter() - begun)
            for record in records:
                self._meters.published.labels(record.topic).inc()
            self._published = entries[-1].number
            self._room.set()
            self._to_publish.set()

    # Checkpoints.

    async def _checkpoint_often(self) -> None:
        while True:
            await asyncio.sleep(self._limits.checkpoint_interval_s)
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        """Write what changed, up to the last published entry."""
        self._measure()
        through = self._published
        if through == self._base.number:
            return
        begun = perf_counter()
        progress = self._base.progress.copy()
        for entry in self._entries:
            if entry.number <= through:
                progress.update(entry.progress)
        changes = self._memory.unsaved()
        checkpoint: Checkpoint = replace(self._base, number=through, progress=progress)
        await self._store.checkpoint(checkpoint, changes)
        self._base = checkpoint
        self._memory.saved(changes)
        while self._entries and self._entries[0].number <= through:
            self._entries.popleft()
        self._feed.commit(progress.positions)
        self._meters.checkpoint_s.observe(perf_counter() - begun)

    def _measure(self) -> None:
        label = str(self.number)
        self._meters.parked.labels(label).set(len(self._parked))
        self._meters.alarms_set.labels(label).set(len(self._alarms))
        self._meters.documents.labels(label).set(len(self._memory))
        self._meters.waiting.labels(label).set(len(self._inbox))
