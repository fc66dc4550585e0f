from datetime import UTC, datetime

from chassis.engine.outbox import forwarded
from chassis.stuck.dead_letter import dead_letter
from contracts.asyncapi import DEAD_LETTER_HEADERS, HEADERS
from contracts.example import ExampleRecord
from contracts.order import CancelOrder
from contracts.record import Headers
from contracts.wire import Envelope, encode

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ENVELOPE = Envelope(
    message=CancelOrder(order_id="web:1001", reason="changed my mind", requested_by="Ann"),
    id="1",
    source="web",
    time=NOW,
    correlation_id="web:1001",
    causation_id="0",
    sequence=1,
    traceparent=f"00-{'1' * 32}-{'2' * 16}-01",
)


def names(headers: Headers) -> set[str]:
    return {name for name, _ in headers}


def test_every_header_that_is_written_is_described_in_asyncapi_and_no_other() -> None:
    body, headers = encode(ENVELOPE)
    record = ExampleRecord("order.intake", b"web:1001", body, headers)
    moved = forwarded(record, 1, "web:1001")
    letter = dead_letter(record, "order", [], NOW, traceback="a bug")
    assert (
        names(moved.headers) - {"content-type"} == HEADERS.keys()
    )  # AsyncAPI has a field of its own for the body's type
    assert names(letter.headers) - names(record.headers) == DEAD_LETTER_HEADERS.keys()
