"""What became of a request for a repair."""

from datetime import datetime
from typing import Literal

from chassis.decision import Document


class Repair(Document):
    """A request that was dealt with; that it is remembered keeps its partition from carrying it out twice."""

    kind = "repair"

    repair_id: str
    """Names the request. The id names the partition, too: people may give requests to several partitions one name."""
    partition: int
    at: datetime
    request: str
    """The type of the request."""
    about: str
    """What it was about, in words."""
    by: str
    """Who asked for it."""
    reason: str
    """Why."""
    outcome: Literal["done", "refused"]
    detail: str
    """What came of it, in a sentence."""
