"""Records that could not be handled are counted by reason; those that are our own fault are findings.

That a channel sends something that makes no sense is not: the dead letter is the proof that it was not lost. What a
person has dealt with is not a finding any more.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chassis.stuck.parking import parking_place
from contracts.dead_letter import BUG, FAILED, FROM, PARKED, REASONS, SERVICE, TIME
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME, TOPICS

from oms.audit.finding import Finding
from oms.history.logged import logged
from oms.history.repairs import Repairs

TOPIC_OF_DEAD_LETTERS = {topic.dead_letter: topic.name for topic in TOPICS}
OUR_OWN_FAULT = frozenset({BUG, FAILED, PARKED})
MOST_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Cause:
    """What dead letters are counted by."""

    topic: str
    service: str
    code: str
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that a service could not handle, as it was the last time that it tried."""

    cause: Cause
    when: datetime
    about: str
    partition: int
    parking_place: str
    """What is parked because of it, if it was a bug."""

    def is_released(self, repairs: Repairs) -> bool:
        """Whether something was parked because of it, and has gone on."""
        is_bug = self.cause.code == BUG
        return is_bug and repairs.released(self.cause.service, self.partition, self.parking_place, self.when)


class DeadLetters:
    """Takes the records of the dead-letter topics."""

    def __init__(self) -> None:
        self._letters: dict[tuple[str, str], Letter] = {}
        """By where the record is, as `topic/partition/offset`, and by the service."""

    def take(self, record: Record) -> None:
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        topic = TOPIC_OF_DEAD_LETTERS[record.topic]
        cause = _cause(topic, headers)
        letter = Letter(
            cause=cause,
            when=_time(headers, record),
            about=headers.get("ce_correlationid", ""),
            partition=record.partition,
            parking_place=_parking_place(topic, record),
        )
        name = (headers.get(FROM) or record.place, cause.service)
        before = self._letters.get(name)
        if before is None or before.when < letter.when:
            self._letters[name] = letter

    @property
    def buried(self) -> set[str]:
        """Where the records are that became dead letters, as `topic/partition/offset`."""
        return {place for place, _ in self._letters}

    def parked(self, service: str, repairs: Repairs) -> set[str]:
        """What waits because a service failed on a message of it."""
        return {
            letter.parking_place
            for (_, name), letter in self._letters.items()
            if name == service and letter.cause.code == BUG and not letter.is_released(repairs)
        }

    def causes(self) -> tuple[Counter[Cause], dict[Cause, list[str]]]:
        """How many have which cause, by the first reason that each gives, and some of the places of each."""
        examples: dict[Cause, list[str]] = {}
        for (place, _), letter in self._letters.items():
            if len(named := examples.setdefault(letter.cause, [])) < MOST_EXAMPLES:
                named.append(place)
        return Counter(letter.cause for letter in self._letters.values()), examples

    def findings(self, repairs: Repairs) -> Iterator[Finding]:
        """Those that are our own fault, and that nobody has dealt with."""
        for (place, service), letter in self._letters.items():
            cause, since = letter.cause, letter.when
            if cause.code not in OUR_OWN_FAULT and BY_NAME[cause.topic].open:
                continue
            if not letter.is_released(repairs) and not repairs.settled(service, place, since):
                what = f"{service} could not handle the message here: {cause.path} {cause.message}".replace("  ", " ")
                yield Finding("dead letters", place, letter.about, what)


def _time(headers: Mapping[str, str], record: Record) -> datetime:
    try:
        return datetime.fromisoformat(headers.get(TIME, "")).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def _parking_place(topic: str, record: Record) -> str:
    key = (record.key or b"").decode(errors="replace")
    try:
        return parking_place(logged(replace(record, topic=topic)).message, key)
    except Unreadable:
        return key


def _cause(topic: str, headers: dict[str, str]) -> Cause:
    try:
        first = json.loads(headers.get(REASONS, ""))[0]
        reason = {name: str(first[name]) for name in ("code", "path", "message")}
    except (ValueError, LookupError, TypeError):
        reason = {"code": "unknown", "path": "", "message": "the dead letter does not say why"}
    return Cause(topic=topic, service=headers.get(SERVICE, ""), **reason)
