"""What waits for a person: remembered with since when and why, until it is dealt with."""

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
