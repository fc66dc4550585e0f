"""A record whose header name is not UTF-8 is read like any other, and so are those around it."""

import struct

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from chassis.header_names import Records, forgive

LZ4, NONE = 3, 0


def batch(*names: str, compression: int = NONE) -> bytes:
    """One record for each header name."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    for offset, name in enumerate(names):
        builder.append(offset, 1_767_614_400_000, b"key", b"value", [("ce_id", b"1"), (name, b"x"), ("none", None)])
    return bytes(builder.build())


def spoiled(good: bytes) -> bytes:
    """The batch with bytes in the name of a header that are no text, as a careless client sends it."""
    bad = good.replace(b"shop", b"sh\xff\xfe")
    assert bad != good
    return bad[:17] + struct.pack(">I", calc_crc32c(bad[21:])) + bad[21:]


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
