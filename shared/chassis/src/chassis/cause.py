"""What led to a message."""

from dataclasses import dataclass

from contracts.record import Received
from contracts.topics import BY_NAME


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a message."""

    id: str
    correlation_id: str
    traceparent: str | None


def cause_of(record: Received) -> Cause:
    """What can be said of a record that may not be readable."""
    headers = dict(record.headers)
    traceparent = (headers.get("traceparent") or b"")[:55].decode(errors="replace")
    is_of_order = BY_NAME[record.topic].key == ("order_id",)
    correlation = (record.key if is_of_order else None) or headers.get("ce_correlationid") or b""
    return Cause(_start_of(headers.get("ce_id") or b""), _start_of(correlation), traceparent)


def _start_of(text: bytes) -> str:
    return text[:100].decode(errors="replace")
