"""Keeps the records of orders, or of movements of stock, until all of the log is read, on disk where they are many."""

import marshal
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any

from contracts.record import Record

BUCKETS = 64
"""How many files they are kept apart in, and looked at one by one: only a fraction of them is in memory at once."""
BYTES_IN_MEMORY = 256 * 1024
"""The most that is kept in memory before it becomes a file on disk."""
LENGTH = struct.Struct(">I")


class Spool:
    """Takes records in any order and gives back together what is about the same, as it came."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._files = [self._exits.enter_context(_file()) for _ in range(BUCKETS)]
        self.count = 0

    def close(self) -> None:
        """Remove the files."""
        self._exits.close()

    def add(self, about: str, record: Record) -> None:
        file = self._files[zlib.crc32(about.encode()) % BUCKETS]
        fields = (
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )
        packed = marshal.dumps((about, fields))
        file.write(LENGTH.pack(len(packed)) + packed)
        self.count += 1

    def gathered(self) -> Iterator[tuple[str, list[Record]]]:
        """What the records are about, each with its records."""
        for file in self._files:
            file.seek(0)
            by_subject: dict[str, list[Record]] = {}
            for about, fields in _load(file):
                by_subject.setdefault(about, []).append(Record(*fields))
            yield from by_subject.items()


def _file() -> "SpooledTemporaryFile[bytes]":
    return SpooledTemporaryFile(BYTES_IN_MEMORY)


def _load(file: "SpooledTemporaryFile[bytes]") -> Iterator[tuple[str, tuple[Any, ...]]]:
    packed = memoryview(file.read())
    start = 0
    while start < len(packed):
        (length,) = LENGTH.unpack_from(packed, start)
        start += LENGTH.size
        yield marshal.loads(packed[start : start + length])  # noqa: S302 - what only this process has ever seen
        start += length
