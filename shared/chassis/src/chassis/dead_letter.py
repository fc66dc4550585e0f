"""A record that could not be handled, as it came, with the reason why."""

import json
from collections.abc import Sequence
from datetime import datetime

from contracts.message import Reason
from contracts.topics import BY_NAME
from contracts.wire import Received

from chassis.entry import Outgoing

MOST_BYTES = 1_048_576
"""A longer body is left out of the dead letter, and so are longer headers and keys; the record stays on its topic."""
CARD_NUMBER = "card_number"
"""The code of the reason that somebody sent card data: it must not be copied any further."""


def dead_letter(
    record: Received, service: str, reasons: Sequence[Reason], now: datetime, traceback: str = ""
) -> Outgoing:
    """The record for the dead-letter topic, in the partition that it came from."""
    key, body, headers = record.key, record.value, record.headers
    if len(body or b"") > MOST_BYTES:
        body = None
        reasons = [*reasons, Reason(path="", code="too_large", message="the body is left out; it is on its topic")]
    if len(key or b"") + sum(len(name) + len(value or b"") for name, value in headers) > MOST_BYTES // 4:
        key, headers = None, ()
        reasons = [*reasons, Reason(path="headers", code="too_large", message="key and headers are left out, too")]
    if any(reason.code == CARD_NUMBER for reason in reasons):
        body = None
        reasons = [*reasons, Reason(path="", code="withheld", message="the body is left out; it holds card data")]
    why = json.dumps([reason.model_dump() for reason in reasons], ensure_ascii=False)
    letter = [
        *headers,
        ("dead_letter_reasons", why.encode(errors="replace")),
        ("dead_letter_from", f"{record.topic}/{record.partition}/{record.offset}".encode()),
        ("dead_letter_service", service.encode()),
        ("dead_letter_time", now.isoformat().encode()),
    ]
    if traceback:
        letter.append(("dead_letter_traceback", traceback[-8000:].encode(errors="replace")))
    return Outgoing(BY_NAME[record.topic].dead_letter, record.partition, key, body, letter)
