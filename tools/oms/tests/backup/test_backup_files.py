"""A backup says itself whether it is whole, and what the topics must still have for it."""

import gzip
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import bson
import pytest
from chassis.entry import Past
from chassis.mongo.backup import Stand
from chassis.mongo.belonging import FORMAT, Foreign
from contracts.topics import topics_read_by
from oms.backup.manifest import MANIFEST, Copy, Kept, Manifest, Part, Unfit, check, documents_of, read_manifest
from oms.backup.restoring import Missing, missing_of, pasts_of
from oms.backup.taking import back_up
from oms.log import Spans
from oms.progress import UNHEARD

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DOCUMENTS = [bson.encode({"_id": number, "body": {"units": number}}) for number in range(3)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A file of three documents."""
    path = tmp_path / "orders.bson.gz"
    with gzip.open(path, "wb") as file:
        file.writelines(DOCUMENTS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Kept(file=path.name, collection="orders", documents=3, bytes=path.stat().st_size, sha256=digest)


def copy_at(**positions: int) -> Copy:
    """A copy of a service with one partition that stood at these positions."""
    named = {topic.replace("_", "."): position for topic, position in positions.items()}
    return Copy(at=NOON, partitions={0: Part(incarnation="a1", entry=7, positions=named)}, files=())


def topics(**of_some: tuple[int, int]) -> Spans:
    """All topics that the order service reads, with one partition each; those that are not named are empty."""
    named = {topic.replace("_", "."): span for topic, span in of_some.items()}
    return {(topic, 0): named.get(topic, (0, 0)) for topic in topics_read_by("order")}


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path, kept: Kept) -> None:
    manifest = Manifest(services={"order": copy_at(order_intake=3).model_copy(update={"files": (kept,)})})
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json())

    assert read_manifest(tmp_path) == manifest
    assert read_manifest(tmp_path).services["order"].documents == 3


def test_a_backup_that_was_not_finished_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=r"manifest\.json is not there: this is no backup, or one that was not finished"):
        read_manifest(tmp_path)


def test_a_backup_that_says_no_format_is_of_before_and_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"services": {}}')
    with pytest.raises(Unfit, match=f"is of format 1, this version reads {FORMAT}"):
        read_manifest(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(f'{{"format": {FORMAT}, "services": []}}')
    with pytest.raises(Unfit, match=r"manifest\.json is damaged"):
        read_manifest(tmp_path)


def test_a_backup_of_another_format_is_left_to_the_version_that_made_it(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(f'{{"format": {FORMAT + 1}, "collections": {{}}}}')
    with pytest.raises(
        Unfit,
        match=rf"manifest\.json is of format {FORMAT + 1}, .*this version reads {FORMAT}: restore it by the version",
    ):
        read_manifest(tmp_path)


def test_a_file_gives_back_the_documents_that_were_put_into_it(tmp_path: Path, kept: Kept) -> None:
    check(tmp_path, kept)
    assert [*documents_of(tmp_path, kept)] == DOCUMENTS


@pytest.mark.parametrize("change", [lambda content: content[:-9], lambda content: content + b"x", lambda _: b""])
def test_a_damaged_file_is_named(tmp_path: Path, kept: Kept, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / kept.file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(Unfit, match=r"orders\.bson\.gz is damaged"):
        check(tmp_path, kept)


def test_a_missing_file_is_named(tmp_path: Path, kept: Kept) -> None:
    (tmp_path / kept.file).unlink()
    with pytest.raises(Unfit, match=r"orders\.bson\.gz cannot be read: No such file"):
        check(tmp_path, kept)


def test_a_file_of_fewer_documents_than_listed_is_named(tmp_path: Path, kept: Kept) -> None:
    more = kept.model_copy(update={"documents": 4})
    with pytest.raises(Unfit, match=r"orders\.bson\.gz holds 3 documents, not 4"):
        [*documents_of(tmp_path, more)]


@pytest.mark.parametrize(
    ("span", "missing"),
    [
        ((0, 9), []),
        ((5, 5), []),
        ((5, 9), []),
        ((7, 9), [Missing("order", "order.intake", 0, 5, 6)]),
        ((9, 9), [Missing("order", "order.intake", 0, 5, 8)]),
        ((0, 3), [Missing("order", "order.intake", 0, 3, 4)]),
    ],
)
def test_names_the_records_that_are_missing(span: tuple[int, int], missing: list[Missing]) -> None:
    assert [*missing_of("order", copy_at(order_intake=5), topics(order_intake=span))] == missing


def test_requests_for_repairs_may_be_missing() -> None:
    assert [*missing_of("order", copy_at(repair_requests=5), topics(repair_requests=(9, 9)))] == []


@pytest.mark.parametrize("gone", ["order.intake", "payment.events", "repair.requests"])
def test_a_topic_that_is_gone_as_a_whole_is_missed(gone: str) -> None:
    spans = {part: span for part, span in topics(order_intake=(0, 9)).items() if part[0] != gone}
    with pytest.raises(Unfit, match=f"{gone}/0 is not there: run `oms setup`, or bring it back"):
        [*missing_of("order", copy_at(order_intake=5, payment_events=900), spans)]


def test_a_topic_that_has_come_back_with_fewer_partitions_than_the_others_is_missed() -> None:
    spans = {(topic, number): (0, 0) for topic, _ in topics() for number in range(2)}
    del spans["payment.events", 1]
    (part,) = copy_at().partitions.values()
    with pytest.raises(Unfit, match=r"payment\.events/1 is not there"):
        [*missing_of("order", Copy(at=NOON, partitions={0: part, 1: part}, files=()), spans)]


def test_does_not_fit_topics_with_other_partitions() -> None:
    spans = {("order.intake", number): (0, 9) for number in range(2)}
    with pytest.raises(Unfit, match="the backup is of 1 partitions, but the topics have 2"):
        [*missing_of("order", copy_at(order_intake=5), spans)]


def test_what_is_to_be_lived_again_ends_where_the_topics_end_now() -> None:
    spans = {("order.intake", 0): (0, 9), ("payment.events", 0): (0, 4), ("shipping.events", 0): (0, 0)}
    copy = copy_at(order_intake=5, payment_events=4)
    assert pasts_of(copy, spans) == {0: Past(NOON, {"order.intake": 9})}


def test_what_is_missing_is_said_for_people() -> None:
    assert Missing("order", "order.intake", 2, 5, 6).text == "order: order.intake/2 lacks offsets 5 to 6"
    assert Missing("order", "order.intake", 2, 5, 5).text == "order: order.intake/2 lacks offset 5"


class Engines:
    """A service's topics and its database, with what is asked of both for a backup."""

    collections = ("checkpoints", "orders")
    at = NOON

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Engines"]:
        yield self

    async def spans(self, _: object) -> Spans:
        return {("order.intake", 0): (0, 3)}

    async def stands(self) -> dict[int, Stand]:
        return {0: Stand("a1", 7, {"order.intake": 2})}

    async def count(self) -> int:
        return 2 * len(DOCUMENTS)

    async def read(self, _: str) -> AsyncIterator[bytes]:
        for document in DOCUMENTS:
            yield document


async def test_a_backup_is_on_disk_before_it_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that fails after the command has ended must not take the backup along, nor leave a half for a whole."""
    directory, synced = tmp_path / "new" / "backup", {False: set[int](), True: set[int]()}
    monkeypatch.setattr("oms.backup.taking.LogReader", Engines)
    monkeypatch.setattr("oms.backup.taking.Database", Engines)
    monkeypatch.setattr("os.fsync", lambda fd: synced[(directory / MANIFEST).exists()].add(os.fstat(fd).st_ino))

    await back_up(directory, ["order"], brokers="", mongo_url="", progress=UNHEARD)

    assert len([*(directory / "order").iterdir()]) == 2
    before = {tmp_path, directory.parent, directory / "order", *(directory / "order").iterdir()}
    assert {path.stat().st_ino for path in before} <= synced[False]
    assert {path.stat().st_ino for path in (directory / MANIFEST, directory)} <= synced[True]


@pytest.mark.parametrize("there", [True, False])
async def test_nobody_else_on_the_machine_reads_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Names and addresses of customers are in it."""
    directory = tmp_path / "new" / "backup"
    if there:  # as a volume is, whose owner may be another user
        directory.mkdir(parents=True)
    monkeypatch.setattr("oms.backup.taking.LogReader", Engines)
    monkeypatch.setattr("oms.backup.taking.Database", Engines)

    await back_up(directory, ["order"], brokers="", mongo_url="", progress=UNHEARD)

    ours = [directory / "order"] if there else [directory, directory / "order"]
    assert [oct(path.stat().st_mode & 0o777) for path in ours] == ["0o700"] * len(ours)


async def test_no_backup_is_made_of_a_database_of_another_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say that it has ours."""
    directory = tmp_path / "new" / "backup"

    class OfBefore(Engines):
        @asynccontextmanager
        async def snapshot(self) -> AsyncIterator["Engines"]:
            raise Foreign("the database order has format 1")
            yield self

    monkeypatch.setattr("oms.backup.taking.LogReader", Engines)
    monkeypatch.setattr("oms.backup.taking.Database", OfBefore)
    with pytest.raises(Unfit, match=r"^the database order has format 1$"):
        await back_up(directory, ["order"], brokers="", mongo_url="", progress=UNHEARD)
    assert [*directory.parents[1].iterdir()] == []


@pytest.mark.parametrize("there", [True, False])
async def test_what_does_not_fit_on_the_disk_leaves_nothing_in_the_way_of_the_next_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    directory, pack = tmp_path / "new" / "backup", gzip.open
    if there:
        directory.mkdir(parents=True)
    monkeypatch.setattr("oms.backup.taking.LogReader", Engines)
    monkeypatch.setattr("oms.backup.taking.Database", Engines)

    def opened(path: Path, *how: Any) -> Any:  # noqa: ANN401 - as gzip has it
        return Path("/dev/full").open("wb") if path.parent.name == "payment" else pack(path, *how)

    monkeypatch.setattr("gzip.open", opened)
    with pytest.raises(Unfit, match=f"{directory} cannot be written: No space left on device"):
        await back_up(directory, ["order", "payment"], brokers="", mongo_url="", progress=UNHEARD)

    left = [*directory.parents[1].rglob("*")]
    assert left == ([directory.parent, directory] if there else [])
