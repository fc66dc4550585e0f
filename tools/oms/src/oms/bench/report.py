"""All that was measured, and what it is worth beside what it was compared with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from contracts.topics import PARTITIONS

from oms.bench.api import Answered
from oms.bench.arena import Kind
from oms.bench.figures import Figure
from oms.bench.front_door import FrontDoor
from oms.bench.growth import Age
from oms.bench.latency import Steady
from oms.bench.machine import Machine
from oms.bench.throughput import Runs

ORDINARY, REAL, HOT, SCALED = "ordinary_orders", "real_orders", "hot_sku", "instances"
"""What is compared."""
ALL_SKUS, ONE_SKU = "all_skus", "one_sku_in_every_order"
"""The contestants for the hot SKU; those for the instances are named by their number."""
TO_FLOOR, OF_STORAGE, TO_SPREAD = "services_to_floor", "floor_to_floor_without_storage", "one_sku_to_all_skus"
"""The ratios of throughputs."""
CPU_OF_FLOOR = "cpu_us_per_order_floor_to_services"
"""The same by processor time: on a quiet machine that lacks nothing else, it is about the ratio of throughputs."""


@dataclass
class Report:
    """What was measured, all of it on the run that reports it."""

    runs: Sequence[Runs]
    partitions: int = PARTITIONS
    latency: Sequence[Steady] = ()
    floor_latency: Sequence[Steady] = ()
    """The floor's, at the same rates."""
    api: Answered | None = None
    front_door: FrontDoor | None = None
    growth: Sequence[Age] = ()
    idle_cpu_percent: dict[str, float] = field(default_factory=dict)
    """Of one core, by process, with nothing to do."""
    machine: Machine = field(default_factory=Machine.here)

    def groups(self) -> dict[str, dict[str, Runs]]:
        """The runs of each contestant by its name, by what is compared."""
        groups: dict[str, dict[str, Runs]] = {}
        for one in self.runs:
            groups.setdefault(one.contestant.group, {})[one.contestant.name] = one
        return groups

    @property
    def services(self) -> Runs:
        """The five services with ordinary orders."""
        return self.groups()[ORDINARY][Kind.SERVICES]

    def ratios(self) -> dict[str, dict[str, Figure]]:
        """By what is compared: what was measured, relative to what was measured beside it."""
        groups = self.groups()
        ratios: dict[str, dict[str, Figure]] = {}
        for group in (ORDINARY, REAL):
            if sides := groups.get(group):
                services, floor = sides[Kind.SERVICES], sides[Kind.FLOOR]
                ratios[group] = {
                    TO_FLOOR: services.orders_per_s.relative_to(floor.orders_per_s),
                    CPU_OF_FLOOR: floor.cpu_us_per_order.relative_to(services.cpu_us_per_order),
                }
                if bare := sides.get(Kind.FLOOR_WITHOUT_STORAGE):
                    ratios[group][OF_STORAGE] = floor.orders_per_s.relative_to(bare.orders_per_s)
        if sides := groups.get(HOT):
            ratios[HOT] = {TO_SPREAD: sides[ONE_SKU].orders_per_s.relative_to(sides[ALL_SKUS].orders_per_s)}
        if sides := groups.get(SCALED):
            one, *more = sides.items()
            ratios[SCALED] = {
                f"cpu_us_per_order_{name}_to_{one[0]}": runs.cpu_us_per_order.relative_to(one[1].cpu_us_per_order)
                for name, runs in more
            }
        return ratios

    @property
    def half_load(self) -> Steady | None:
        """The latency in the middle of those that were measured."""
        return self.latency[len(self.latency) // 2] if self.latency else None

    def as_json(self) -> dict[str, object]:
        """Each name ends in its unit. The first level is what is asked for most: ordinary orders, at half load."""
        services, half = self.services, self.half_load
        return {
            "machine": asdict(self.machine),
            "orders": services.orders,
            "partitions": self.partitions,
            "lines_per_order": services.contestant.assortment.lines_per_order,
            "orders_per_s": round(services.orders_per_s.median, 1),
            "latency_rate_per_s": half and round(half.rate_per_s, 1),
            "p50_ms": half and round(half.times.p50_ms.median, 1),
            "p99_ms": half and round(half.times.p99_ms.median, 1),
            "rss_mb": services.rss_mb,
            "cpu_us_per_order": services.cost.as_json()["cpu_us_per_order"],
            "idle_cpu_percent": self.idle_cpu_percent,
            "ratios": {
                group: {name: ratio.as_json() for name, ratio in ratios.items()}
                for group, ratios in self.ratios().items()
            },
            "throughput": {
                group: {name: runs.as_json() for name, runs in sides.items()} for group, sides in self.groups().items()
            },
            "latency": [steady.as_json() for steady in self.latency],
            "floor_latency": [steady.as_json() for steady in self.floor_latency],
            "api": self.api and self.api.as_json(),
            "front_door": self.front_door and self.front_door.as_json(),
            "growth": [age.as_json() for age in self.growth],
        }
