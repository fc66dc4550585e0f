"""A record that could not be handled, as it came, with the reason why."""

import json
from collections.abc import Sequence
from datetime import datetime

from contracts.dead_letter import FROM, REASONS, SERVICE, TIME, TRACEBACK
from contracts.message import Reason
from contracts.reasons import CARD_NUMBER
from contracts.record import Received, place_on_log
from contracts.topics import BY_NAME

from chassis.cause import cause_of
from chassis.entry import Outgoing
from chassis.stuck.document import Stuck

MOST_COPIED_BYTES = 1_048_576
"""The longest body that a dead letter repeats, and the longest headers and key; the record stays on its topic."""
MOST_REASONS_KEPT = 10
BY_PLACE = (("topic", 1), ("partition", 1), ("offset", 1))
"""The oldest of a partition first: by their ids, which are texts, 1000 would come before 998."""


class DeadLetter(Stuck):
    """A record that became a dead letter, until somebody retries or drops it. Its id is where it is, as
    `topic/partition/offset`; what it says is on its topic.
    """

    kind = "dead_letter"

    topic: str
    offset: int
    about: str
    """What it belongs to, as far as that can be told: mostly an order."""
    reasons: tuple[Reason, ...]
    """Why it could not be handled; of very many, the first."""
    times: int = 1
    """How often it became one: once more for each time that it was retried in vain."""

    @classmethod
    def of(cls, record: Received, reasons: Sequence[Reason], now: datetime) -> "DeadLetter":
        return cls(
            id=place_on_log(record.topic, record.partition, record.offset),
            partition=record.partition,
            since=now,
            why=reasons[0].code if reasons else "",
            topic=record.topic,
            offset=record.offset,
            about=cause_of(record).correlation_id,
            reasons=_first(reasons),
        )


def _first(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """The first reasons; that there is card data is one of them, wherever it stood."""
    return tuple(sorted(reasons, key=lambda reason: reason.code != CARD_NUMBER)[:MOST_REASONS_KEPT])


def dead_letter(
    record: Received, service: str, reasons: Sequence[Reason], now: datetime, traceback: str = ""
) -> Outgoing:
    """The record for the dead-letter topic, in the partition that it came from."""
    key, body, headers = record.key, record.value, record.headers
    if len(body or b"") > MOST_COPIED_BYTES:
        body = None
        reasons = [*reasons, Reason(path="", code="too_large", message="the body is left out; it is on its topic")]
    if len(key or b"") + sum(len(name) + len(value or b"") for name, value in headers) > MOST_COPIED_BYTES // 4:
        key, headers = None, ()
        reasons = [*reasons, Reason(path="headers", code="too_large", message="key and headers are left out, too")]
    if any(reason.code == CARD_NUMBER for reason in reasons):
        body = None
        reasons = [*reasons, Reason(path="", code="withheld", message="the body is left out; it holds card data")]
    why = json.dumps([reason.model_dump() for reason in reasons], ensure_ascii=False)
    letter = [
        *headers,
        (REASONS, why.encode(errors="replace")),
        (FROM, place_on_log(record.topic, record.partition, record.offset).encode()),
        (SERVICE, service.encode()),
        (TIME, now.isoformat().encode()),
    ]
    if traceback:
        letter.append((TRACEBACK, traceback[-8000:].encode(errors="replace")))
    return Outgoing(BY_NAME[record.topic].dead_letter, record.partition, key, body, letter)
