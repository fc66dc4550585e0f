"""The engine: one partition of a service, from its records to its entries to what it publishes.

records, answers, alarms ─▶ fold decide ─▶ insert the entry ─▶ publish ─▶ checkpoint
                                           (the commit)
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

from contracts.record import Received
from contracts.topics import REPAIRS

from chassis.decision import AlarmRang
from chassis.engine.chronicle import Chronicle
from chassis.engine.fold import Fold, Folded, Start, Unfit
from chassis.engine.held import Held
from chassis.engine.inbox import Inbox, Taken
from chassis.engine.reliving import Reliving
from chassis.engine.time import Time
from chassis.engine.unheard import Unheard
from chassis.entry import Fenced
from chassis.limits import MOST_SLEEP_S, Limits
from chassis.ports import Clock, Feed, Log, PositionLost, RecordDamaged, Store
from chassis.service import Service
from chassis.stuck.gap import Gap
from chassis.telemetry import Meters, logger

RETRY_S = 1.0
FAILED_S = 10.0
"""How long a failure is reported after it happened, in seconds, so that a partition which fails again after each
recovery never looks healthy."""
FAILED = "failed; recovering from the journal"
LOST = "messages were lost: the partition stands still"
"""What the log says then; whoever listens to it, as the simulator does, knows them by this."""
E = TypeVar("E", bound=Exception)


class Partition:
    """Serves one partition for as long as this instance owns it."""

    _held: Held

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
        limits: Limits,
        meters: Meters,
    ) -> None:
        self.number = number
        self.state = "recovering"
        self._writer = writer
        self._service = service
        self._store = store
        self._log = log
        self._feed = feed
        self._limits = limits
        self._meters = meters
        self._logger = logger(partition=number)
        self._stopping = asyncio.Event()
        self._is_in_doubt = False
        """Whether the feed has left something out, so that all must be begun anew."""
        self._inbox = Inbox(feed, clock, service.topics, limits.inbox_max_messages)
        self._intake: Inbox | Reliving = self._inbox
        """What records wait in: the inbox, or the past that is lived a second time."""
        self._time = Time(clock)
        self._failed: tuple[float, str] | None = None
        """When it failed for the last time, by the event loop's clock, and why."""
        self._gap: Gap | None = None
        """The last gap, if the partition is not known to be past it."""
        self._positions: Mapping[str, int] = {}
        self._unheard = Unheard(feed, service.topics, number)

    # What the edge says and asks.

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records, in the order of their offsets; the feed is paused when too many wait."""
        self._intake.offer(records)

    def stop(self) -> None:
        """Ask it to finish what it has begun; `run` returns when that is journaled, published and checkpointed."""
        self._stopping.set()
        self._inbox.wake()

    def begin_anew(self) -> None:
        """Have it forget what it has, and go on from its journal: what it reads does not follow on that any more."""
        self._is_in_doubt = True
        self._inbox.wake()

    @property
    def waiting(self) -> int:
        """How many inputs wait to be decided on."""
        return len(self._intake)

    @property
    def positions(self) -> Mapping[str, int]:
        """By topic, the offset of the next record to be decided on."""
        return self._positions

    def stalled_s(self) -> float:
        """For how many seconds inputs have waited without any being dealt with; 0 when none waits."""
        return self._inbox.stalled_s()

    @property
    def failure(self) -> str | None:
        """Why it failed and recovers from the journal, if it did so just now."""
        when, why = self._failed or (0.0, None)
        return why if asyncio.get_running_loop().time() - when < FAILED_S else None

    # The life of the partition.

    async def run(self) -> None:
        """Serve until stopped or cancelled. Whatever goes wrong, it recovers from the journal and goes on."""
        gap: Gap | None = None
        while not self._stopping.is_set():
            try:
                await self._recover(gap)
                gap = await self._serve()
            except* Fenced as fenced:
                gap = None
                self._meters.fenced.inc()
                self._logger.warning("fenced", reason=str(fenced.exceptions[0]))
                # If it is ours no more, the group will say so: until then we do not snatch it back at once.
                await self._pause(RETRY_S)
            except* PositionLost as lost:
                gap = Gap.of_topic(self.number, _first(lost), self._time.now())
                self._see(gap)
            except* Exception as failed:  # noqa: BLE001 - whatever it is, it is told, and the journal has what counts
                gap = None
                self.state = "recovering"
                self._tell_failure(_first(failed), failed)
                await self._pause(RETRY_S)
        self.state = "stopped"

    def _tell_failure(self, failed: Exception, all_that_failed: BaseException) -> None:
        why = f"{type(failed).__name__}: {failed}"
        self._failed = asyncio.get_running_loop().time(), why
        self._logger.critical(FAILED, reason=why, exc_info=all_that_failed)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _see(self, gap: Gap) -> None:
        """Something is missing: stand still, and take nothing but what a person says about it."""
        self._inbox.close()
        self._meters.gaps.labels(gap.topic).inc()
        self._logger.critical(LOST, reason=gap.text)

    async def _recover(self, gap: Gap | None) -> None:
        """Start from nothing: what is in memory is not to be trusted. With a gap, stand still there."""
        self.state = "recovering"
        self._is_in_doubt = False
        self._inbox.close()
        self._intake = self._inbox
        topics = (REPAIRS.name,) if gap is not None else self._service.topics
        # First of all: a process cut off from Kafka that thinks the partition its own must not fence its owner.
        await self._feed.ends(topics)
        recovered = await self._store.recover(self.number, self._writer)
        self._held = held = Held(
            recovered,
            self._service,
            self._writer,
            store=self._store,
            log=self._log,
            feed=self._feed,
            time=self._time,
            answer=self._inbox.answer,
            limits=self._limits,
            meters=self._meters,
        )
        past = held.tail.past
        if past is None:
            self._time.flow()
        else:
            self._time.stand(past.since)
        await held.remember_all(recovered)
        self._gap = await held.known(gap)
        self._positions = held.tail.progress.positions
        # What an earlier owner may not have published. It may take long, so how far topics reach is asked after it.
        await held.tail.publish()
        spans = await self._start_feed(topics)
        for topic, (begin, _) in spans.items():
            # From now on it is known what must be there, though nothing of it was taken yet.
            held.tail.progress.positions.setdefault(topic, begin)
        self._unheard.begin({topic: end for topic, (_, end) in spans.items()})
        self._inbox.open(topics)
        state = "running" if gap is None else "gap"
        if gap is None and past is not None:
            state = "reliving"
            most = self._limits.inbox_max_messages
            chronicle = Chronicle(self._feed, self._service.topics, past, self._positions, most)
            self._intake = Reliving(chronicle, self._time, held.alarms, held.calls, self._inbox)
        self.state = state
        self._logger.info(
            "recovered", entry=held.tail.head, republishing=len(recovered.entries), epoch=recovered.checkpoint.epoch
        )

    async def _start_feed(self, topics: Collection[str]) -> Mapping[str, tuple[int, int]]:
        """See `chassis.ports.Feed`: only requests for repairs may be missing, for they may come again."""
        while True:
            try:
                return await self._feed.start_at(self._positions, topics)
            except PositionLost as lost:
                if lost.topic != REPAIRS.name:
                    raise
                self._held.tail.progress.positions[lost.topic] = lost.earliest

    async def _serve(self) -> Gap | None:
        """Serve until stopped, or until a message is missing: then, what is missing. None if it must be begun anew."""
        async with asyncio.TaskGroup() as group:
            held = self._held
            calls = group.create_task(held.calls.run() if self.state != "gap" else self._stopping.wait())
            checkpoints = group.create_task(held.tail.checkpoint_often())
            showing = group.create_task(held.showing.run())
            ahead = group.create_task(held.look_ahead(self._inbox.wake))
            gap = await self._decide_all()
            calls.cancel()
            held.tail.complete()
            await checkpoints
            await held.showing.finish()
            showing.cancel()
            ahead.cancel()
        return gap

    # Deciding and journaling.

    async def _decide_all(self) -> Gap | None:
        """Decide until stopped, until a message is missing, or until the partition must be begun anew."""
        most = size = self._limits.batch_max_messages
        begun = asyncio.get_running_loop().time()
        await self._note_gap()
        while not self._stopping.is_set() and not self._is_in_doubt:
            await self._look_up_after(begun)
            taken = await (self._intake.take(size) if isinstance(self._intake, Reliving) else self._take(size))
            begun = asyncio.get_running_loop().time()
            if not taken:
                continue
            try:
                folded = await self._fold(taken)
            except (Unfit, RecordDamaged) as bad:
                if len(taken) > 1:
                    self._intake.put_back(taken)
                    size = len(taken) // 2
                    continue
                if isinstance(bad, RecordDamaged):
                    self._tell_failure(bad, bad)
                    await self._pause(RETRY_S)
                    return None  # and fetch it again: perhaps it was damaged on the way
                folded = await self._fold(taken, bad)
            size = min(most, 2 * size)
            await self._commit(folded)
            if folded.gap is not None:
                self._see(folded.gap)
            # Now, and not beside the next batch: deciding holds up the event loop, and what is to be published with it.
            await self._held.tail.publish()
            self._inbox.decided()
            if folded.gap is not None:
                return folded.gap
            if folded.has_released or self._is_past_gap() or self._has_relived:
                return None  # what rang, was answered or came meanwhile was not heard: it comes again
        return None

    async def _commit(self, folded: Folded) -> None:
        if folded.entry is not None:
            await self._held.tail.append(folded.entry, folded.progress, folded.weight)
            for change in folded.entry.changes:
                self._held.remember(folded.stored[change.key], change)
        else:
            self._held.tail.progress = folded.progress
        self._positions = folded.progress.positions

    async def _note_gap(self) -> None:
        """Have it journaled that the partition stands still, before anything is said about it, or stands so no more."""
        if self.state == "gap" or self._has_passed_gap():
            await self._commit(await self._fold([]))
            await self._held.tail.publish()

    @property
    def _has_relived(self) -> bool:
        return isinstance(self._intake, Reliving) and self._intake.is_over

    def _is_past_gap(self) -> bool:
        """Whether the partition stands still no longer."""
        if not self._has_passed_gap():
            return False
        self._gap = None
        return self.state == "gap"

    def _has_passed_gap(self) -> bool:
        gap, progress = self._gap, self._held.tail.progress
        return gap is not None and gap.is_passed(progress, stands_still=self.state == "gap")

    async def _take(self, most: int) -> list[Taken]:
        """The next inputs, at least one unless the partition is stopping; alarms that are due come first.

        Where answers wait, alarms are half of a batch at the most: where alarms that are set again come due faster than
        they are dealt with, no answer would ever be heard that makes one needless.
        """
        alarms, under_way = self._held.alarms, self._held.under_way
        while not self._stopping.is_set() and not self._is_in_doubt:
            now = self._time.now()
            most_rung = most // 2 if self._inbox.has_ongoing else most
            rung = [AlarmRang(key) for key in alarms.due(now, most_rung)] if self._has_caught_up() else []
            self._meters.alarms.inc(len(rung))
            if taken := self._inbox.take(rung, most, under_way.room(now)):
                return taken
            alarm = alarms.next() if self._has_caught_up() else None
            moments = [when for when in (alarm, under_way.next_room()) if when is not None]
            wait_s = max(0.0, min([MOST_SLEEP_S, *((when - now).total_seconds() for when in moments)]))
            until = asyncio.get_running_loop().time() + wait_s
            await self._inbox.wait(wait_s)
            await self._look_up_after(until)
        return []

    def _has_caught_up(self) -> bool:
        """Whether a deadline counts."""
        return self.state != "gap" and self._unheard.is_over(self._positions)

    async def _look_up_after(self, since: float) -> None:
        """Nothing was taken since then. Where the partition stands still or relives, no deadline rings by the clock."""
        if self.state == "running":
            await self._unheard.look_after(since, self._positions)

    async def _fold(self, taken: Sequence[Taken], unfit: Unfit | None = None) -> Folded:
        begun = perf_counter()
        held = self._held
        held.memory.shrink()
        start = Start(
            progress=held.tail.progress,
            journaled=held.tail.journaled,
            source=held.source,
            number=held.tail.head + 1,
            writer=held.signature,
            now=self._time.now(),
            gap=self._gap,
            has_written=held.tail.has_written,
            stands_still=self.state == "gap",
        )
        fold = Fold(self._service, self.number, self._log, self._store, held.memory, held.parked, self._meters)
        folded = await fold.run(taken, start, unfit)
        self._meters.batch.observe(len(taken))
        self._meters.decide_s.observe(perf_counter() - begun)
        return folded

    def measure(self) -> None:
        """Set the gauges of this partition."""
        label = str(self.number)
        self._meters.waiting.labels(label).set(self.waiting)
        if self.state not in {"recovering", "stopped"}:
            self._meters.parked.labels(label).set(len(self._held.parked))
        if self.state == "running":
            self._meters.alarms_set.labels(label).set(len(self._held.alarms))
            self._meters.documents.labels(label).set(len(self._held.memory))


def _first(group: BaseExceptionGroup[E]) -> E:
    """What went wrong first; the rest nearly always followed from it."""
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
