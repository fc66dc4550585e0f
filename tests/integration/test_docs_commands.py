"""The commands of the documentation do what the pages say. They run as a reader types them, on ports of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from contracts.topics import SERVICES
from oms.fleet import HTTP_PORT, NEXT_INSTANCE
from oms.stack import artifacts
from oms.stack.local import KAFKA_VERSION, Ports
from oms.stack.ports import free_port, is_free

from tests.pages import ROOT, Block, Page, all_pages

pytestmark = pytest.mark.integration

PAGES = [
    page
    for page in all_pages()
    if any(block.language == "sh" and block.note in {"", "endless"} for block in page.blocks)
]
BLOCK_TIMEOUT_S = 180
"""Long enough to start everything on a busy machine."""
LOOK_EVERY_S = 0.1
COLUMNS = 120
HTTP_PORTS = range(len(SERVICES) + NEXT_INSTANCE)
ADDRESS = re.compile(r"\b(localhost|127\.0\.0\.1):(\d+)\b")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
OF_THESE_TESTS = re.compile(r".*_(URL|BROKERS)|MAKE.*|MFLAGS|ARGS|PYTEST_.*")
"""Variables that say where the engines of the tests are, and how `make test` and pytest were called."""
STARTS_IT = re.compile(r"^(oms|make) up\b", re.MULTILINE)


@dataclass(frozen=True)
class Terminal:
    """A reader's terminal: nothing that runs on the machine is in its way, and it is in nobody's."""

    directory: Path
    ports: dict[int, int]
    """By the port that the pages name, the one that stands in for it."""

    @property
    def environment(self) -> dict[str, str]:
        standard = Ports()
        return {
            **{name: value for name, value in os.environ.items() if not OF_THESE_TESTS.fullmatch(name)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": str(COLUMNS),
            "CURL_HOME": str(self.directory),  # what it writes to a terminal has no meter of its progress
            "UV": os.environ.get("UV") or shutil.which("uv") or ".uv/bin/uv",  # the Makefile fetches one that lacks
            "UV_NO_SYNC": "1",  # what runs the tests is what is tested
            "THROUGHLINE_CACHE": str(self.directory / "cache"),
            "THROUGHLINE_KAFKA_PORT": str(self.ports[standard.kafka]),
            "THROUGHLINE_MONGO_PORT": str(self.ports[standard.mongo]),
            "THROUGHLINE_REDIS_PORT": str(self.ports[standard.redis]),
            "THROUGHLINE_HTTP_PORT": str(self.ports[HTTP_PORT]),
        }

    def run(self, block: Block) -> None:
        """Run the block; fails if it does not end as it should, or does not say what the page shows."""
        log = self.directory / "said"
        with log.open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - the commands are the documentation's
                ["bash", "-euo", "pipefail", "-c", self._here(block.code)],  # noqa: S607 - whichever bash there is
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(process, block, log)
        finally:
            _end(process)

    def _wait(self, process: "subprocess.Popen[bytes]", block: Block, log: Path) -> None:
        shown = _pattern(self._here(block.shown or ""))
        is_endless = block.note == "endless"
        deadline = time.monotonic() + BLOCK_TIMEOUT_S
        while process.poll() is None:
            if is_endless and shown.search(_plain(log.read_text())):
                return
            assert time.monotonic() < deadline, f"it takes longer than {BLOCK_TIMEOUT_S} s:\n{log.read_text()}"
            time.sleep(LOOK_EVERY_S)
        said = log.read_text()
        assert not is_endless, f"it ended:\n{said}"
        assert process.returncode == 0, f"exit status {process.returncode}:\n{said}"
        assert shown.search(_plain(said)), f"the page shows\n{block.shown}\nand it says\n{said}"

    def _here(self, text: str) -> str:
        """The text with the ports of this terminal."""
        return ADDRESS.sub(lambda found: f"{found[1]}:{self.ports.get(int(found[2]), found[2])}", text)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """As Ctrl-C does; what does not heed it is killed."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _plain(text: str) -> str:
    """Without white space, and with a word for moments, which are never the same."""
    return "".join(MOMENT.sub("MOMENT", text).split())


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*?".join(re.escape(part) for part in _plain(shown).split("…")))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    directory = tmp_path_factory.mktemp("docs")
    jars = artifacts.cache_dir() / f"kafka-{KAFKA_VERSION}"
    jars.mkdir(parents=True, exist_ok=True)
    (directory / ".curlrc").write_text("silent\nshow-error\n")
    (directory / "cache").mkdir()
    (directory / "cache" / jars.name).symlink_to(jars)  # what was fetched need not be fetched again
    standard = Ports()
    ports = {port: free_port() for port in (standard.kafka, standard.mongo, standard.redis)}
    first = next(port for port in iter(free_port, None) if all(is_free(port + place) for place in HTTP_PORTS))
    ports |= {HTTP_PORT + place: first + place for place in HTTP_PORTS}
    terminal = Terminal(directory, ports)
    try:
        yield terminal
    finally:
        terminal.run(Block(0, "sh", "oms down", None))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(page: Page, terminal: Terminal) -> None:
    begin(page, terminal)
    for block in page.blocks:
        if block.language == "sh" and not block.note.startswith("not-run"):
            try:
                terminal.run(block)
            except AssertionError as failure:
                raise AssertionError(f"{page.name}:{block.line}:\n{block.code}\n{failure}") from None


def begin(page: Page, terminal: Terminal) -> None:
    """A page that starts everything itself begins with nothing; any other with everything running, and full shelves."""
    runs = (terminal.directory / "cache" / "running.json").exists()
    starts_it = any(STARTS_IT.search(block.code) for block in page.blocks if not block.note)
    if starts_it and runs:
        terminal.run(Block(0, "sh", "oms down", None))
    elif not starts_it and not runs:
        terminal.run(Block(0, "sh", "oms up", None))
        terminal.run(Block(0, "sh", "oms stock load samples/stock.csv", None))


@pytest.mark.parametrize(
    ("shown", "said", "is_shown"),
    [
        ("", "anything", True),
        ("two\nlines", "here are\n  two  lines of it", True),
        ("first … last", "first, second and last", True),
        ("… last", "first", False),
        ("at 2026-01-05T12:00:00.123Z", "at 2027-02-06 13:00:01", True),
        ("1 order", "2 orders", False),
    ],
)
def test_what_is_shown_is_found_in_what_is_said(shown: str, said: str, is_shown: bool) -> None:
    assert bool(_pattern(shown).search(_plain(said))) == is_shown
