"""What is to happen in one simulation: who orders what, and what goes wrong. All of it follows from the seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from contracts.topics import SERVICES

from oms.simulate.line import Mishap
from oms.simulate.shop import ORDERS

PARTITIONS = 2
IN_TWO_VERSIONS = ("order", "payment")
ORDERED_WITHIN_S = 15.0
"""The last order is placed by then."""
FAULTS_UNTIL_S = 25.0
"""Nothing goes wrong any more from then on."""
MOST_ORDERS = 40
MOST_FAULTS = 8
MOST_ROLLS = 4


class Blow(StrEnum):
    """What may happen to a process."""

    CRASH = "crashes"
    FREEZE = "freezes, and wakes as a zombie"
    SPLIT = "goes on while another takes over"
    HAND_OVER = "is to hand over"
    CLOCK = "has its clock jump"


class Roll(StrEnum):
    """Which version of its service a process makes way for, as a rolling upgrade goes on or is taken back."""

    OLD = "is to hand over to the old version"
    NEW = "is to hand over to the new version"


class Blackout(StrEnum):
    """What may happen to a database."""

    FAIL_OVER = "primary fails"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    what: Blow | Roll | Mishap | Blackout
    service: str
    partition: int
    at_s: float
    """From when on it is due, for the process that serves the partition then."""
    requests: int
    """How many of its requests later it happens; with 0, at once."""
    moments: int
    """How many of its moments after that."""
    anew: bool
    """Whether it then waits until the process is at a place in the code where it was not in these moments."""
    lasts_s: float
    """Until another process takes over, or there is another primary; or by how much the clock jumps."""
    wakes_s: float
    """After how long the process that was taken for dead is seen to live, and has to stop."""

    def __str__(self) -> str:
        when = f"{self.at_s:.3f} s: {self.service}/{self.partition}"
        match self.what:
            case Blackout():
                return f"{self.at_s:.3f} s: {self.service}'s {self.what}, for {self.lasts_s:.3f} s"
            case Mishap():
                return f"{when}, {self.requests} requests later: {self.what}"
            case Blow.CLOCK:
                more = f" by {self.lasts_s:+.3f} s"
            case Blow.CRASH:
                more = f", for {self.lasts_s:.3f} s"
            case Blow.FREEZE:
                more = f", for {self.lasts_s:.3f} s and {self.wakes_s:.3f} s"
            case Blow.SPLIT:
                more = f", for {self.wakes_s:.3f} s"
            case Blow.HAND_OVER | Roll():
                more = ""
        where = ", in a new place" if self.anew else ""
        return f"{when}, {self.requests} requests and {self.moments} moments later{where}: {self.what}{more}"


@dataclass(frozen=True, slots=True)
class Placing:
    """One order, and what its channel does about it."""

    number: int
    at_s: float
    kind: int
    """Which of the shop's orders it is."""
    cancel_s: float | None
    """When the customer thinks better of it."""
    again_s: float | None
    """When the channel sends it a second time."""
    is_astray: bool
    """Whether the channel's partitioner is another than ours."""

    def __str__(self) -> str:
        again = f", again at {self.again_s:.3f} s" if self.again_s is not None else ""
        cancel = f", cancelled at {self.cancel_s:.3f} s" if self.cancel_s is not None else ""
        astray = ", astray" if self.is_astray else ""
        return f"{self.at_s:.3f} s: order {self.number} of kind {self.kind}{astray}{again}{cancel}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that happens from outside in one simulation."""

    seed: int
    placings: tuple[Placing, ...]
    faults: tuple[Fault, ...]

    def but(self, *, placings: tuple[Placing, ...] | None = None, faults: tuple[Fault, ...] | None = None) -> "Plan":
        return replace(
            self,
            placings=self.placings if placings is None else placings,
            faults=self.faults if faults is None else faults,
        )


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    return Plan(
        seed=seed,
        placings=tuple(_placing(number, chance) for number in range(chance.randint(4, MOST_ORDERS))),
        faults=(*_faults(chance), *_rolling_upgrades(chance)),
    )


def _placing(number: int, chance: random.Random) -> Placing:
    at_s = chance.random() * ORDERED_WITHIN_S
    return Placing(
        number=number,
        at_s=at_s,
        kind=chance.randrange(len(ORDERS)),
        cancel_s=at_s + chance.expovariate(0.1) if chance.random() < 0.2 else None,
        again_s=at_s + chance.expovariate(0.1) if chance.random() < 0.2 else None,
        is_astray=chance.random() < 0.1,
    )


def _faults(chance: random.Random) -> Iterator[Fault]:
    for _ in range(chance.randint(0, MOST_FAULTS)):
        yield _fault(chance, chance.choice((*Blow, *Blow, *Mishap, *Blackout)), chance.choice(SERVICES))


def _rolling_upgrades(chance: random.Random) -> Iterator[Fault]:
    """For each service one, in part or in full, forward and back, or none."""
    for service in IN_TWO_VERSIONS:
        for _ in range(chance.choice((0, 0, 1, 2, MOST_ROLLS))):
            yield _fault(chance, chance.choice((*Roll, Roll.NEW)), service)


def _fault(chance: random.Random, what: Blow | Roll | Mishap | Blackout, service: str) -> Fault:
    lasts_s = chance.choice((0.0, 0.1, 1.0, 12.0)) * chance.random()
    return Fault(
        what=what,
        service=service,
        partition=chance.randrange(PARTITIONS),
        at_s=chance.random() ** 2 * FAULTS_UNTIL_S if chance.random() < 0.9 else 0.0,
        requests=int(chance.expovariate(0.15)),
        moments=int(chance.choice((0.0, 3.0, 30.0)) * chance.expovariate(1.0)),
        anew=chance.random() < 0.5,
        lasts_s=chance.uniform(-60.0, 60.0) if what is Blow.CLOCK else lasts_s,
        wakes_s=chance.choice((0.0, 0.1, 1.0, 12.0)) * chance.random(),
    )
