"""Puts a backup back: nothing is written before it is sure that the services can catch up from the topics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from chassis.entry import Past
from chassis.mongo.backup import Database
from chassis.ports import Unavailable
from contracts.topics import REPAIRS, topics_read_by

from oms.backup.manifest import Copy, Manifest, Unfit, check, documents_of, read_manifest
from oms.connection import Unreachable
from oms.log import LogReader, Spans
from oms.progress import Progress


class Running(Exception):  # noqa: N818 - named for the state
    """Instances of a service run, or were killed so recently that Kafka does not know it yet."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Records that a restored partition would have to take, and that its topic does not have."""

    service: str
    topic: str
    partition: int
    first: int
    last: int

    @property
    def text(self) -> str:
        many = f"offsets {self.first} to {self.last}" if self.last > self.first else f"offset {self.first}"
        return f"{self.service}: {self.topic}/{self.partition} lacks {many}"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, or what is missing to do it."""

    services: Mapping[str, Copy]
    to_relive: Mapping[str, int]
    """By service, how many records it has to take again."""
    missing: Sequence[Missing] = ()


async def restore(
    directory: Path, services: Sequence[str], *, brokers: str, mongo_url: str, progress: Progress
) -> Restored:
    """Put back the databases of these services, of all that are in the backup if none is named.

    Raises Unfit, Running, Unreachable and NoLog. If records are missing, nothing is written.
    """
    copies = _wanted(read_manifest(directory), directory, services)
    files = [kept for copy in copies.values() for kept in copy.files]
    progress.begin("checking the files", len(files))
    for kept in files:
        check(directory, kept)
        progress.advance(1)
    async with LogReader(brokers) as log:
        for service in copies:
            if running := await log.members(service):
                raise Running(
                    f"{running} instances of the {service} service run: stop them first. One that was killed counts "
                    "until its SESSION_TIMEOUT_S is over."
                )
        spans = {service: await log.spans(topics_read_by(service)) for service in copies}
    missing = [one for service, copy in copies.items() for one in missing_of(service, copy, spans[service])]
    to_relive = {service: _to_relive(copy, spans[service]) for service, copy in copies.items()}
    if not missing:
        for service, copy in copies.items():
            await _put_back(directory, service, copy, spans[service], mongo_url, progress)
    return Restored(copies, to_relive, missing)


def _wanted(manifest: Manifest, directory: Path, services: Sequence[str]) -> dict[str, Copy]:
    for service in services:
        if service not in manifest.services:
            held = ", ".join(manifest.services)
            raise Unfit(f"{directory} holds no backup of the {service} service, but of {held}")
    return {name: copy for name, copy in manifest.services.items() if not services or name in services}


def missing_of(service: str, copy: Copy, spans: Spans) -> Iterator[Missing]:
    """What the topics lack between the backup and their ends. Raises Unfit if one of them is not there at all."""
    numbers = {number for _, number in spans}
    if numbers != copy.partitions.keys():
        raise Unfit(f"the backup is of {len(copy.partitions)} partitions, but the topics have {len(numbers)}")
    for topic, number in product(topics_read_by(service), sorted(numbers)):
        if (topic, number) not in spans:
            raise Unfit(f"{topic}/{number} is not there: run `oms setup`, or bring it back")
    for (topic, number), (start, end) in spans.items():
        position = copy.partitions[number].positions.get(topic, start)
        if topic == REPAIRS.name:
            continue  # requests that were lost may come again
        if position < start:
            yield Missing(service, topic, number, position, start - 1)
        elif position > end:
            yield Missing(service, topic, number, end, position - 1)


def pasts_of(copy: Copy, spans: Spans) -> dict[int, Past]:
    return {
        number: Past(
            copy.at,
            {
                topic: end
                for (topic, n), (_, end) in spans.items()
                if n == number and end > part.positions.get(topic, 0)
            },
        )
        for number, part in copy.partitions.items()
    }


def _to_relive(copy: Copy, spans: Spans) -> int:
    return sum(
        max(0, end - copy.partitions[number].positions.get(topic, start))
        for (topic, number), (start, end) in spans.items()
        if number in copy.partitions
    )


async def _put_back(
    directory: Path, service: str, copy: Copy, spans: Spans, mongo_url: str, progress: Progress
) -> None:
    progress.begin(f"restoring {service}", copy.documents)
    content = {kept.collection: documents_of(directory, kept) for kept in copy.files}
    try:
        async with Database(mongo_url, service) as database:
            async for written in database.replace(content, pasts_of(copy, spans)):
                progress.advance(written)
    except Unavailable as failure:
        raise Unreachable.mongo(mongo_url, failure) from failure
