"""W3C trace context: one trace an order, one span a message.

Source: W3C Trace Context, section 3.2 (`traceparent`). Ids are derived from the messages' own ids, so that a message
that is published again after a crash has the same.
"""

import re
from hashlib import blake2b

WELL_FORMED = re.compile("..-(?!0{32})[0-9a-f]{32}-.{19}")


def trace_id_of(parent: str | None, correlation_id: str) -> str:
    """The trace of a traceparent, or the one that its correlation id begins."""
    return parent[3:35] if parent is not None and _well_formed(parent) else _hex(correlation_id, 16)


def child_of(parent: str | None, message_id: str, correlation_id: str) -> str:
    """The traceparent of a message that follows from a parent, or begins the trace of its correlation id."""
    return f"00-{trace_id_of(parent, correlation_id)}-{_hex(message_id, 8)}-01"


def _hex(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()


def _well_formed(parent: str) -> bool:
    return WELL_FORMED.match(parent) is not None
