"""Lets aiokafka read records whose header names are not UTF-8.

Kafka takes such records from clients that do not check them. aiokafka's parser raises in the middle of the fetch: the
topic partition would stand still, and what the same fetch had taken of other partitions would never be delivered.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

AFTER_OFFSET = 8
AFTER_LENGTH = 12


class ForgivingBytes(bytearray):
    """Bytes of which any part can be decoded: what is no text is replaced."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice, as in bytearray
        found = super().__getitem__(place)
        return ForgivingBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:  # noqa: ARG002 - it never fails here
        return super().decode(encoding, "replace")


class Batch:
    """A batch as aiokafka's fast parser reads it, or else its slow one, which can be made to forgive."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401 - aiokafka's own
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever aiokafka asks of a batch
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401 - aiokafka's own
        """The first record: of a batch that is the marker of a transaction aiokafka takes it so."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            slow = _DefaultRecordBatchPy(self._raw)
            slow._maybe_uncompress()  # noqa: SLF001 - before its bytes are exchanged
            slow._buffer = ForgivingBytes(slow._buffer)  # noqa: SLF001 - there is no other way in
            return iter(slow)


class Records:
    """What a fetch brought of one partition, batch by batch; stands in for aiokafka's MemoryRecords."""

    def __init__(self, raw: bytes) -> None:
        self._records = MemoryRecords(raw)
        self._raw = memoryview(raw)
        self._position = 0

    def size_in_bytes(self) -> int:
        return len(self._raw)

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Batch:
        start = self._position
        (length,) = struct.unpack_from(">i", self._raw, start + AFTER_OFFSET)
        self._position = start + AFTER_LENGTH + length
        return Batch(self._records.next_batch(), self._raw[start : self._position])


def forgive() -> None:
    """From now on every consumer of this process reads such records."""
    fetcher.MemoryRecords = Records
