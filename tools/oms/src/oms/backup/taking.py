"""Takes a backup: each service's database as it was at one moment, while the service goes on."""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from chassis.mongo.backup import Database, Snapshot
from chassis.mongo.belonging import Foreign
from chassis.ports import Unavailable
from contracts.topics import topics_read_by

from oms.backup.manifest import MANIFEST, Copy, Kept, Manifest, Part, Unfit
from oms.connection import Unreachable
from oms.log import LogReader, Spans
from oms.progress import Progress

GZIP_LEVEL = 1
"""gzip's fastest: documents are much alike, and more would only take longer."""

OURS_ALONE = 0o700
"""Names and addresses of customers are in a backup: no other user of the machine is to read it."""


async def back_up(
    directory: Path, services: Sequence[str], *, brokers: str, mongo_url: str, progress: Progress
) -> Manifest:
    """Write the databases of these services into a new directory. Raises Unfit, Unreachable and NoLog."""
    copies: dict[str, Copy] = {}
    with _whole_or_not_at_all(directory) as ours:
        async with LogReader(brokers) as log:
            for service in services:
                spans = await log.spans(topics_read_by(service))
                (directory / service).mkdir(OURS_ALONE)
                ours.append(directory / service)
                try:
                    copies[service] = await _copy(directory, service, spans, mongo_url, progress)
                except Foreign as foreign:
                    raise Unfit(str(foreign)) from foreign
                except Unavailable as failure:
                    raise Unreachable.mongo(mongo_url, failure) from failure
        manifest = Manifest(services=copies)
        with (directory / MANIFEST).open("x", encoding="utf-8") as text:
            ours.append(directory / MANIFEST)
            text.write(manifest.model_dump_json(indent=2))
        for path in (directory / MANIFEST, directory):
            _to_disk(path)
    return manifest


@contextmanager
def _whole_or_not_at_all(directory: Path) -> Iterator[list[Path]]:
    """Make the directory, and take back what was made in it, which is to be listed, if it comes to no backup: the next
    would find no room. What is there already is left to whoever else is making one.

    Raises Unfit.
    """
    made, ours = _make(directory), list[Path]()
    try:
        yield ours
    except BaseException as failure:
        with suppress(OSError):  # why there is no backup is what is to be said
            for path in ours:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for one in made:
                one.rmdir()
        if isinstance(failure, OSError):
            raise Unfit(f"{directory} cannot be written: {failure.strerror or failure}") from failure
        raise


def _make(directory: Path) -> list[Path]:
    """The directory and those above it, as far as they were not there yet. Raises Unfit."""
    made = [*takewhile(lambda one: not one.exists(), (directory, *directory.parents))]
    try:
        directory.mkdir(OURS_ALONE, parents=True, exist_ok=True)
        for one in {directory, *made}:
            _to_disk(one.parent)
    except OSError as error:
        raise Unfit(f"{directory} cannot be made: {error.strerror}") from error
    if any(directory.iterdir()):
        raise Unfit(f"{directory} is not empty: a backup has a directory of its own")
    return made


async def _copy(directory: Path, service: str, spans: Spans, mongo_url: str, progress: Progress) -> Copy:
    """Copy one service's database; `spans` says where its topics begin and end."""
    async with Database(mongo_url, service) as database, database.snapshot() as snapshot:
        stands = await snapshot.stands()
        unserved = sorted({number for _, number in spans} - stands.keys())
        if unserved:
            raise Unfit(f"the {service} service never served its partitions {unserved}: there is nothing to back up")
        progress.begin(f"backing up {service}", await snapshot.count())
        files = [await _keep(directory, service, snapshot, name, progress) for name in snapshot.collections]
    _to_disk(directory / service)
    earliest = {number: {topic: start for (topic, n), (start, _) in spans.items() if n == number} for number in stands}
    parts = {
        number: Part(
            incarnation=stand.incarnation, entry=stand.entry, positions={**earliest[number], **stand.positions}
        )
        for number, stand in sorted(stands.items())
    }
    return Copy(at=snapshot.at, partitions=parts, files=tuple(files))


async def _keep(directory: Path, service: str, snapshot: Snapshot, collection: str, progress: Progress) -> Kept:
    name, count = f"{service}/{collection}.bson.gz", 0
    path = directory / name
    with gzip.open(path, "wb", GZIP_LEVEL) as file:
        async for document in snapshot.read(collection):
            file.write(document)
            count += 1
            progress.advance(1)
    _to_disk(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Kept(file=name, collection=collection, documents=count, bytes=path.stat().st_size, sha256=digest)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a directory, would outlast a failure of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
