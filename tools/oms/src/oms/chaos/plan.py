"""What is to be broken, and when: drawn from a seed, so that a run can be repeated."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random

from contracts.topics import SERVICES

KINDS: dict[str, str] = {
    "kill": "an instance of a service is killed (SIGKILL), and started again at once",
    "freeze": "an instance of a service is stopped (SIGSTOP), and goes on later (SIGCONT)",
    "restart": "an instance of a service is asked to end (SIGTERM), and started again",
    "scale-up": "one more instance of a service is started",
    "scale-down": "an instance of a service is asked to end (SIGTERM), and is not started again",
    "broker": "Kafka is killed, and started again later",
    "primary-kill": "the primary of MongoDB's three nodes is killed, and started again later",
    "primary-freeze": "the primary of MongoDB's three nodes is stopped (SIGSTOP), and goes on later (SIGCONT)",
    "disk": "the disk of MongoDB's primary is full, until it is given room again",
    "redis": "Redis is killed, and started again empty",
    "network": "nothing passes between a service and Kafka, until the network is mended",
}
"""Every kind of fault, and what it is."""

OF_A_SERVICE = frozenset({"kill", "freeze", "restart", "scale-up", "scale-down", "network"})
OF_MONGO = frozenset({"primary-kill", "primary-freeze", "disk"})
MOST_INSTANCES = 3
TWO_AT_ONCE = 0.25
"""How likely it is that another fault comes at the same time."""
CALM_S = (2.0, 6.0)
"""How long nothing is broken before a fault, from … to."""
LENGTH_S = (1.0, 20.0)
"""How long a fault lasts that has a length: shorter and longer than the session time-out."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is broken."""

    kind: str
    service: str = ""
    """Whose, if it is a service's."""
    instance: int = 0
    """Which of the instances that the service has then."""
    length_s: float = 0.0

    @property
    def part(self) -> str:
        """What is broken by it; nothing is broken twice at the same time."""
        return self.service or ("mongo" if self.kind in OF_MONGO else self.kind)

    def __str__(self) -> str:
        who = f" {self.service}" if self.service else ""
        which = f"[{self.instance + 1}]" if self.kind in {"kill", "freeze", "restart"} else ""
        return f"{self.kind}{who}{which}" + (f" for {self.length_s:.1f} s" if self.length_s else "")


@dataclass(frozen=True, slots=True)
class Round:
    """Some calm, then one fault, or two at the same time."""

    calm_s: float
    faults: tuple[Fault, ...]


def rounds(seed: int, kinds: Collection[str]) -> Iterator[Round]:
    """Rounds without end. Every kind comes once before any comes again."""
    chance = Random(seed)  # noqa: S311 - to be repeatable is what it is for
    instances = dict.fromkeys(SERVICES, 1)
    deck: list[str] = []
    while True:
        calm_s = round(chance.uniform(*CALM_S), 1)
        faults: list[Fault] = []
        for _ in range(2 if chance.random() < TWO_AT_ONCE else 1):
            if not deck:
                deck = sorted(kinds)
                chance.shuffle(deck)
            fault = _draw(chance, deck[-1], instances)
            if fault.part not in {other.part for other in faults}:
                deck.pop()
                faults.append(fault)
        for fault in faults:
            instances[fault.service] = instances.get(fault.service, 0) + _CHANGES.get(fault.kind, 0)
        yield Round(calm_s, tuple(faults))


_CHANGES = {"scale-up": 1, "scale-down": -1}
_LASTING = frozenset({"freeze", "broker", "primary-kill", "primary-freeze", "disk", "network"})


def _draw(chance: Random, kind: str, instances: dict[str, int]) -> Fault:
    service, instance = "", 0
    if kind in OF_A_SERVICE:
        service = chance.choice(SERVICES)
        if kind == "scale-up" and instances[service] == MOST_INSTANCES:
            kind = "scale-down"
        elif kind == "scale-down" and instances[service] == 1:
            kind = "scale-up"
        instance = chance.randrange(instances[service])
    length_s = round(chance.uniform(*LENGTH_S), 1) if kind in _LASTING else 0.0
    return Fault(kind, service, instance, length_s)
