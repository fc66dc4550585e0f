"""What a dead letter says beside the record as it came: the names of its headers, and the codes of our own faults."""

REASONS = "dead_letter_reasons"
FROM = "dead_letter_from"
SERVICE = "dead_letter_service"
TIME = "dead_letter_time"
TRACEBACK = "dead_letter_traceback"

BUG = "bug"
"""The code of the reason that a service failed on a message, and parked what it is about."""
FAILED = "failed"
"""That it failed while it read the record, and knows nothing to park."""
PARKED = "parked"
"""That what it is about is parked, with no room for more."""
