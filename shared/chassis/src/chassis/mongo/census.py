"""What a store is asked to count: how much waits for a person, since when, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chassis.kinds import STUCK
from chassis.ports import Count
from chassis.service import Overdue

OPEN: Mapping[str, Any] = {"body.open": True}
"""What is stuck, and not dealt with yet."""
WAITING: Mapping[str, Any] = {"$gt": 0}
"""What the field says that tells since when a document waits for something, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Question:
    """Documents of one kind that are counted by their partition and by why they are stuck."""

    kind: str
    what: str
    where: Mapping[str, Any]
    since: str
    why: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pipeline(self) -> list[Mapping[str, Any]]:
        """As MongoDB is asked."""
        by = {"partition": "$partition", "why": f"${self.why}"}
        counted = {"_id": by, "count": {"$sum": 1}, "since": {"$min": f"${self.since}"}}
        return [{"$match": self.where}, {"$group": counted}]

    def count_of(self, raw: Mapping[str, Any]) -> Count:
        """The answer, read."""
        partition, why, since = raw["_id"]["partition"], raw["_id"]["why"], raw["since"]
        is_text = isinstance(since, str)
        oldest = datetime.fromisoformat(since) if is_text else datetime.fromtimestamp(since / 1000, UTC)
        return Count(partition, self.what, why, raw["count"], oldest)


def questions(overdue: Overdue | None, now: datetime) -> Iterator[Question]:
    """All that is to be counted, last what there may be the most of: what comes late is left out by who cannot wait."""
    *few, most = [
        Question(stuck.kind, stuck.kind, OPEN, "body.since", "body.why", {"hint": "stuck"}) for stuck in STUCK
    ]
    yield from few
    if overdue is not None:
        since, until_ms = f"body.{overdue.since_ms}", int((now - overdue.after).timestamp() * 1000)
        where = {since: {**WAITING, "$lt": until_ms}}
        yield Question(overdue.kind, overdue.what, where, since, f"body.{overdue.why}", {"hint": "overdue"})
    yield most
