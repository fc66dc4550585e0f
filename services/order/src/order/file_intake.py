"""Orders from a file: one a line (NDJSON), taken in line by line, whatever the size of the file."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Literal

from chassis.inbox import MOST_TAKEN_BYTES
from chassis.ports import Publisher, Unavailable
from chassis.shown import Shown
from contracts.message import Reason
from contracts.wire import MOST_OPEN_BODY_BYTES, Unreadable

from order.validation import read

LINES_AT_ONCE = 100
"""So many lines are read at once, or fewer that have MOST_TAKEN_BYTES together: meanwhile nothing is decided, and
Kafka is not told that we live."""


class LineReport(Shown):
    """What became of one line."""

    line: int
    """Where it stands in the file, from 1."""
    outcome: Literal["accepted", "refused", "unavailable"]
    """`accepted`: it was sent on, or is known already, just so. `refused`: nothing came of it. `unavailable`: Kafka did not
    confirm it, and may have taken it; to send the same again is safe. Nothing after these lines was looked at.
    """
    order_id: str | None = None
    revision: int | None = None
    reasons: tuple[Reason, ...] = ()
    """Everything that is wrong with it."""


class FileReport(Shown):
    """The last line of the report."""

    accepted: int = 0
    refused: int = 0
    unavailable: int = 0
    complete: bool = True
    """Whether the whole file was looked at."""

    def counting(self, report: LineReport) -> "FileReport":
        return self.model_copy(update={report.outcome: getattr(self, report.outcome) + 1})


async def take_in(chunks: AsyncIterable[bytes], publisher: Publisher) -> AsyncIterator[LineReport | FileReport]:
    """Publish every order in the file; say what became of each line, and at last of them all."""
    total = FileReport()
    async for lines in _batches(chunks):
        for report in await asyncio.gather(*(_place(number, line, publisher) for number, line in lines)):
            total = total.counting(report)
            yield report
        if total.unavailable:
            total = total.model_copy(update={"complete": False})
            break
    yield total


async def _place(number: int, line: bytes, publisher: Publisher) -> LineReport:
    try:
        order = read(line)
    except Unreadable as unreadable:
        return LineReport(line=number, outcome="refused", reasons=unreadable.reasons)
    try:
        await publisher.publish(order)
    except Unavailable as unavailable:
        reason = Reason(path="", code="unavailable", message=str(unavailable))
        return LineReport(
            line=number, outcome="unavailable", order_id=order.order_id, revision=order.revision, reasons=(reason,)
        )
    return LineReport(line=number, outcome="accepted", order_id=order.order_id, revision=order.revision)


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines that are not blank, numbered from 1, as many as are read at once."""
    batch: list[tuple[int, bytes]] = []
    number = size = 0
    async for line in _lines(chunks):
        number += 1
        if line.strip():
            batch.append((number, line))
            size += len(line)
        if len(batch) == LINES_AT_ONCE or size >= MOST_TAKEN_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines; of one that is too long, only so much as shows that it is."""
    line = b""
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line += first[: MOST_OPEN_BODY_BYTES + 1 - len(line)]
        for other in others:
            yield line
            line = other[: MOST_OPEN_BODY_BYTES + 1]
    yield line
