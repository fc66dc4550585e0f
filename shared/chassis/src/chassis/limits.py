"""What bounds a partition: how much it takes on, how large its records become, how long it waits."""

from dataclasses import dataclass

MOST_SLEEP_S = 30.0
"""The longest wait without a look at the clock, in seconds: it may be set meanwhile."""
LONGEST_PAUSE_S = 10.0
"""The longest pause after a checkpoint, in seconds, however long that took; the settings may ask for a longer one."""
MOST_TAKEN_BYTES = 1_000_000
"""The most bytes decided on at once, but for one larger record: the worst that a stranger can send takes some seconds a
megabyte to refuse, and while a batch is decided on nobody else is served, nor is Kafka told that we live."""
LARGEST_RECORD_BYTES = 2_097_152
"""Room for a dead letter of the largest record that Kafka takes by default, with its reasons."""
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
