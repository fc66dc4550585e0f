"""How much a partition takes on."""

from dataclasses import dataclass

MOST_SLEEP_S = 30.0
"""The longest wait without a look at the clock, in seconds: it may be set meanwhile."""
HEADER_BYTES = 50
"""What a record's header takes beside what is in it, about: there may be very many with nothing in them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a partition; see the settings of the same names."""

    batch_max_messages: int
    inbox_max_messages: int
    under_way_max_documents: int
    documents_in_memory: int
    checkpoint_interval_s: float
