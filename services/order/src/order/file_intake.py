"""Orders from a file: one a line (NDJSON), taken in line by line, whatever the size of the file."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Literal

from chassis.http.shown import Shown
from chassis.kinds import UnreadableDocument
from chassis.limits import MOST_TAKEN_BYTES
from chassis.ports import Publisher, Reader, Unavailable
from contracts.message import Reason
from contracts.order import OrderPlaced
from contracts.reasons import Unreadable
from contracts.strict_json import MOST_OPEN_BODY_BYTES

from order.placing import send_on
from order.state import Order
from order.validation import order_id_of, read

LINES_AT_ONCE = 100
"""How many lines are read at a time, or fewer that have MOST_TAKEN_BYTES together: meanwhile nothing is decided, and
Kafka is not told that we live."""

Outcome = Literal["accepted", "refused", "unavailable"]


class LineReport(Shown):
    """What became of one line."""

    line: int
    """Where it stands in the file, from 1."""
    outcome: Outcome
    """`accepted`: it was sent on, or is known already, unchanged. `refused`: it was not, because of the reasons.
    `unavailable`: Kafka did not confirm it, and may have taken it; to send the same again is safe. Nothing after these
    lines was looked at.
    """
    order_id: str | None = None
    """The order, as `<channel>:<number>`; absent where the line does not say which one it is."""
    revision: int | None = None
    """Which placing of the order it is; absent where the line cannot be read."""
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


async def take_in(
    chunks: AsyncIterable[bytes], reader: Reader, publisher: Publisher
) -> AsyncIterator[LineReport | FileReport]:
    """Send on every order in the file; say what became of each line, and at last of them all."""
    total = FileReport()
    intake = _Intake(reader, publisher)
    async for lines in _batches(chunks):
        for report in await intake.take(lines):
            total = total.counting(report)
            yield report
        if total.unavailable:
            total = total.model_copy(update={"complete": False})
            break
    yield total


class _Intake:
    """Takes the lines of one file."""

    def __init__(self, reader: Reader, publisher: Publisher) -> None:
        self._reader = reader
        self._publisher = publisher
        self._looks_up = True
        """Until the store does not answer: to wait for it again at every hundred lines would take hours."""

    async def take(self, lines: Sequence[tuple[int, bytes]]) -> list[LineReport]:
        """All are looked up before the first is sent, for they are sent in the order in which they stand there."""
        orders: list[tuple[int, OrderPlaced]] = []
        refused: list[LineReport] = []
        for number, line in lines:
            try:
                orders.append((number, read(line)))
            except Unreadable as unreadable:
                id_ = order_id_of(line)
                refused.append(LineReport(line=number, outcome="refused", order_id=id_, reasons=unreadable.reasons))
        known = await asyncio.gather(*(self._known(order.order_id) for _, order in orders))
        placed = await asyncio.gather(*(self._place(*one, before) for one, before in zip(orders, known, strict=True)))
        return sorted((*refused, *placed), key=lambda report: report.line)

    async def _known(self, order_id: str) -> Order | None:
        """The order as it was about a second ago. What cannot be looked up is sent on: its partition knows it."""
        try:
            return await self._reader.get(Order, order_id) if self._looks_up else None
        except Unavailable:
            self._looks_up = False
        except UnreadableDocument:
            pass
        return None

    async def _place(self, number: int, order: OrderPlaced, known: Order | None) -> LineReport:
        try:
            refusal = await send_on(order, known, self._publisher)
        except Unavailable as unavailable:
            reason = Reason(path="", code="unavailable", message=str(unavailable))
            return _report(number, order, "unavailable", reason)
        return _report(number, order, "refused", refusal) if refusal else _report(number, order, "accepted")


def _report(number: int, order: OrderPlaced, outcome: Outcome, *reasons: Reason) -> LineReport:
    return LineReport(line=number, outcome=outcome, order_id=order.order_id, revision=order.revision, reasons=reasons)


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines that are not blank, numbered from 1, as many as are read at once."""
    batch: list[tuple[int, bytes]] = []
    number = size = 0
    async for line in _lines(chunks):
        number += 1
        body = line.removeprefix(BOM_UTF8) if number == 1 else line  # as some programs begin every text
        if body.strip():
            batch.append((number, body))
            size += len(body)
        if len(batch) == LINES_AT_ONCE or size >= MOST_TAKEN_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines; of one that is too long, only enough to show that it is."""
    line = b""
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line += first[: MOST_OPEN_BODY_BYTES + 1 - len(line)]
        for other in others:
            yield line
            line = other[: MOST_OPEN_BODY_BYTES + 1]
    yield line
