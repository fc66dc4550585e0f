"""A process is struck in every place of the engine where some process comes: in all that there are, not in a list."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from chassis.testing.life import Life, place_of
from oms.simulate import shop
from oms.simulate.game import play
from oms.simulate.plan import FAULTS_UNTIL_S, PARTITIONS, Blow, Fault, Plan, plan_of

SEEDS = range(8)
"""Enough to lead processes also into places where they come in trouble only."""
SEATS = [(name, number) for name in shop.SERVICES for number in range(PARTITIONS)]
"""In the order in which their first processes start."""


@dataclass(frozen=True)
class Moment:
    """When the first process of a seat comes into a place."""

    plan: Plan
    seat: tuple[str, int]
    moments: int

    def struck(self, blow: Blow) -> Plan:
        fault = Fault(blow, *self.seat, 0.0, requests=0, moments=self.moments, anew=False, lasts_s=0.3, wakes_s=2.0)
        return self.plan.but(faults=(*self.plan.faults, fault))


class Witness:
    """Notes where the first process of each seat comes, and when."""

    def __init__(self) -> None:
        self.places: dict[str, Moment] = {}
        self._right = Life.pass_moment

    def watch(self, plan: Plan) -> None:
        seats: dict[Life, tuple[str, int]] = {}
        free = iter(SEATS)

        def pass_moment(life: Life, inner: Any) -> None:  # noqa: ANN401 - as Life has it
            if life not in seats and (seat := next(free, None)) is not None:
                seats[life] = seat
            if life in seats and asyncio.get_running_loop().time() < FAULTS_UNTIL_S:
                self.places.setdefault(place_of(inner), Moment(plan, seats[life], life.moments))
            self._right(life, inner)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Life, "pass_moment", pass_moment)
            play(plan)


@pytest.fixture(scope="module")
def places() -> Mapping[str, Moment]:
    """The places where processes come, each with a moment in which one is there."""
    witness = Witness()
    for plan in map(plan_of, SEEDS):
        witness.watch(plan.but(placings=plan.placings[:10]))
    return witness.places


@pytest.mark.parametrize("blow", [Blow.CRASH, Blow.FREEZE])
def test_wherever_a_process_is_struck_nothing_comes_of_it(blow: Blow, places: Mapping[str, Moment]) -> None:
    struck: set[str] = set()
    for place, moment in places.items():
        outcome = play(moment.struck(blow))
        assert outcome.findings == [], f"{blow} at {place}, seed {moment.plan.seed}: {moment}"
        struck |= outcome.struck

    print(f"{len(places)} places: {sorted(places)}")  # noqa: T201 - what `pytest -rP` shows
    assert struck >= places.keys()
    assert any(place.startswith("chassis.mongo.store.append") for place in places)
