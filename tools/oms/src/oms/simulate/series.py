"""Plays one seed after the other, on several processors, and sums up what came of them."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from time import monotonic

from oms.audit.finding import Finding
from oms.simulate.game import play
from oms.simulate.plan import plan_of

SEEDS_AT_ONCE = 4
"""How many seeds a process is given before it is asked how they went, so that it never waits for more."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one seed."""

    seed: int
    orders: int
    records: int
    passed_s: float
    struck: tuple[str, ...]
    began: Counter[int]
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Series:
    """What came of many seeds."""

    seeds: int = 0
    orders: int = 0
    records: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    """By place in the engine, in how many seeds a process was struck there."""
    began: Counter[int] = field(default_factory=Counter)
    """How many orders began with each of the saga's definitions."""
    failing: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    """By seed, what was found."""

    @property
    def orders_per_s(self) -> float:
        return self.orders / self.took_s if self.took_s else 0.0

    def add(self, played: Played) -> None:
        self.seeds += 1
        self.orders += played.orders
        self.records += played.records
        self.virtual_s += played.passed_s
        self.struck.update(played.struck)
        self.began.update(played.began)
        if played.findings:
            self.failing[played.seed] = played.findings

    def as_json(self) -> dict[str, object]:
        """The series as JSON, with all findings."""
        return {
            "ok": not self.failing,
            "seeds": self.seeds,
            "orders": self.orders,
            "orders_per_s": round(self.orders_per_s, 1),
            "records": self.records,
            "took_s": round(self.took_s, 1),
            "virtual_s": round(self.virtual_s, 1),
            "places_struck": len(self.struck),
            "struck": dict(self.struck.most_common()),
            "began_with_definition": dict(sorted(self.began.items())),
            "findings": [
                {"seed": seed, "check": found.check, "place": found.place, "about": found.about, "what": found.what}
                for seed, findings in sorted(self.failing.items())
                for found in findings
            ],
        }


Look = Callable[[Series], None]
"""Told how far it is."""


def play_all(seeds: Iterable[int], *, processes: int, for_s: float | None, look: Look) -> Series:
    """Play these seeds, or as many of them as there is time for."""
    begun, series, left = monotonic(), Series(), iter(seeds)
    handfuls = iter(lambda: tuple(islice(left, SEEDS_AT_ONCE)), ())
    spawn = get_context("spawn")  # a fork would take along the threads that draw the progress, and stand still
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_prepare) as pool:
        under_way: set[Future[list[Played]]] = set()
        while True:
            is_over = for_s is not None and monotonic() - begun >= for_s
            for some in () if is_over else islice(handfuls, 2 * processes - len(under_way)):
                under_way.add(pool.submit(_play_some, some))
            if not under_way:
                return series
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                for played in one.result():
                    series.add(played)
            series.took_s = monotonic() - begun
            look(series)


def _prepare() -> None:
    """Make a process ready, and fast: what is left of a simulation is looked for after it, not all the time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()
    gc.disable()


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for one that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _play_some(seeds: tuple[int, ...]) -> list[Played]:
    played = []
    for seed in seeds:
        played.append(_play(seed))
        gc.collect()
    return played


def _play(seed: int) -> Played:
    try:
        came_of_it = play(plan_of(seed))
    except Exception as bug:
        bug.add_note(f"in seed {seed}")
        raise
    return Played(
        seed=seed,
        orders=came_of_it.orders,
        records=len(came_of_it.log),
        passed_s=came_of_it.passed_s,
        struck=tuple(sorted(came_of_it.struck)),
        began=came_of_it.began,
        findings=tuple(came_of_it.findings),
    )
