import asyncio
import errno
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from oms.stack.disk import Disk, lacking

WRITES = "import sys; open(sys.argv[1], 'ab').write(bytes(100_000))"
WRITES_ON = """
import sys, time
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        file.write(bytes(4096))
        print(flush=True) if file.tell() == 4096 else time.sleep(0.0005)
"""


@pytest_asyncio.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    if why := lacking():
        pytest.skip(why)
    disk = Disk(tmp_path / "disk")
    await disk.start()
    yield disk
    await disk.stop()


def write(disk: Disk) -> subprocess.CompletedProcess[str]:
    command = disk.inside(["python3", "-c", WRITES, disk.directory / "file"])
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603  # the text above


async def test_takes_what_is_written_until_it_is_full_and_again_when_it_has_room(disk: Disk) -> None:
    assert write(disk).returncode == 0
    disk.fill()
    full = write(disk)
    assert full.returncode != 0
    assert f"[Errno {errno.ENOSPC}]" in full.stderr
    disk.clear()
    assert write(disk).returncode == 0


async def test_is_made_full_while_somebody_writes(disk: Disk) -> None:
    command = disk.inside(["python3", "-c", WRITES_ON, disk.directory / "file"])
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        await writer.stdout.readline()
        disk.fill()
        async with asyncio.timeout(20):
            _, noted = await writer.communicate()
    finally:
        if writer.returncode is None:
            writer.kill()
    assert f"[Errno {errno.ENOSPC}]" in noted.decode()


async def test_is_seen_by_nobody_else(disk: Disk) -> None:
    write(disk)
    assert list(disk.directory.iterdir()) == []
