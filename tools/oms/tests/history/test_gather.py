from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from contracts.record import Record
from oms.history.gather import gather
from oms.log import LogReader, Spans


class OneRecord(LogReader):
    """A log with a single record."""

    def __init__(self, record: Record) -> None:
        super().__init__("nowhere")
        self._record = record

    async def spans(self, _topics: Iterable[str] | None = None) -> Spans:
        return {(self._record.topic, 0): (0, 1)}

    async def read(
        self, _spans: Spans, _on_read: Callable[[int], None] = lambda _: None
    ) -> AsyncGenerator[Sequence[Record]]:
        yield [self._record]


async def test_passes_over_what_a_stranger_wrote_among_the_answers_to_repairs() -> None:
    history, repairs, partitions = await gather(OneRecord(Record("repair.results", 0, 0, 0, None, b"{", [])), "web:1")

    assert (history.messages, repairs.answered, partitions) == ([], {}, 1)
