"""Whatever a batch is like, those around it are read: one whose header name is not UTF-8 like any other, and one that
cannot be read as a single record that says why.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from chassis.kafka.batches import MOST_HEADERS, MOST_RECORDS, MOST_UNPACKED_BYTES, Records, forgive
from chassis.ports import Damaged, Unread

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NEW_YEAR_MS = 1_767_614_400_000


def begun(compression: int = NONE) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000_000,
    )


def batch(*names: str, compression: int = NONE) -> bytes:
    """One record for each header name."""
    builder = begun(compression)
    for offset, name in enumerate(names):
        builder.append(offset, NEW_YEAR_MS, b"key", b"value", [("ce_id", b"1"), (name, b"x"), ("none", None)])
    return bytes(builder.build())


def summed(raw: bytes) -> bytes:
    """The batch with the checksum that it should have."""
    return raw[:17] + struct.pack(">I", calc_crc32c(raw[21:])) + raw[21:]


def all_of(raw: bytes) -> Sequence[Any]:
    records = Records(raw)
    found = []
    while records.has_next():
        found += records.next_batch()
    return found


def spoiled(good: bytes) -> bytes:
    """The batch with bytes in the name of a header that are no text, as a careless client sends it."""
    bad = good.replace(b"shop", b"sh\xff\xfe")
    assert bad != good
    return summed(bad)


def names(raw: bytes) -> list[str]:
    """The second header's name of every record."""
    records = Records(raw)
    found: list[str] = []
    while records.has_next():
        taken = records.next_batch()
        assert taken.validate_crc()
        for record in taken:
            assert (record.key, record.value, record.timestamp) == (b"key", b"value", 1_767_614_400_000)
            assert (record.headers[0], record.headers[2]) == (("ce_id", b"1"), ("none", None))
            found.append(record.headers[1][0])
    return found


def test_aiokafka_alone_fails_in_the_middle() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(spoiled(batch("a", "shop", "b"))).next_batch())


def test_every_record_is_read_and_what_is_no_text_is_replaced() -> None:
    raw = batch("one", "two") + spoiled(batch("a", "shop", "b")) + batch("three")
    assert names(raw) == ["one", "two", "a", "sh��", "b", "three"]


@pytest.mark.parametrize("compression", [NONE, LZ4])
def test_records_with_proper_names_are_read_as_ever(compression: int) -> None:
    raw = batch("one", "zwölf", compression=compression) + batch("two", compression=compression)
    assert names(raw) == ["one", "zwölf", "two"]


def padded(size: int, compression: int) -> bytes:
    builder = begun(compression)
    for offset in range(3):
        builder.append(offset, NEW_YEAR_MS, b"key", b"value", [("padding", b"0" * (size // 3))])
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_is_large_but_not_too_large_is_unpacked(compression: int) -> None:
    assert [record.value for record in all_of(padded(MOST_UNPACKED_BYTES - 1000, compression))] == [b"value"] * 3


@pytest.mark.parametrize("compression", [GZIP, LZ4, ZSTD])
def test_a_batch_that_would_become_too_large_is_one_record_that_says_so(compression: int) -> None:
    bomb = padded(MOST_UNPACKED_BYTES + 1000, compression)
    before, stub, after = all_of(batch("one") + bomb + batch("two"))
    assert (before.value, after.value) == (b"value", b"value")
    assert (stub.offset, stub.timestamp, stub.key, stub.headers) == (2, NEW_YEAR_MS, None, ())
    assert isinstance(stub.value, Unread)
    assert b"it cannot be unpacked into at most 32000000 bytes" in stub.value


def test_a_second_part_of_what_is_packed_counts_too() -> None:
    """Kafka's other clients, and aiokafka, unpack both parts of such a stream."""
    packed = padded(MOST_UNPACKED_BYTES - 1000, GZIP)
    twice = packed[:8] + struct.pack(">i", len(packed) * 2 - 12 - 61) + packed[12:] + packed[61:]
    (stub,) = all_of(summed(twice))
    assert isinstance(stub.value, Unread)


@pytest.mark.parametrize("compression", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_of_too_many_headers_is_one_record_that_says_so(compression: int) -> None:
    """Two bytes each, as they are sent: what is read of them is thirty times as large."""
    builder = begun(compression)
    for offset in range(2):
        builder.append(offset, NEW_YEAR_MS, b"k", b"v", [("", None)] * (MOST_HEADERS // 2 + 1))
    before, stub, after = all_of(batch("one") + bytes(builder.build()) + batch("two"))
    assert (before.value, after.value) == (b"value", b"value")
    assert b"it has 1000002 headers; at most 1000000 are read" in stub.value


def test_a_fetch_is_read_no_further_than_the_memory_allows() -> None:
    """The rest is fetched again, from where that ended."""
    large = padded(3_000_000, ZSTD)
    records = Records(b"".join(moved(large, 3 * number) for number in range(9)))
    read = []
    while records.has_next():
        read.append(len(list(records.next_batch())))
    assert read == [3, 3, 3]


@pytest.mark.parametrize("size", [2**40, -5])
def test_a_record_that_goes_beyond_its_batch_is_no_way_out_of_it(size: int) -> None:
    good = batch(*(str(number) for number in range(4000)))
    key = good.index(b"\x06key")
    spoilt = bytearray(encode_varint_of(size))
    bad = summed(good[:key] + spoilt + good[key + 1 :])
    bad = summed(bad[:8] + struct.pack(">i", len(bad) - 12) + bad[12:])
    (stub,) = all_of(bad)
    assert isinstance(stub.value, Unread)


def encode_varint_of(number: int) -> list[int]:
    """As in a record: zigzag, seven bits a byte."""
    zigzag, written = (number << 1) ^ (number >> 63), list[int]()
    while zigzag > 0x7F:
        written.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return [*written, zigzag]


def test_many_headers_are_read() -> None:
    builder = begun(ZSTD)
    builder.append(0, NEW_YEAR_MS, b"k", b"v", [("", b"x" * 10)] * 100_000)
    (record,) = all_of(bytes(builder.build()))
    assert len(record.headers) == 100_000


def test_a_batch_of_too_many_records_is_one_record_that_says_so() -> None:
    builder = begun()
    for offset in range(MOST_RECORDS + 1):
        builder.append(offset, NEW_YEAR_MS, None, None, [])
    (stub,) = all_of(bytes(builder.build()))
    assert stub.offset == MOST_RECORDS
    assert b"it has 100001 records" in stub.value


def cut(good: bytes) -> bytes:
    """With less in it than it says."""
    return summed(good[:8] + struct.pack(">i", len(good) - 12 - 5) + good[12:-5])


def not_packed_as_it_says(good: bytes) -> bytes:
    return summed(good[:22] + bytes([GZIP]) + good[23:])


@pytest.mark.parametrize("spoil", [cut, not_packed_as_it_says])
def test_a_batch_that_nobody_can_read_is_one_record_that_says_so(spoil: Callable[[bytes], bytes]) -> None:
    before, stub, after = all_of(batch("one") + spoil(batch("a", "b", "c")) + batch("two"))
    assert (before.value, stub.offset, after.value) == (b"value", 2, b"value")
    assert isinstance(stub.value, Unread)
    assert not isinstance(stub.value, Damaged)


PLACES = {"attributes": 22, "last offset": 23, "last time": 36, "count": 60, "records": 64, "end": -1}


def damaged(place: str) -> bytes:
    spoilt = bytearray(batch("a", "b", "c"))
    spoilt[PLACES[place]] ^= 0x20
    return bytes(spoilt)


def moved(raw: bytes, offset: int) -> bytes:
    """The batch where Kafka has put it."""
    return struct.pack(">q", offset) + raw[8:]


@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_batch_is_one_record_that_says_so(place: str) -> None:
    """Whatever else it says: with other attributes it would be a marker, and be passed over without a word."""
    before, stub, after = all_of(batch("one") + moved(damaged(place), 10) + moved(batch("two"), 13))
    assert (before.value, after.value) == (b"value", b"value")
    assert stub.value == Damaged(b"the checksum of the batch that begins with offset 10 is wrong")
    assert isinstance(stub.value, Damaged)
    assert (stub.offset, stub.timestamp) == (12, 0)
    taken = Records(damaged(place)).next_batch()
    assert (taken.validate_crc(), taken.is_control_batch, taken.producer_id) == (True, False, None)


def test_a_batch_whose_version_is_damaged_is_one_record_that_says_so() -> None:
    older = bytearray(moved(batch("a", "b", "c"), 10))
    older[16] = 1
    (stub,) = all_of(bytes(older))
    assert stub.value == Damaged(b"the checksum of the batch that begins with offset 10 is wrong")


@pytest.mark.parametrize("length", [-1, 0, 20, 10_000_000])
def test_a_batch_whose_length_is_damaged_is_one_record_that_says_so(length: int) -> None:
    """Also the longest: aiokafka would take it for half a batch, and go on behind its first record."""
    good = moved(batch("a", "b", "c"), 10)
    records = Records(good[:8] + struct.pack(">i", length) + good[12:])
    assert records.has_next()
    (stub,) = records.next_batch()
    assert stub.value == Damaged(b"the checksum of the batch that begins with offset 10 is wrong")
    assert stub.offset >= 10


@pytest.mark.parametrize(("place", "following"), [("last offset", 11), ("records", 13)])
def test_a_damaged_batch_at_the_end_goes_as_far_as_it_can_be_believed_to_go(place: str, following: int) -> None:
    assert Records(moved(damaged(place), 10)).next_batch().next_offset == following


def test_the_marker_of_a_transaction_is_taken_from_its_batch_as_aiokafka_takes_it() -> None:
    assert next(Records(batch("marker")).next_batch()).headers[1] == ("marker", b"x")


def test_half_a_batch_at_the_end_of_a_fetch_waits_for_the_next() -> None:
    raw = batch("one")
    records = Records(raw + raw[:40])
    assert list(records.next_batch())
    assert not records.has_next()
    assert records.size_in_bytes() == len(raw) + 40


def test_consumers_read_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    forgive()
    assert fetcher.MemoryRecords is Records
