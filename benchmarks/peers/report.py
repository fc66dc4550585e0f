"""What was measured, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table

from peers.measure import Run
from peers.peer import Shape

OURS = "Throughline"


@dataclass
class Side:
    """All that was measured of one system, by its shape; ours has none."""

    name: str
    runs: dict[Shape | None, list[Run]] = field(default_factory=dict)
    trouble: str = ""
    """Why it could not be measured."""

    @property
    def best(self) -> tuple[Shape | None, Sequence[Run]]:
        """The shape that was fastest, and its runs."""
        return max(self.runs.items(), key=lambda one: orders_per_s(one[1]))

    def as_json(self) -> dict[str, object]:
        if self.trouble or not self.runs:
            return {"trouble": self.trouble}
        shape, runs = self.best
        return {
            "versions": dict(runs[0].versions),
            "best": _figures(shape, runs),
            "all": [_figures(shape, runs) for shape, runs in self.runs.items()],
        }


def orders_per_s(runs: Sequence[Run]) -> float:
    return median(run.orders_per_s for run in runs)


def ratios(sides: Sequence[Side]) -> dict[str, list[float]]:
    """By peer, how many times as many orders a second we complete as it does at its best, in each round."""
    measured = {side.name: side.best[1] for side in sides if side.runs and not side.trouble}
    ours = measured.pop(OURS, ())
    if not ours:
        return {}
    return {
        name: [round(us.orders_per_s / them.orders_per_s, 2) for us, them in zip(ours, theirs, strict=True)]
        for name, theirs in measured.items()
    }


def as_json(orders: int, sides: Sequence[Side]) -> dict[str, Any]:
    return {
        "orders": orders,
        "sides": {side.name: side.as_json() for side in sides},
        "ours_to_theirs": {
            name: {"median": round(median(times), 2), "least": min(times), "most": max(times)}
            for name, times in ratios(sides).items()
        },
    }


def table(orders: int, sides: Sequence[Side]) -> Table:
    shown = Table(f"{orders} orders", "orders/s", "wall, s", "CPU ms/order", "ours to theirs", box=None)
    times = ratios(sides)
    for side in sides:
        if side.trouble or not side.runs:
            shown.add_row(side.name, f"not measured: {side.trouble}")
            continue
        shape, runs = side.best
        shown.add_row(
            side.name if shape is None else f"{side.name} {shape}",
            _told([run.orders_per_s for run in runs]),
            _told([run.wall_s for run in runs]),
            _told([run.cpu_us_per_order / 1000 for run in runs]),
            _told(times[side.name]) if side.name in times else "",
        )
    return shown


def _told(figures: Sequence[float]) -> str:
    """Their median, with the least and the most if there are several."""
    told = _short(median(figures))
    return told if len(figures) == 1 else f"{told} ({_short(min(figures))}, {_short(max(figures))})"


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 10 else f"{figure:.1f}"


def _figures(shape: Shape | None, runs: Sequence[Run]) -> Mapping[str, object]:
    under_way = {} if shape is None else {"processes": shape.processes, "in_flight": shape.in_flight}
    return under_way | {
        "orders_per_s": round(orders_per_s(runs), 1),
        "wall_s": round(median(run.wall_s for run in runs), 2),
        "cpu_us_per_order": round(median(run.cpu_us_per_order for run in runs), 1),
        "runs": [round(run.orders_per_s, 1) for run in runs],
    }
