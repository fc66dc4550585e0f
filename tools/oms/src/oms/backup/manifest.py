"""What a backup holds: the manifest, which is written last, and the files that it lists."""

import gzip
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from chassis.mongo.belonging import FORMAT, UNSAID_FORMAT
from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.json"


class Unfit(Exception):  # noqa: N818 - named for what the backup is
    """The backup is damaged or incomplete, or no place for one; the message names the file."""


class Part(BaseModel):
    """Where one partition stood. Only the positions are read again: its incarnation and entry are for people to see."""

    model_config = ConfigDict(frozen=True)

    incarnation: str
    entry: int
    """Its last one."""
    positions: dict[str, int]
    """By topic, the offset of the next record to take."""


class Kept(BaseModel):
    """One collection, in a file: its documents as BSON, one after the other, packed with gzip."""

    model_config = ConfigDict(frozen=True)

    file: str
    collection: str
    documents: int
    bytes: int
    """Of the file."""
    sha256: str
    """Of the file."""


class Copy(BaseModel):
    """The database of one service."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    """Of when it is, or a moment before."""
    partitions: dict[int, Part]
    files: tuple[Kept, ...]

    @property
    def documents(self) -> int:
        return sum(kept.documents for kept in self.files)


class _Formatted(BaseModel):
    """As much of a manifest as every version can read."""

    model_config = ConfigDict(frozen=True)

    format: int = UNSAID_FORMAT
    """Of the manifest, and of the documents in the files."""


class Manifest(_Formatted):
    """What there is, of which services."""

    format: int = FORMAT
    services: dict[str, Copy]


def read_manifest(directory: Path) -> Manifest:
    """Raises Unfit."""
    path = directory / MANIFEST
    try:
        written = path.read_bytes()
        form = _Formatted.model_validate_json(written).format
        if form != FORMAT:
            raise Unfit(
                f"{path} is of format {form}, this version reads {FORMAT}: restore it by the version that made it"
            )
        return Manifest.model_validate_json(written)
    except FileNotFoundError:
        raise Unfit(f"{path} is not there: this is no backup, or one that was not finished") from None
    except (OSError, ValidationError) as error:
        raise Unfit(f"{path} is damaged: {error}") from error


def check(directory: Path, kept: Kept) -> None:
    """See whether a file is as it was written. Raises Unfit."""
    path = directory / kept.file
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unfit(f"{path} cannot be read: {error.strerror}") from error
    if digest != kept.sha256:
        raise Unfit(f"{path} is damaged: it has {path.stat().st_size:,} bytes, not the {kept.bytes:,} as written")


def documents_of(directory: Path, kept: Kept) -> Iterator[bytes]:
    """The documents in a file. Raises Unfit if there are others than were written."""
    path = directory / kept.file
    count = 0
    try:
        with gzip.open(path, "rb") as file:
            while head := file.read(4):
                yield head + file.read(int.from_bytes(head, "little") - 4)
                count += 1
    except (OSError, EOFError) as error:
        raise Unfit(f"{path} is damaged: {error}") from error
    if count != kept.documents:
        raise Unfit(f"{path} holds {count:,} documents, not {kept.documents:,}")
