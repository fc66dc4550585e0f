"""Records that could not be handled are counted by reason; those that are our own fault are findings.

That a channel sends something that makes no sense is not: the dead letter is the proof that it was not lost.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.topics import BY_NAME, TOPICS

from oms.audit.finding import Finding
from oms.log import Record

TOPIC_OF_DEAD_LETTERS = {topic.dead_letter: topic.name for topic in TOPICS}
OUR_OWN_FAULT = frozenset({"bug", "parked"})
MOST_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Cause:
    """What dead letters are counted by."""

    topic: str
    service: str
    code: str
    path: str
    message: str


class DeadLetters:
    """Takes the records of the dead-letter topics."""

    def __init__(self) -> None:
        self.buried: set[str] = set()
        """Where the records are that became dead letters, as `topic/partition/offset`."""
        self.parked: set[str] = set()
        """Keys of messages on which a service failed: what came after them waits."""
        self.by_cause: Counter[Cause] = Counter()
        """By the first reason that each gives."""
        self.examples: dict[Cause, list[str]] = {}
        self._findings: list[Finding] = []

    def take(self, record: Record) -> None:
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        came_from = headers.get("dead_letter_from") or record.place
        if came_from in self.buried:
            return  # published again after a crash
        self.buried.add(came_from)
        topic = TOPIC_OF_DEAD_LETTERS[record.topic]
        cause = _cause(topic, headers)
        self.by_cause[cause] += 1
        examples = self.examples.setdefault(cause, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(came_from)
        if cause.code == "bug" and record.key is not None:
            self.parked.add(record.key.decode(errors="replace"))
        if cause.code in OUR_OWN_FAULT or not BY_NAME[topic].open:
            what = f"{cause.service} could not handle the message here: {cause.path} {cause.message}".replace("  ", " ")
            self._findings.append(Finding("dead letters", came_from, headers.get("ce_correlationid", ""), what))

    def findings(self) -> Iterator[Finding]:
        yield from self._findings


def _cause(topic: str, headers: dict[str, str]) -> Cause:
    try:
        first = json.loads(headers.get("dead_letter_reasons", ""))[0]
        reason = {name: str(first[name]) for name in ("code", "path", "message")}
    except (ValueError, LookupError, TypeError):
        reason = {"code": "unknown", "path": "", "message": "the dead letter does not say why"}
    return Cause(topic=topic, service=headers.get("dead_letter_service", ""), **reason)
