import json
import os
import subprocess
import sys

import pytest
from oms.audit.finding import Finding
from oms.cli import app
from oms.simulate.game import play
from oms.simulate.plan import Blow, Fault, plan_of
from oms.simulate.series import Series, play_all
from oms.simulate.shrink import shrink
from typer.testing import CliRunner

EVENTFUL = 6
"""A seed in which much happens."""
PROCESSES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
"""A processor is left to the tests of another worker, some of which are about time."""


def test_a_seed_goes_the_same_way_each_time_and_in_every_process() -> None:
    once = play(plan_of(EVENTFUL))
    play(plan_of(EVENTFUL + 1))
    again = play(plan_of(EVENTFUL))

    assert once.struck
    assert (again.story, again.fingerprint) == (once.story, once.fingerprint)
    for hash_seed in ("1", "7"):  # whatever the order that strings have in sets
        elsewhere = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-c", "from oms.cli import main; main()", "simulate", "--seed", str(EVENTFUL), "--json"],
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
        )
        told = json.loads(elsewhere.stdout)
        assert (told["story"], told["fingerprint"]) == (once.story, once.fingerprint)


def test_what_fails_is_shrunk_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an order that is lost whenever a process dies, any crash will do, and any order."""
    monkeypatch.setattr("oms.simulate.process.Seat._succeed", lambda _seat, _victim: None)  # nobody takes over
    crash = Fault(Blow.CRASH, "order", 0, 1.0, requests=0, moments=0, anew=False, lasts_s=0.1, wakes_s=0.0)
    plan = plan_of(EVENTFUL)
    failed = play(plan.but(faults=(*plan.faults[:3], crash)))

    smallest = shrink(failed)

    assert {finding.check for finding in smallest.findings} >= {failed.findings[0].check}
    assert smallest.plan.faults == (crash,)
    assert len(smallest.plan.placings) == 1
    assert play(smallest.plan).story == smallest.story


def test_the_command_names_the_seed_that_fails_and_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = Finding("money", "somewhere", "web:0", "it is planted")
    monkeypatch.setattr("oms.simulate.game.check_money", lambda _bank, payments: [planted][: len([*payments])])

    done = CliRunner().invoke(app, ["simulate", "--seed", str(EVENTFUL), "--json"])

    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not told["ok"]
    assert told["findings"]
    assert told["smallest"]["seed"] == EVENTFUL
    assert told["smallest"]["faults"] == []
    assert len(told["smallest"]["orders"]) == 1


def test_no_seed_ends_with_anything_lost_doubled_oversold_or_stuck() -> None:
    seen: list[int] = []

    def look(series: Series) -> None:
        seen.append(series.seeds)

    series = play_all(range(1000), processes=PROCESSES, for_s=None, look=look)

    assert series.failing == {}, "oms simulate --seed N tells what happens, and what it takes"
    assert series.seeds == seen[-1] == 1000
