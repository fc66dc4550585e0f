"""What lets several workers run tests at once.

Each draws ports of its own, who needs the machine alone has it, and what was measured is printed at the end.
"""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oms.stack import ports

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
"""The worker that this process is, if there are any: `gw0` and so on."""
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def pytest_configure() -> None:
    """Give each worker its share of the ports: what is drawn is listened on only later."""
    if WORKER is not None:
        ports.FREE_PORTS = ports.FREE_PORTS[int(WORKER.removeprefix("gw")) :: WORKERS]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that are marked `alone` come first, when most workers have no engines yet."""
    items.sort(key=lambda item: not _is_alone(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked `alone` wait for those of other workers, and have them wait for it.

    Its fixtures are part of it: to start and to stop engines takes all processors.
    """
    if WORKER is None or item.config.cache is None:
        return (yield)
    with _turn(item.config.cache.mkdir("turns"), alone=_is_alone(item)):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of tests that measure: what they print themselves is lost where workers run them."""
    done = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    measured = [report for report in done if "alone" in report.keywords]
    figures = [f"{name}: {figure}" for report in measured for name, figure in report.user_properties]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextmanager
def _turn(locks: Path, *, alone: bool) -> Iterator[None]:
    with (locks / "door").open("wb") as door, (locks / "room").open("wb") as room:
        # Who waits to be alone keeps the door shut, or others would go in and out for ever.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
