from oms.audit.spool import Spool
from oms.log import Record


def record(topic: str, offset: int, body: bytes | None = b"{}") -> Record:
    return Record(topic, 1, offset, 1_767_614_400_000, b"key", body, (("ce_id", b"1"), ("odd", None)))  # type: ignore[arg-type]


def test_gives_each_order_its_records_as_they_came() -> None:
    spool = Spool()
    for offset in range(3):
        for order in range(500):
            spool.add(f"web:{order}", record("order.events", offset, b"x" * order))
    spool.add("web:7", record("order.intake", 0, None))

    found = dict(spool.orders())

    assert spool.count == 1501
    assert len(found) == 500
    assert found["web:7"] == [*(record("order.events", n, b"x" * 7) for n in range(3)), record("order.intake", 0, None)]
    spool.close()


def test_gives_nothing_back_when_it_was_given_nothing() -> None:
    spool = Spool()

    assert list(spool.orders()) == []
    spool.close()
