"""The tail of a partition's journal: what is journaled, and not yet published, or not yet written to the documents."""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from chassis.engine.memory import Memory
from chassis.engine.outbox import weight_of_entry
from chassis.entry import Entry, Fenced, Outgoing, Progress, Recovered, replaced_by
from chassis.limits import LONGEST_PAUSE_S
from chassis.ports import Feed, Log, Store
from chassis.telemetry import Meters, logger

RETRY_S = 1.0
CHECKPOINT_PAUSE = 9
"""The pause after a checkpoint, as a multiple of the time that the checkpoint took."""
MOST_UNSAVED_BYTES = 8_000_000
"""The most bytes of documents yet to be saved; then deciding waits. In memory they take several times as much."""
MOST_TO_RECOVER_BYTES = 32_000_000
"""The most bytes of entries since the checkpoint; then deciding waits, for a new owner reads all of them at once."""
SAVED_AT_ONCE = 500
"""How many documents are written at a time. What is written stays written if the next are not: where the store is slow,
a checkpoint in one go would run out of time, and the next one would have more to write."""


class Journaled(NamedTuple):
    """What is kept of an entry until a checkpoint covers it."""

    number: int
    bytes: int


class Tail:
    """Takes entries in order; publishes what each says, and from time to time writes what they changed."""

    def __init__(
        self,
        recovered: Recovered,
        memory: Memory,
        *,
        store: Store,
        log: Log,
        feed: Feed,
        checkpoint_interval_s: float,
        meters: Meters,
    ) -> None:
        self.progress = recovered.checkpoint.progress.copy()
        """As of the last batch, whether it made an entry or not."""
        self.journaled = self.progress
        """As of the last entry; all that was taken since then changed nothing, and would change nothing again."""
        self.head = recovered.checkpoint.number
        """The last entry that is journaled."""
        self._base = recovered.checkpoint
        self._next = recovered.checkpoint
        """What the next checkpoint says: as of the last entry that is published, and of what was taken since."""
        self._unpublished = [*recovered.entries]
        """Journaled and not known to be published, the oldest first: what was recovered, and then at most one."""
        self._since_checkpoint: deque[Journaled] = deque()
        """Of each entry that is journaled since the checkpoint, the oldest first."""
        for entry in recovered.entries:
            self.progress.update(entry.progress)
            self.head = entry.number
            self._since_checkpoint.append(Journaled(entry.number, weight_of_entry(entry.changes, entry.outbox)))
        self.past = self._base.past
        """What is still to be lived a second time, if it was restored. Once that is over it stays over, even if a topic
        is made anew and read from its beginning."""
        if self.past is not None and any(map(self.past.is_through, (self._base.progress, self.progress))):
            self.past = None
            self._base = self._next = replace(self._base, past=None)
        self._memory = memory
        self._store = store
        self._log = log
        self._feed = feed
        self._interval_s = checkpoint_interval_s
        self._meters = meters
        self._logger = logger(partition=self._base.partition)
        self._room = asyncio.Event()
        self._hurry = asyncio.Event()
        """Set when the next checkpoint must not wait any longer."""
        self.has_written = False
        """Whether any entry was appended since the recovery."""
        self._is_complete = False

    async def append(self, entry: Entry, progress: Progress, weight: int) -> None:
        """Journal the next entry, of about `weight` bytes, once there is room for it. Raises Fenced."""
        while self._needs_checkpoint(entry):
            self._room.clear()
            self._hurry.set()
            await self._room.wait()
        begun = perf_counter()
        await self._store.append(entry)
        self._meters.journal_s.observe(perf_counter() - begun)
        self.has_written = True
        self.head = entry.number
        self.progress = self.journaled = progress
        self._unpublished.append(entry)
        self._since_checkpoint.append(Journaled(entry.number, weight))

    def _needs_checkpoint(self, entry: Entry) -> bool:
        """Whether there is no place for the entry, or too much is held in memory or would have to be by a new owner,
        until a checkpoint is written.
        """
        is_full = replaced_by(entry.number) > self._base.number
        to_recover = sum([one.bytes for one in self._since_checkpoint])
        return is_full or self._memory.unsaved_bytes >= MOST_UNSAVED_BYTES or to_recover >= MOST_TO_RECOVER_BYTES

    def complete(self) -> None:
        """Nothing will follow what is published: write a last checkpoint."""
        self._is_complete = True
        self._hurry.set()

    async def publish(self) -> None:
        """Publish, in order, what is journaled and not known to be published; return when the log has taken it."""
        if self._unpublished:
            await self._publish([record for entry in self._unpublished for record in entry.outbox])
            self._unpublished.clear()
        self._next = replace(self._next, number=self.head, progress=self.progress)

    async def _publish(self, records: list[Outgoing]) -> None:
        begun = perf_counter()
        while True:
            try:
                await self._log.publish(records)
            except Exception as failed:  # noqa: BLE001 - whatever it is, what is journaled must get out
                self._meters.publish_failures.inc()
                self._logger.error("not published; trying again", records=len(records), reason=repr(failed))  # noqa: TRY400 - it may last for hours
                await asyncio.sleep(RETRY_S)
            else:
                break
        self._meters.publish_s.observe(perf_counter() - begun)
        for topic, count in Counter(record.topic for record in records).items():
            self._meters.published.labels(topic).inc(count)

    async def checkpoint_often(self) -> None:
        """Write a checkpoint from time to time, and a last one when the tail is complete. Raises Fenced."""
        is_last, wait_s = False, self._interval_s
        while not is_last:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurry.wait()
            self._hurry.clear()
            is_last = self._is_complete  # and not only by the time that this checkpoint is written
            begun = asyncio.get_running_loop().time()
            try:
                await self.checkpoint()
            except Fenced:
                raise
            except Exception as failed:  # noqa: BLE001 - the journal has it all; the next attempt writes more
                self._meters.checkpoint_failures.inc()
                self._logger.error("no checkpoint; trying again", reason=repr(failed))  # noqa: TRY400 - it may last for hours
            # Where checkpoints take long, fewer of them write each document fewer times.
            took_s = asyncio.get_running_loop().time() - begun
            wait_s = max(self._interval_s, min(CHECKPOINT_PAUSE * took_s, LONGEST_PAUSE_S))

    async def checkpoint(self) -> None:
        """Write what changed, up to the last published entry. Raises Fenced."""
        checkpoint = self._next
        if checkpoint == self._base:
            return
        begun = perf_counter()
        changes = self._memory.unsaved()
        while len(changes) > SAVED_AT_ONCE:
            some, changes = changes[:SAVED_AT_ONCE], changes[SAVED_AT_ONCE:]
            await self._store.checkpoint(self._base, some)
            self._memory.saved(some)
        await self._store.checkpoint(checkpoint, changes)
        self._base = checkpoint
        self._memory.saved(changes)
        while self._since_checkpoint and self._since_checkpoint[0].number <= checkpoint.number:
            self._since_checkpoint.popleft()
        self._room.set()
        self._feed.commit(checkpoint.progress.positions)
        self._meters.checkpoint_s.observe(perf_counter() - begun)
