"""A process that is told to stop does so in time, whatever it waits for."""

import signal
import subprocess
import sys

JOINING = "joining"
LEFT = "left"
FOR_EVER = "await asyncio.Event().wait()"


def stopped(once_joining: str, deadline_s: float) -> tuple[int, str]:
    """With which status a process ends that is told to stop as it joins the group, and what it says after that."""
    program = f"""
import asyncio
from chassis import run
from chassis.service import Service
from chassis.settings import ChassisSettings
from fastapi import APIRouter

async def nothing(*_): ...

async def join(self):
    print("{JOINING}", flush=True)
    {once_joining}

async def leave(self):
    print("{LEFT}", flush=True)

run.MongoStore.prepare = run.KafkaLog.count_partitions = run.KafkaLog.start = nothing
run.Edge.start, run.Edge.stop = join, leave
service = Service("order", ("order.intake",), (), needs=lambda *_: (), decide=lambda *_: None)
run.run(service, ChassisSettings(http_port=0, stop_deadline_s={deadline_s}), lambda *_: APIRouter())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert any(JOINING in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30), process.stdout.read()
        finally:
            process.kill()


def test_a_stop_is_heard_while_the_group_is_joined() -> None:
    assert stopped(FOR_EVER, deadline_s=1)[0] == 1


def test_a_stop_leaves_the_group_before_the_process_ends() -> None:
    status, said = stopped("await nothing()", deadline_s=20)
    assert LEFT in said.splitlines()
    assert status == 0
