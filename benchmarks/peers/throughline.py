"""Throughline's own side: `oms bench` in the environment that the project's lock file pins."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from peers.measure import Run
from peers.peer import Unavailable

PROJECT = Path(__file__).parents[2]
RUN = ("run", "--frozen", "--all-packages", "--project", str(PROJECT))
BENCH = ("oms", "bench", "--repeats", "1", "--parts", "none", "--json")


async def run(orders: int) -> Run:
    """Raises Unavailable when it ends with an error."""
    uv = os.environ.get("UV", "uv")  # uv says where it is to what it runs
    process = await asyncio.create_subprocess_exec(
        *(uv, *RUN, *BENCH, "--orders", str(orders)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    )
    said, trouble = await process.communicate()
    if process.returncode:
        raise Unavailable(f"oms bench ended with status {process.returncode}: {trouble.decode().strip()[-500:]}")
    return run_of(json.loads(said))


def run_of(report: dict[str, Any]) -> Run:
    """What `oms bench` printed, of the services with ordinary orders."""
    measured = report["throughput"]["ordinary_orders"]["services"]
    per_s = measured["orders_per_s"]["median"]
    return Run(
        {"throughline": "this checkout"},
        measured["orders"] / per_s,
        per_s,
        measured["cpu_us_per_order_in_all"]["median"],
    )
