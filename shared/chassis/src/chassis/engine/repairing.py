"""Carries out what people ask for: each request once, with an answer that says who asked, why, and what came of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from contracts.message import Reason
from contracts.record import Received, place_on_log
from contracts.repair import (
    AcceptGap,
    DeadLetterDropped,
    DeadLetterRetried,
    DropDeadLetter,
    GapAccepted,
    ParkedReleased,
    ReleaseParked,
    RepairCommand,
    RepairEvent,
    RepairRefused,
    RetryDeadLetter,
)
from contracts.topics import REPAIRS

from chassis.cause import Cause
from chassis.decision import D, Documents, id_in_partition
from chassis.engine.memory import Working
from chassis.engine.outbox import Outbox
from chassis.engine.reading import Item, Reading
from chassis.engine.trouble import Load, Trouble, about
from chassis.entry import Progress
from chassis.ports import Damaged, Log, RecordPlace
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked, parking_place
from chassis.stuck.repair import Repair
from chassis.telemetry import logger

E = TypeVar("E", bound=RepairEvent)


class Refused(Exception):  # noqa: N818 - named for what becomes of the request
    """The request does not fit what is there."""

    def __init__(self, path: str, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(path=path, code=code, message=message[:1000])


class Repairing:
    """Carries out requests within one batch."""

    def __init__(
        self,
        working: Working,
        outbox: Outbox,
        trouble: Trouble,
        reading: Reading,
        log: Log,
        *,
        load: Load,
        take: Callable[[Item, datetime], Awaitable[None]],
    ) -> None:
        self._working = working
        self._outbox = outbox
        self._trouble = trouble
        self._reading = reading
        self._log = log
        self._load = load
        self._take = take
        self._records: Mapping[RecordPlace, Received | None] = {}
        """What is to be taken once more, as far as Kafka gave it."""
        self.has_released = False
        """Whether anything goes on that was parked: its alarms and calls must be taken up again."""

    async def look_up(self, requests: Sequence[RetryDeadLetter]) -> None:
        """Fetch what is to be taken once more, for all of a batch at once: nobody else is served meanwhile."""
        repairs = [id_in_partition(request.partition, request.repair_id) for request in requests]
        letters = [target_of(request) for request in requests]
        await self._load([*map(Repair.key_of, repairs), *map(DeadLetter.key_of, letters)])
        known = Documents(self._working)
        wanted = {
            (letter.topic, letter.partition, letter.offset)
            for repair_id, letter_id in zip(repairs, letters, strict=True)
            if known.get(Repair, repair_id) is None
            and (letter := known.get(DeadLetter, letter_id)) is not None
            and letter.open
            and letter.topic != REPAIRS.name  # which is not retried
        }
        if wanted:
            self._records = await self._log.read(wanted)

    async def carry_out(
        self, request: RepairCommand, cause: Cause, now: datetime, gap: Gap | None, progress: Progress
    ) -> None:
        """Do what is asked for, unless it was done before; `gap` is where the partition stands still, if it does."""
        id_ = id_in_partition(request.partition, request.repair_id)
        if await self._get(Repair, id_) is not None:
            return
        try:
            answer, detail = await self._do(request, cause, now, gap, progress)
        except Refused as refused:
            answer = _answer(RepairRefused, request, request=type(request).__name__, refusal=refused.reason)
            detail = refused.reason.message
        self._working.put(
            Repair(
                id=id_,
                repair_id=request.repair_id,
                partition=request.partition,
                at=now,
                request=type(request).__name__,
                about=target_of(request),
                by=request.by,
                reason=request.reason,
                outcome="refused" if isinstance(answer, RepairRefused) else "done",
                detail=detail,
            ),
            cause.traceparent,
        )
        self._outbox.say([answer], cause)
        logger(**about(cause, request.partition, target_of(request))).warning(
            "a repair", request=type(request).__name__, by=request.by, answer=detail
        )

    async def _do(
        self, request: RepairCommand, cause: Cause, now: datetime, gap: Gap | None, progress: Progress
    ) -> tuple[RepairEvent, str]:
        match request:
            case AcceptGap():
                return self._accept(request, gap, progress)
            case DropDeadLetter():
                return await self._drop(request, cause)
            case _ if gap is not None:
                raise Refused("partition", "stands_still", f"the partition stands still: {gap.text}")
            case ReleaseParked():
                return await self._release(request, cause, now)
            case RetryDeadLetter():
                return await self._retry(request, cause, now)
            case _:
                raise Refused("", "unknown_request", f"this version does not know {type(request).__name__}")

    @staticmethod
    def _accept(request: AcceptGap, gap: Gap | None, progress: Progress) -> tuple[RepairEvent, str]:
        if gap is None:
            raise Refused("partition", "no_gap", "the partition does not stand still")
        if gap.loss != (request.topic, request.source, request.first, request.last):
            raise Refused("", "other_gap", f"this is not where the partition stands still: {gap.text}")
        gap.pass_by(progress)
        event = _answer(GapAccepted, request, topic=gap.topic, source=gap.source, first=gap.first, last=gap.last)
        return event, "the partition goes on without what is missing"

    async def _release(self, request: ReleaseParked, cause: Cause, now: datetime) -> tuple[RepairEvent, str]:
        parked = await self._get(Parked, id_in_partition(request.partition, request.place))
        if parked is None or not parked.open:
            raise Refused("place", "not_parked", f"{request.place} is not parked")
        self._trouble.release(parked, cause)
        self.has_released = True
        for kept in parked.records:
            if (item := self._reading.open(kept.again(request.partition), now)) is not None:
                await self._take(item, now)
        again = self._trouble.is_parked(request.place)
        event = _answer(ParkedReleased, request, place=request.place, records=len(parked.records), parked_again=again)
        if not again:
            return event, f"it goes on; {len(parked.records)} records were taken"
        return event, "it failed again, and is parked again"

    async def _retry(self, request: RetryDeadLetter, cause: Cause, now: datetime) -> tuple[RepairEvent, str]:
        letter = await self._open_letter(request)
        if letter.topic == REPAIRS.name:
            raise Refused("topic", "ask_again", "a request for a repair is not retried: ask again, and drop this")
        place = (letter.topic, letter.partition, letter.offset)
        if place not in self._records:
            raise Refused("", "unavailable", f"Kafka does not give the record of {letter.id}; try again")
        record = self._records[place]
        if record is None:
            raise Refused("offset", "gone", f"{letter.topic} does not have the record at {letter.offset} any more")
        if isinstance(record.value, Damaged):
            raise Refused("", "unavailable", f"what Kafka keeps of {letter.id} is damaged: {record.value.decode()}")
        self._working.put(letter.but(open=False), cause.traceparent)
        item = self._reading.open(record, now)
        if item is not None:
            await self._take(item, now)
        outcome, detail = self._became_of(letter, item)
        return _answer(DeadLetterRetried, request, topic=letter.topic, offset=letter.offset, outcome=outcome), detail

    def _became_of(self, letter: DeadLetter, item: Item | None) -> tuple[str, str]:
        """What became of a dead letter that was taken once more, in a word and in a sentence."""
        after = Documents(self._working).get(DeadLetter, letter.id)
        if after is not None and after.open:
            return "dead_letter", f"it is a dead letter again: {after.reasons[0].message}"
        if item is not None and self._trouble.is_parked(parking_place(item.input, item.key)):  # type: ignore[arg-type] # what came as a record is a message
            return "parked", "its order is parked, and it waits there"
        return "taken", "it was taken"

    async def _drop(self, request: DropDeadLetter, cause: Cause) -> tuple[RepairEvent, str]:
        letter = await self._open_letter(request)
        self._working.put(letter.but(open=False), cause.traceparent)
        return _answer(DeadLetterDropped, request, topic=letter.topic, offset=letter.offset), "it was dropped"

    async def _open_letter(self, request: RetryDeadLetter | DropDeadLetter) -> DeadLetter:
        letter = await self._get(DeadLetter, target_of(request))
        if letter is None or not letter.open:
            raise Refused("offset", "not_open", f"{target_of(request)} is not a dead letter that waits")
        return letter

    async def _get(self, model: type[D], id_: str) -> D | None:
        await self._load([model.key_of(id_)])
        return Documents(self._working).get(model, id_)


def target_of(request: RepairCommand) -> str:
    """What a request is about, in words: an order, a record, a gap."""
    match request:
        case ReleaseParked():
            return request.place
        case RetryDeadLetter() | DropDeadLetter():
            return place_on_log(request.topic, request.partition, request.offset)
        case AcceptGap():
            return (
                f"{request.topic}/{request.partition} {request.source or 'records'} {request.first} to {request.last}"
            )
        case _:
            return ""


def _answer(model: type[E], command: RepairCommand, /, **said: object) -> E:
    return model.model_validate(
        {
            "repair_id": command.repair_id,
            "service": command.service,
            "partition": command.partition,
            "by": command.by,
            "reason": command.reason,
            **said,
        }
    )
