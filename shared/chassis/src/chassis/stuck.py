"""What waits for a person: remembered with since when and why, until it is dealt with."""

from dataclasses import dataclass
from datetime import datetime

from chassis.decision import Document


class Stuck(Document):
    """Something that does not go on by itself."""

    partition: int
    """The partition that it belongs to, and that a request to repair it must be addressed to."""
    since: datetime
    why: str
    """In a word or two, for counting."""
    open: bool = True
    """Whether it still waits."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many things of one kind are stuck in a partition for one reason."""

    partition: int
    what: str
    """The kind of document that remembers it."""
    why: str
    count: int
    since: datetime
    """Since when the oldest is."""
