"""A short run of `oms chaos`: whatever is broken while orders flow, each comes to its end, and the audit is clean."""

import asyncio
import json
import sys
from itertools import islice
from pathlib import Path

import pytest
from oms.chaos.plan import rounds

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

MINUTES = "0.75"
SEED = 88
"""All kinds come in two rounds. In the first no engine has to start again, so that the second begins in time, also on a
slow machine."""
RATE = "10"
KINDS = ("kill", "primary-kill", "network", "broker")


async def test_nothing_comes_of_what_is_broken_but_a_pause(tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    chaos = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("oms"),
        *("chaos", "--minutes", MINUTES, "--seed", str(SEED), "--rate", RATE, "--faults", ",".join(KINDS)),
        *("--report", page, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    out, err = await chaos.communicate()

    assert out, err.decode()
    report = json.loads(out)
    assert report["findings"] == []
    assert chaos.returncode == int(bool(report["too_slow"]))  # how long it takes is the machine's matter
    struck = [one["faults"] for one in report["faults"]]
    assert {fault.split()[0] for faults in struck for fault in faults} == {*KINDS}
    assert struck == [[*map(str, one.faults)] for one in islice(rounds(SEED, KINDS), len(struck))]
    assert report["untried"] == []
    assert sum(report["orders"].values()) > 100
    assert report["audit"]["waiting"] == 0
    assert page.read_text().startswith("# Chaos report\n")
