"""Lets aiokafka read whatever a fetch brings, so that no batch that cannot be read holds up or loses another.

aiokafka raises in the middle of a fetch: the topic partition stands still, and what the same fetch had taken of other
partitions is never delivered, though the consumer has moved past it. Kafka takes header names that are not UTF-8 from
clients that do not check them, and batches that become a thousand times as large when they are unpacked; and what it
keeps may be damaged.
"""

import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.codec import snappy_decode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py as decode_varint  # the fast one does not look where the bytes end
from cramjam import gzip, lz4, zstd

from chassis.limits import HEADER_BYTES
from chassis.ports import Damaged, Unread

AFTER_OFFSET = 8
AFTER_LENGTH = 12
LAST_OFFSET = 23
SHORTEST = 27
"""The fewest bytes of a batch: one that says it has fewer is damaged."""
AFTER_HEADER = 61
"""Where the records of a batch begin (https://kafka.apache.org/documentation/#recordbatch)."""
NOT_PACKED, SNAPPY = 0, 2
UNPACK_INTO = {1: gzip.decompress_into, 3: lz4.decompress_into, 4: zstd.decompress_into}
"""By the number of the codec; snappy makes nothing more than some twenty times as large."""
MOST_UNPACKED_BYTES = 32_000_000
"""The most bytes that a batch is unpacked into; packed, one that Kafka takes has about a megabyte."""
MOST_RECORDS = 100_000
MOST_HEADERS = 1_000_000
"""The most headers in a batch: one may have two bytes there, and takes some sixty when it is read."""
SIMPLE_BYTES = 100_000
"""The headers of a batch that has no more bytes than this when it is unpacked are not counted: they are few."""
MOST_FETCHED_BYTES = 8_000_000
"""How much of a fetch is read before the rest of it is fetched again: aiokafka reads five hundred records before
anybody sees them, and each may be a batch."""
UNPACKED = mmap.mmap(-1, MOST_UNPACKED_BYTES)
"""What is unpacked to see whether it is too large: only what was ever written to takes memory."""


class ForgivingBytes(bytearray):
    """Bytes of which any part can be decoded: what is not text is replaced."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice, as in bytearray
        found = super().__getitem__(place)
        return ForgivingBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:  # noqa: ARG002 - it never fails here
        return super().decode(encoding, "replace")


@dataclass(frozen=True, slots=True)
class Stub:
    """The one record that is read of a batch that cannot be read."""

    offset: int
    """Of the last record of the batch, as far as that is known: what is read before that is another batch."""
    timestamp: int
    value: Unread
    timestamp_type: int = 0
    key: None = None
    headers: tuple[()] = ()
    checksum: None = None


class Batch:
    """A batch as aiokafka's fast parser reads it, or else its slow one, which can be made to forgive."""

    def __init__(self, batch: Any, raw: memoryview, weigh_in: Callable[[int], None]) -> None:  # noqa: ANN401 - aiokafka's own
        self._batch = batch
        self._raw = raw
        self._weigh_in = weigh_in

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
            first, last = self._batch.base_offset, self._batch.base_offset + self._batch.last_offset_delta
            why = f"nobody can read the batch of offsets {first} to {last}: {bad!r}"
            return iter([Stub(last, self._batch.max_timestamp, Unread(why.encode()))])

    def _read(self) -> list[Any]:
        if self._batch.last_offset_delta >= MOST_RECORDS:
            raise ValueError(f"it has {self._batch.last_offset_delta + 1} records; at most {MOST_RECORDS} are read")
        self._weigh_in(weight_of(self._batch.compression_type, self._raw[AFTER_HEADER:]))
        try:
            return list(self._batch)
        except UnicodeDecodeError:
            slow = _DefaultRecordBatchPy(self._raw)
            slow._maybe_uncompress()  # noqa: SLF001 - before its bytes are exchanged
            slow._buffer = ForgivingBytes(slow._buffer)  # noqa: SLF001 - there is no other way in
            return list(slow)


class DamagedBatch:
    """A batch whose checksum is wrong: nothing that it says of itself counts, but where it begins and how long it is.

    aiokafka passes over what is told of an offset before the one that it fetches. So where nobody knows how far the
    last batch of a topic went, and the fetch began in its middle, it is told only when another comes behind it.
    """

    producer_id = None
    is_control_batch = is_transactional = False

    def __init__(self, first: int, following: int) -> None:
        why = f"the checksum of the batch that begins with offset {first} is wrong"
        self._stub = Stub(following - 1, 0, Damaged(why.encode()))
        self.base_offset = first
        self.next_offset = following

    def validate_crc(self) -> bool:
        """It is known, and told by its record: aiokafka would raise."""
        return True

    def __iter__(self) -> Iterator[Stub]:
        return iter([self._stub])


class Records:
    """What a fetch brought of one partition, batch by batch; stands in for aiokafka's MemoryRecords."""

    def __init__(self, raw: bytes) -> None:
        self._raw = memoryview(raw)
        self._position = 0
        self._weight = 0
        """Of the batches that were read, about."""

    def size_in_bytes(self) -> int:
        return len(self._raw)

    def has_next(self) -> bool:
        """Half a batch at the end is fetched again, as a whole; but the first is whole, or its length is damaged."""
        if self._position + SHORTEST > len(self._raw) or self._weight >= MOST_FETCHED_BYTES:
            return False
        return self._position == 0 or self._end() <= len(self._raw)

    def _end(self) -> int:
        """Where the next batch ends."""
        length = _int32(self._raw, self._position + AFTER_OFFSET)
        return max(self._position + SHORTEST, self._position + AFTER_LENGTH + length)

    def next_batch(self) -> Batch | DamagedBatch:
        start, self._position = self._position, self._end()
        raw = self._raw[start : self._position]
        if (whole := _parsed(raw)) is not None:
            return Batch(whole, raw, self._weigh_in)
        first = _int64(raw, 0)
        return DamagedBatch(first, self._following(first, start))

    def _following(self, first: int, start: int) -> int:
        """The offset after a damaged batch: where the next one begins, or else what it says itself, if that can be."""
        if self._position + AFTER_OFFSET <= len(self._raw):
            following = _int64(self._raw, self._position)
            if first < following <= first + MOST_RECORDS:
                return following
        says = _int32(self._raw, start + LAST_OFFSET)
        return first + (says if 0 <= says < MOST_RECORDS else 0) + 1

    def _weigh_in(self, weight: int) -> None:
        self._weight += weight


def _int32(raw: memoryview, place: int) -> int:
    return int(struct.unpack_from(">i", raw, place)[0])


def _int64(raw: memoryview, place: int) -> int:
    return int(struct.unpack_from(">q", raw, place)[0])


def _parsed(raw: memoryview) -> Any | None:  # noqa: ANN401 - aiokafka's own
    """The batch, its records unread; None if it is damaged."""
    try:
        batch = MemoryRecords(bytes(raw)).next_batch()
    except CorruptRecordException:
        return None
    return batch if batch is not None and batch.validate_crc() else None


def weight_of(codec: int, packed: memoryview) -> int:
    """How many bytes the records of a batch take when they are read, about.

    Raises ValueError, or what the codec raises, for what would fill the memory.
    """
    unpacked = packed if codec == NOT_PACKED else _unpacked(codec, bytes(packed))
    headers = _headers_in(unpacked) if len(unpacked) > SIMPLE_BYTES else 0
    if headers > MOST_HEADERS:
        raise ValueError(f"it has {headers} headers; at most {MOST_HEADERS} are read")
    return len(unpacked) + headers * HEADER_BYTES


def _unpacked(codec: int, packed: bytes) -> memoryview:
    if codec == SNAPPY:
        return memoryview(snappy_decode(packed))
    try:
        return memoryview(UNPACKED)[: UNPACK_INTO[codec](packed, UNPACKED)]
    except Exception as error:
        raise ValueError(f"it cannot be unpacked into at most {MOST_UNPACKED_BYTES} bytes") from error


def _headers_in(records: memoryview) -> int:
    """How many headers they have (https://kafka.apache.org/documentation/#record)."""
    place = headers = 0
    while place < len(records):
        length, begin = decode_varint(records, place)
        following = begin + length
        if not place < following <= len(records):
            raise ValueError(f"a record has {length} bytes")
        place = begin + 1  # its attributes
        for _ in ("time", "offset"):
            _, place = decode_varint(records, place)
        for _ in ("key", "value"):
            size, place = decode_varint(records, place)
            place += max(0, size)
        count, _ = decode_varint(records, place)
        headers += max(0, count)
        place = following
    return headers


def forgive() -> None:
    """From now on every consumer of this process reads so."""
    fetcher.MemoryRecords = Records
