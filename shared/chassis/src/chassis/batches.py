"""Lets aiokafka read whatever a fetch brings, so that no batch that cannot be read holds up or loses another.

aiokafka raises in the middle of a fetch: the topic partition stands still, and what the same fetch had taken of other
partitions is never delivered, though the consumer has moved past it. Kafka takes header names that are not UTF-8 from
clients that do not check them, and batches that become a thousand times as large when they are unpacked; and what it
keeps may be damaged.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from cramjam import DecompressionError, gzip, lz4, zstd

from chassis.ports import Damaged, Unread

AFTER_OFFSET = 8
AFTER_LENGTH = 12
AFTER_HEADER = 61
"""Where the records of a batch begin (https://kafka.apache.org/documentation/#recordbatch)."""
CODEC = 0x07
UNPACK_INTO = {1: gzip.decompress_into, 3: lz4.decompress_into, 4: zstd.decompress_into}
"""By the number of the codec; snappy, which is number 2, makes nothing more than some twenty times as large."""
MOST_UNPACKED_BYTES = 32_000_000
"""Of a batch that Kafka takes, which has about a megabyte as it is packed."""
NEVER_TOO_LARGE_BYTES = 1000
"""What has no more when it is packed never has too much afterwards: zstd makes 128 kB of four bytes at the most."""
MOST_RECORDS = 100_000
UNPACKED = mmap.mmap(-1, MOST_UNPACKED_BYTES)
"""What is unpacked to see whether it is too large: only what was ever written to takes memory."""


class ForgivingBytes(bytearray):
    """Bytes of which any part can be decoded: what is no text is replaced."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice, as in bytearray
        found = super().__getitem__(place)
        return ForgivingBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:  # noqa: ARG002 - it never fails here
        return super().decode(encoding, "replace")


@dataclass(frozen=True, slots=True)
class Stub:
    """The one record that is read of a batch that cannot be read."""

    offset: int
    """Of the last record of the batch: what is read before that is another batch."""
    timestamp: int
    value: Unread
    timestamp_type: int = 0
    key: None = None
    headers: tuple[()] = ()
    checksum: None = None


class Batch:
    """A batch as aiokafka's fast parser reads it, or else its slow one, which can be made to forgive."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401 - aiokafka's own
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever aiokafka asks of a batch
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """Whoever made it has seen to it."""
        return True

    def __next__(self) -> Any:  # noqa: ANN401 - aiokafka's own
        """The first record: of a batch that is the marker of a transaction aiokafka takes it so."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(self._read())
        except Exception as bad:  # noqa: BLE001 - whatever it is, it concerns this batch only
            return iter([_stub(self._batch, Unread(f"nobody can read its batch: {bad!r}".encode()))])

    def _read(self) -> list[Any]:
        if self._batch.last_offset_delta >= MOST_RECORDS:
            raise ValueError(f"it has {self._batch.last_offset_delta + 1} records; at most {MOST_RECORDS} are read")
        if not _can_be_unpacked(self._batch.compression_type, self._raw[AFTER_HEADER:]):
            raise ValueError(f"it cannot be unpacked, into {MOST_UNPACKED_BYTES} bytes at the most")
        try:
            return list(self._batch)
        except UnicodeDecodeError:
            slow = _DefaultRecordBatchPy(self._raw)
            slow._maybe_uncompress()  # noqa: SLF001 - before its bytes are exchanged
            slow._buffer = ForgivingBytes(slow._buffer)  # noqa: SLF001 - there is no other way in
            return list(slow)


class DamagedBatch:
    """A batch whose checksum is wrong: nothing that it says of itself counts, but where it is."""

    producer_id = None
    is_control_batch = is_transactional = False

    def __init__(self, batch: Any) -> None:  # noqa: ANN401 - aiokafka's own
        self._stub = _stub(batch, Damaged(b"the checksum of its batch is wrong"))
        self.base_offset: int = batch.base_offset
        self.next_offset = self._stub.offset + 1

    def validate_crc(self) -> bool:
        """It is known, and told by its record: aiokafka would raise."""
        return True

    def __iter__(self) -> Iterator[Stub]:
        return iter([self._stub])


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

    def next_batch(self) -> Batch | DamagedBatch:
        start = self._position
        (length,) = struct.unpack_from(">i", self._raw, start + AFTER_OFFSET)
        self._position = start + AFTER_LENGTH + length
        batch = self._records.next_batch()
        return Batch(batch, self._raw[start : self._position]) if batch.validate_crc() else DamagedBatch(batch)


def _stub(batch: Any, value: Unread) -> Stub:  # noqa: ANN401 - aiokafka's own
    return Stub(batch.base_offset + max(0, batch.last_offset_delta), max(0, batch.max_timestamp), value)


def _can_be_unpacked(codec: int, packed: memoryview) -> bool:
    unpack_into = UNPACK_INTO.get(codec)
    if unpack_into is not None and len(packed) > NEVER_TOO_LARGE_BYTES:
        try:
            unpack_into(bytes(packed), UNPACKED)
        except DecompressionError:
            return False
    return True


def forgive() -> None:
    """From now on every consumer of this process reads so."""
    fetcher.MemoryRecords = Records
