import platform
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import psutil
from oms.bench.arena import Kind
from oms.bench.cost import BENCH, Cost
from oms.bench.figures import Percentiles, Repeated
from oms.bench.growth import Age
from oms.bench.latency import Steady
from oms.bench.orders import spread
from oms.bench.report import HOT, ORDINARY, SCALED, Report
from oms.bench.suite import PARTS, Wanted, contestants_of
from oms.bench.throughput import Contestant, Run, Runs

ORDERS = spread(3)


def runs(name: str, orders_per_s: Sequence[float], *, group: str = ORDINARY, cpu_us: float = 1000.0) -> Runs:
    contestant = Contestant(group, name, Kind.SERVICES, ORDERS)
    cost = Cost({"order": cpu_us, BENCH: 77.0}, {"order.events": 400.0}, {"order": 1300.0})
    return Runs(contestant, 1500, [Run(rate, cost, {"order": 150.0}) for rate in orders_per_s])


def ordinary() -> list[Runs]:
    return [
        runs(Kind.SERVICES, [600.0, 300.0, 630.0]),
        runs(Kind.FLOOR, [1000.0, 600.0, 900.0]),
        runs(Kind.FLOOR_WITHOUT_STORAGE, [2000.0, 1200.0, 3000.0]),
    ]


def test_the_ratio_to_the_floor_is_taken_between_runs_of_the_same_round() -> None:
    ratios = Report(ordinary()).ratios()[ORDINARY]

    assert ratios["services_to_floor"].values == (0.6, 0.5, 0.7)
    assert ratios["services_to_floor"].median == 0.6
    assert ratios["floor_to_floor_without_storage"].values == (0.5, 0.5, 0.3)


def test_the_ratio_by_processor_time_is_that_of_the_floor_to_the_services() -> None:
    services, floor = runs(Kind.SERVICES, [600.0], cpu_us=3000.0), runs(Kind.FLOOR, [1000.0], cpu_us=1200.0)

    assert Report([services, floor]).ratios()[ORDINARY]["cpu_us_per_order_floor_to_services"].values == (0.4,)


def test_more_instances_are_compared_by_what_an_order_costs_without_the_bench_itself() -> None:
    scaled = [
        runs(name, [600.0], group=SCALED, cpu_us=us) for name, us in (("1", 1000.0), ("2", 1050.0), ("4", 1200.0))
    ]

    ratios = Report([*ordinary(), *scaled]).ratios()[SCALED]

    assert {name: ratio.median for name, ratio in ratios.items()} == {
        "cpu_us_per_order_2_to_1": 1.05,
        "cpu_us_per_order_4_to_1": 1.2,
    }


def test_what_everybody_asks_for_stands_at_the_top() -> None:
    loads = [(150.0, 90.0), (300.0, 120.0), (450.0, 700.0)]
    latency = [Steady(rate, Repeated([Percentiles(100, ms, 2 * ms, 3 * ms)])) for rate, ms in loads]

    top = Report(ordinary(), latency=latency).as_json()

    assert (top["orders"], top["orders_per_s"], top["lines_per_order"]) == (1500, 600.0, 3)
    assert (top["latency_rate_per_s"], top["p50_ms"], top["p99_ms"]) == (300.0, 120.0, 240.0)
    assert top["rss_mb"] == {"order": 150.0}
    assert top["cpu_us_per_order"] == {"order": 1000.0, BENCH: 77.0}


def test_what_was_not_measured_is_not_made_up() -> None:
    top = Report(ordinary()).as_json()

    assert (top["p50_ms"], top["p99_ms"], top["api"], top["front_door"]) == (None, None, None, None)
    assert (top["latency"], top["floor_latency"], top["growth"]) == ([], [], [])


def test_what_an_order_costs_as_they_pile_up_is_without_the_bench_itself() -> None:
    cpu_us = {"order": 1300.0, "Kafka": 200.0, BENCH: 77.0}
    age = Age(10_000, 400.0, cpu_us, 200.0, Percentiles(100, 1.0, 2.0, 3.0), {"order": 150.0}, 4.5)

    (shown,) = cast("list[dict[str, object]]", Report(ordinary(), growth=[age]).as_json()["growth"])

    assert shown["cpu_us_per_order_in_all"] == 1500.0
    assert shown["cpu_us_per_order"] == cpu_us


def test_without_the_floor_that_has_no_storage_nothing_is_said_of_storage() -> None:
    assert "floor_to_floor_without_storage" not in Report(ordinary()[:2]).ratios()[ORDINARY]


def wanted(*parts: str) -> Wanted:
    samples = Path(__file__).parents[4] / "samples"
    return Wanted(1000, 3, 2, 5.0, samples / "orders.ndjson", parts=parts)


def test_the_services_take_turns_with_the_floor_on_the_same_orders() -> None:
    contestants = contestants_of(wanted("storage"))

    assert [one.kind for one in contestants] == [Kind.SERVICES, Kind.FLOOR, Kind.FLOOR_WITHOUT_STORAGE]
    assert [one.kind for one in contestants_of(wanted())] == [Kind.SERVICES, Kind.FLOOR]
    assert len({id(one.assortment) for one in contestants}) == 1


def test_everything_that_is_measured_has_something_to_be_compared_with() -> None:
    groups: dict[str, set[str]] = {}
    for one in contestants_of(wanted(*PARTS)):
        groups.setdefault(one.group, set()).add(one.name)

    assert all(len(names) > 1 for names in groups.values())
    assert groups[SCALED] == {"1", "2", "4"}


def test_for_a_hot_item_there_is_not_a_unit_too_many() -> None:
    for one in contestants_of(wanted("hot-sku")):
        if one.group == HOT:
            assert one.is_scarce
            assert one.scale == {"order": 2, "inventory": 2}


def test_what_the_figures_were_measured_on_is_said_with_them() -> None:
    machine = Report(ordinary()).as_json()["machine"]

    assert isinstance(machine, dict)
    assert machine["cores"] == psutil.cpu_count()
    assert machine["memory_mb"] > 0
    assert platform.python_version() in machine["python"]
