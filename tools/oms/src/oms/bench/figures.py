"""What a measurement that was repeated says: its median, how far it spread, and percentiles of many times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing, measured several times."""

    values: tuple[float, ...]
    """In the order in which they were measured."""

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return median(self.values)

    def relative_to(self, other: "Figure") -> "Figure":
        """The ratio to what was measured beside it, time by time: what slowed the machine down slowed both."""
        return Figure.of(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True))

    def as_json(self) -> dict[str, object]:
        return {
            "median": significant(self.median),
            "least": significant(min(self.values)),
            "most": significant(max(self.values)),
            "all": [significant(value) for value in self.values],
        }

    def shown(self, form: str = ".0f") -> str:
        """The median, and the range if it was measured more than once, for people."""
        if len(self.values) == 1:
            return f"{self.median:{form}}"
        return f"{self.median:{form}} ({min(self.values):{form}} to {max(self.values):{form}})"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How long most took, in milliseconds, and how long the slowest."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> "Percentiles":
        """Each is a time that was measured: that percentage of all took that long or less."""
        ordered = sorted(times_ms)
        return cls(len(ordered), *(ordered[ceil(share * len(ordered)) - 1] for share in (0.5, 0.99, 0.999)))


@dataclass(frozen=True, slots=True)
class Repeated:
    """Percentiles, measured several times."""

    times: Sequence[Percentiles]

    def figure(self, which: Callable[[Percentiles], float]) -> Figure:
        return Figure.of(map(which, self.times))

    @property
    def p50_ms(self) -> Figure:
        return self.figure(lambda one: one.p50_ms)

    @property
    def p99_ms(self) -> Figure:
        return self.figure(lambda one: one.p99_ms)

    @property
    def p999_ms(self) -> Figure:
        return self.figure(lambda one: one.p999_ms)

    def as_json(self) -> dict[str, object]:
        return {
            "count": sum(one.count for one in self.times),
            "p50_ms": self.p50_ms.as_json(),
            "p99_ms": self.p99_ms.as_json(),
            "p999_ms": self.p999_ms.as_json(),
        }


def median_of(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By name, the median of what was measured under it; what is missing was nothing."""
    names = dict.fromkeys(chain.from_iterable(measured))
    return {name: median(one.get(name, 0.0) for one in measured) for name in names}


def significant(value: float) -> float:
    """As many digits as mean anything."""
    return round(value, 3 if abs(value) < 10 else 1)
