import errno

import pytest
from contracts.record import Record
from oms.audit import auditing
from oms.audit import spool as spooling
from oms.audit.spool import Spool
from oms.cli import app
from typer.testing import CliRunner


def record(topic: str, offset: int, body: bytes | None = b"{}") -> Record:
    return Record(topic, 1, offset, 1_767_614_400_000, b"key", body, (("ce_id", b"1"), ("odd", None)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("bytes_in_memory", "is_on_disk"), [(10_000_000, False), (1000, True)])
def test_gives_each_order_its_records_as_they_came_whether_they_fit_into_memory_or_not(
    monkeypatch: pytest.MonkeyPatch, bytes_in_memory: int, *, is_on_disk: bool
) -> None:
    monkeypatch.setattr(spooling, "BYTES_IN_MEMORY", bytes_in_memory)
    spool = Spool()
    for offset in range(3):
        for order in range(500):
            spool.add(f"web:{order}", record("order.events", offset, b"x" * order))
    spool.add("web:7", record("order.intake", 0, None))

    found = dict(spool.gathered())

    assert {file._rolled for file in spool._files} == {is_on_disk}
    assert spool.count == 1501
    assert len(found) == 500
    assert found["web:7"] == [*(record("order.events", n, b"x" * 7) for n in range(3)), record("order.intake", 0, None)]
    assert [len(one.value or b"") for one in found["web:499"]] == [499, 499, 499]
    spool.close()


def test_gives_nothing_back_when_it_was_given_nothing() -> None:
    spool = Spool()

    assert list(spool.gathered()) == []
    spool.close()


@pytest.mark.usefixtures("log_levels_stay")
def test_an_audit_without_room_for_its_files_says_so_and_not_that_something_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def audit(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(auditing, "audit", audit)

    done = CliRunner().invoke(app, ["audit", "--log-only", "--brokers", "kafka:1"])

    assert done.exit_code == 2
    assert done.stderr.strip() == "error: [Errno 28] No space left on device"
