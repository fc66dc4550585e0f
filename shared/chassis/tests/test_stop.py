"""A process that is told to stop does so in time, whatever it waits for."""

import signal
import subprocess
import sys

JOINING = "joining"
PROGRAM = f"""
import asyncio
from chassis import run
from chassis.service import Service
from chassis.settings import ChassisSettings
from fastapi import APIRouter

async def nothing(*_): ...

async def join_for_ever(self):
    print("{JOINING}", flush=True)
    await asyncio.Event().wait()

run.MongoStore.prepare = run.KafkaLog.count_partitions = run.KafkaLog.start = nothing
run.Edge.start = join_for_ever
service = Service("order", ("order.intake",), (), needs=lambda *_: (), decide=lambda *_: None)
run.run(service, ChassisSettings(http_port=0, stop_deadline_s=1), lambda *_: APIRouter())
"""


def test_a_stop_is_heard_while_the_group_is_joined() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert any(JOINING in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(20) == 1
        finally:
            process.kill()
