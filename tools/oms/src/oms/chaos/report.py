"""What was done, how long it took to recover, and what was found."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from oms.chaos.plan import KINDS, Fault


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault, or two at the same time, and what came of it."""

    at_s: float
    """Since the orders began to flow."""
    faults: tuple[Fault, ...]
    recovered_s: float | None
    """From the end of the fault (of a killed process: from the kill) until every partition that it concerned moved
    again; None if one did not in time."""
    pause_s: float
    """The longest time in which one of these partitions wrote nothing."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of all faults of a kind, how long recovery took, in seconds."""

    count: int
    p50_s: float
    p99_s: float
    worst_s: float
    longest_pause_s: float

    @classmethod
    def of(cls, broken: Sequence[Broken]) -> "Recovery":
        times = sorted(one.recovered_s for one in broken if one.recovered_s is not None)
        cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else (times or [0.0]) * 99
        return cls(
            count=len(broken),
            p50_s=round(cuts[49], 2),
            p99_s=round(cuts[98], 2),
            worst_s=round(times[-1] if times else 0.0, 2),
            longest_pause_s=round(max(one.pause_s for one in broken), 2),
        )


@dataclass(slots=True)
class Report:
    """All of one run."""

    seed: int
    minutes: float
    rate: float
    session_timeout_s: float
    skipped: dict[str, str]
    """By kind of fault, why it was not tried."""
    broken: list[Broken] = field(default_factory=list)
    orders: Counter[str] = field(default_factory=Counter)
    """How many orders came to which end."""
    drained_s: float = 0.0
    """How long it took until every order had ended, when no more were placed."""
    audit: Mapping[str, object] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    """What must not be, however slow the machine is."""
    too_slow: list[str] = field(default_factory=list)
    """Where recovery took longer than it may."""
    untried: list[str] = field(default_factory=list)
    """Which faults could not be brought about, and why; nothing was learnt from them, and nothing is wrong."""

    @property
    def is_clean(self) -> bool:
        return not self.findings and not self.too_slow

    def recovery(self) -> dict[str, Recovery]:
        """By kind, in the order of the kinds; faults that came two at a time count as `two at once`."""
        by_kind: defaultdict[str, list[Broken]] = defaultdict(list)
        for one in self.broken:
            by_kind[one.faults[0].kind if len(one.faults) == 1 else "two at once"].append(one)
        return {kind: Recovery.of(by_kind[kind]) for kind in (*KINDS, "two at once") if kind in by_kind} | (
            {"all": Recovery.of(self.broken)} if self.broken else {}
        )

    def as_json(self) -> dict[str, object]:
        return {
            "ok": self.is_clean,
            "findings": self.findings,
            "too_slow": self.too_slow,
            "seed": self.seed,
            "minutes": self.minutes,
            "rate_per_s": self.rate,
            "session_timeout_s": self.session_timeout_s,
            "skipped": self.skipped,
            "untried": self.untried,
            "orders": dict(self.orders),
            "drained_s": round(self.drained_s, 1),
            "recovery": {
                kind: {
                    "count": one.count,
                    "p50_s": one.p50_s,
                    "p99_s": one.p99_s,
                    "worst_s": one.worst_s,
                    "longest_pause_s": one.longest_pause_s,
                }
                for kind, one in self.recovery().items()
            },
            "faults": [
                {
                    "at_s": round(one.at_s, 1),
                    "faults": [str(fault) for fault in one.faults],
                    "recovered_s": one.recovered_s and round(one.recovered_s, 2),
                    "pause_s": round(one.pause_s, 2),
                }
                for one in self.broken
            ],
            "audit": self.audit,
        }

    def as_markdown(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# Chaos report"
        yield ""
        yield (
            f"`oms chaos --minutes {self.minutes:g} --seed {self.seed} --rate {self.rate:g}`: "
            f"{sum(len(one.faults) for one in self.broken)} faults while {self.orders.total():,} orders flowed at "
            f"{self.rate:g} a second, on one machine, with three MongoDB nodes, one Kafka broker, and a session "
            f"time-out of {self.session_timeout_s:g} s. When no more orders came, the last one ended after "
            f"{self.drained_s:.1f} s."
        )
        yield ""
        yield "## What was found"
        yield ""
        found = [*self.findings, *self.too_slow]
        yield from [f"- {finding}" for finding in found] or ["Nothing: no order was lost, doubled or stuck."]
        yield ""
        yield "## What became of the orders"
        yield ""
        yield from _table("came to", "orders", ((state, f"{count:,}") for state, count in self.orders.most_common()))
        yield ""
        yield f"The audit read {self.audit.get('records', 0):,} records."
        yield ""
        yield "## How long recovery took"
        yield ""
        yield (
            "From the end of a fault (the kill of what was killed) until the last partition that it concerned wrote a "
            "message again. The pause is the longest time in which a partition wrote nothing, the fault included."
        )
        yield ""
        yield "| fault | times | p50 | p99 | worst | longest pause |"
        yield "|---|--:|--:|--:|--:|--:|"
        for kind, one in self.recovery().items():
            yield (
                f"| {kind} | {one.count} | {one.p50_s:.2f} s | {one.p99_s:.2f} s | {one.worst_s:.2f} s "
                f"| {one.longest_pause_s:.2f} s |"
            )
        yield ""
        if self.skipped:
            yield from _table("not tried", "because", self.skipped.items())
            yield ""
        if self.untried:
            yield "## What could not be tried"
            yield ""
            yield from (f"- {untried}" for untried in self.untried)
            yield ""
        yield "## What was done"
        yield ""
        yield "| after | fault | recovered | longest pause |"
        yield "|--:|---|--:|--:|"
        for broken in self.broken:
            recovered = "never" if broken.recovered_s is None else f"{broken.recovered_s:.2f} s"
            faults = ", and ".join(map(str, broken.faults))
            yield f"| {broken.at_s:.0f} s | {faults} | {recovered} | {broken.pause_s:.2f} s |"


def _table(one: str, other: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"| {one} | {other} |"
    yield "|---|---|"
    for left, right in rows:
        yield f"| {left} | {right} |"
