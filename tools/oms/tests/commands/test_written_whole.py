"""A file that a command writes is there whole or not at all; what is no file is written into, and stays what it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oms.commands import written_whole


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """The ends of a pipe, to read and to write."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def test_a_file_that_could_not_be_written_to_its_end_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "orders.ndjson"
    path.write_text("before")

    def write_half() -> None:
        with written_whole(path) as text:
            text.write("half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_half()

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with written_whole(path) as text:
            text.write("orders")
        assert os.read(reader, 100) == b"orders"
    finally:
        os.close(reader)
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_open_already_is_written_into_by_its_number() -> None:
    with pipe() as (reader, writer):
        with written_whole(Path(f"/dev/fd/{writer}")) as text:
            text.write("orders")
        assert os.read(reader, 100) == b"orders"


@pytest.mark.parametrize("before", ["before", None])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, before: str | None) -> None:
    path, link = tmp_path / "data" / "orders.ndjson", tmp_path / "orders.ndjson"
    path.parent.mkdir()
    if before is not None:
        path.write_text(before)
    link.symlink_to(path)

    with written_whole(link) as text:
        text.write("after")

    assert link.is_symlink()
    assert path.read_text() == "after"
    assert list(path.parent.iterdir()) == [path]
