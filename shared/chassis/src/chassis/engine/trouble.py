"""What could not be handled: dead letters, bugs, and the orders that are parked because of them."""

import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from contracts.dead_letter import BUG, PARKED
from contracts.message import Reason
from contracts.record import Received

from chassis.cause import Cause, cause_of
from chassis.decision import Document, Documents, Input, id_in_partition
from chassis.engine.memory import Working
from chassis.engine.outbox import Outbox
from chassis.stuck.dead_letter import DeadLetter, dead_letter
from chassis.stuck.parking import Parked, with_record
from chassis.telemetry import Meters, logger
from chassis.trace import trace_id_of

Load = Callable[[Iterable[str]], Awaitable[bool]]


class Trouble:
    """Sets aside what a batch cannot handle, so that everything else goes on."""

    def __init__(
        self, service: str, partition: int, parked: Iterable[str], working: Working, outbox: Outbox, meters: Meters
    ) -> None:
        self._service = service
        self._partition = partition
        self._parked = set(parked)
        self._working = working
        self._outbox = outbox
        self._meters = meters
        self._later: list[Callable[[], None]] = []

    def is_parked(self, place: str) -> bool:
        return place in self._parked

    def report(self) -> None:
        """Count and log what there was; said last, for a batch may be folded anew in smaller portions."""
        for tell in self._later:
            tell()
        self._later.clear()  # each of them knows all of this

    def bury(self, record: Received, reasons: Sequence[Reason], now: datetime, bug: Exception | None = None) -> None:
        """The record becomes a dead letter, with the traceback if it was a bug, and is remembered until somebody
        retries or drops it.
        """
        self._publish(record, reasons, now, bug)
        letter = DeadLetter.of(record, reasons, now)
        before = self._known(letter.key)
        if isinstance(before, DeadLetter):
            letter = letter.but(times=before.times + 1)
        self._working.put(letter, cause_of(record).traceparent)

    def _publish(self, record: Received, reasons: Sequence[Reason], now: datetime, bug: Exception | None) -> None:
        trace = "".join(traceback.format_exception(bug)) if bug is not None else ""
        self._outbox.pass_on(dead_letter(record, self._service, reasons, now, trace))
        self._later.append(partial(self._tell_buried, record, reasons))
        if bug is not None:
            self._later.append(self._meters.bugs.inc)

    def set_aside(
        self, place: str, message: Input, record: Received | None, cause: Cause, bug: Exception, now: datetime
    ) -> None:
        """A bug: the record becomes a dead letter with the traceback, and its order is parked, the record first."""
        self._later.append(partial(self._tell_bug, message, cause, bug))
        parked = Parked(
            id=id_in_partition(self._partition, place),
            place=place,
            partition=self._partition,
            since=now,
            why=type(bug).__name__,
            reason=in_a_line(bug),
        )
        before = self._known(parked.key)
        if isinstance(before, Parked):
            parked = parked.but(times=before.times + 1)
        if record is None:
            self._later.append(self._meters.bugs.inc)
        else:
            reasons = [Reason(path="", code=BUG, message=in_a_line(bug))]
            kept = with_record(parked, record)
            if kept is not None:
                self._publish(record, reasons, now, bug)
                parked = kept
            else:
                self.bury(record, reasons, now, bug)
        self._working.put(parked, cause.traceparent)
        self._parked.add(place)

    def release(self, parked: Parked, cause: Cause) -> None:
        """What is parked goes on."""
        self._working.put(parked.but(open=False, records=()), cause.traceparent)
        self._parked.discard(parked.place)

    async def park(self, place: str, record: Received, cause: Cause, now: datetime, load: Load) -> None:
        """The order is parked: what comes for it waits."""
        id_ = id_in_partition(self._partition, place)
        await load([Parked.key_of(id_)])
        parked = Documents(self._working).get(Parked, id_)
        longer = with_record(parked, record) if parked else None
        if longer is None:
            full = Reason(path="", code=PARKED, message=f"{place} is parked, and no more records are kept for it")
            self.bury(record, [full], now)
        else:
            self._working.put(longer, cause.traceparent)

    def _known(self, key: str) -> Document | None:
        """The document of this key, if it is in memory: whatever is retried or released is."""
        return self._working[key] if key in self._working else None  # noqa: SIM401 - `get` raises for what is not loaded

    def _tell_buried(self, record: Received, reasons: Sequence[Reason]) -> None:
        self._meters.dead_letters.labels(record.topic).inc()
        logger(**about(cause_of(record), self._partition)).warning(
            "dead letter",
            topic=record.topic,
            offset=record.offset,
            reasons=[f"{reason.path}: {reason.message}" for reason in reasons[:5]],
        )

    def _tell_bug(self, message: Input, cause: Cause, bug: Exception) -> None:
        logger(**about(cause, self._partition)).error(
            "a bug; the order is parked", input=type(message).__name__, cause=cause.id, exc_info=bug
        )


def in_a_line(bug: Exception) -> str:
    """What an exception says, as text that can be written anywhere."""
    return f"{type(bug).__name__}: {bug}"[:500].encode(errors="replace").decode()


def about(cause: Cause, partition: int, subject: str | None = None) -> dict[str, object]:
    """What every line about a message says: its trace, and the order that it is about, or what else that is.

    Without a subject it is what the message belongs to.
    """
    subject = cause.correlation_id if subject is None else subject
    # No location has a colon, nor has anything else that lines are about.
    name = "order_id" if ":" in subject else "about"
    return {"partition": partition, name: subject, "trace_id": trace_id_of(cause.traceparent, cause.correlation_id)}
