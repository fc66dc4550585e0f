from io import StringIO

import pytest
from peers.measure import Run
from peers.peer import Shape, Stored, Undone
from peers.report import OURS, Side, as_json, ratios, table
from peers.throughline import run_of
from rich.console import Console

ONE, TWO = Shape(1, 64), Shape(2, 64)


def run(orders_per_s: float) -> Run:
    return Run({"version": "1"}, 100 / orders_per_s, orders_per_s, 5_000)


def shown(sides: list[Side]) -> str:
    text = StringIO()
    Console(file=text, width=200).print(table(100, sides))
    return text.getvalue()


def test_a_peer_is_judged_by_the_shape_in_which_it_is_fastest() -> None:
    side = Side("peer", {ONE: [run(50), run(52), run(20)], TWO: [run(80), run(30), run(31)]})
    assert side.best[0] == ONE
    assert side.as_json()["best"] == {
        "processes": 1,
        "in_flight": 64,
        "orders_per_s": 50,
        "wall_s": 2.0,
        "cpu_us_per_order": 5_000,
        "runs": [50, 52, 20],
    }


def test_the_ratio_says_how_many_times_as_fast_we_are() -> None:
    assert ratios([Side(OURS, {None: [run(500)]}), Side("peer", {ONE: [run(50)], TWO: [run(100)]})]) == {"peer": [5]}


def test_the_ratio_is_taken_between_runs_of_the_same_round() -> None:
    sides = [Side(OURS, {None: [run(500), run(400), run(300)]}), Side("peer", {ONE: [run(50), run(80), run(75)]})]
    assert ratios(sides) == {"peer": [10, 5, 4]}
    assert as_json(100, sides)["ours_to_theirs"] == {"peer": {"median": 5, "least": 4, "most": 10}}
    assert "75 (50, 80)" in shown(sides)
    assert "5.0 (4.0, 10)" in shown(sides)


def test_without_our_side_there_is_no_ratio() -> None:
    assert ratios([Side("peer", {ONE: [run(50)]})]) == {}


def test_a_peer_in_trouble_is_named_with_the_reason_and_has_no_figure() -> None:
    broken = Side("broken", {ONE: [run(77)]}, trouble="no such program")
    sides = [Side(OURS, {None: [run(500)]}), broken]
    assert "not measured: no such program" in shown(sides)
    assert "77" not in shown(sides)
    assert as_json(100, sides)["sides"]["broken"] == {"trouble": "no such program"}
    assert ratios(sides) == {}


def test_the_table_shows_every_side_with_its_figures() -> None:
    lines = shown([Side(OURS, {None: [run(500)]}), Side("peer", {TWO: [run(50)]})]).splitlines()
    assert lines[1].split() == [OURS, "500", "0.2", "5.0"]
    assert lines[2].split() == ["peer", "2", "x", "32", "50", "2.0", "5.0", "10"]


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    runs = [
        Run({"version": "1"}, wall_s, 2000 / wall_s, cpu) for wall_s, cpu in ((140.1, 133_220), (99, 1e5), (160, 2e5))
    ]
    text = StringIO()
    Console(file=text, width=80).print(table(2000, [Side(OURS, {None: runs}), Side("Temporal", {TWO: runs})]))
    assert len(text.getvalue().splitlines()) == 3


def test_our_side_is_read_from_what_oms_bench_prints() -> None:
    services = {"orders": 2000, "orders_per_s": {"median": 400.0}, "cpu_us_per_order_in_all": {"median": 3_000.0}}
    measured = run_of({"throughput": {"ordinary_orders": {"services": services, "floor": {}}}})
    assert (measured.orders_per_s, measured.wall_s, measured.cpu_us_per_order) == (400, 5, 3_000)


@pytest.mark.parametrize("stored", [Stored(9, 60), Stored(10, 59), Stored(11, 66)])
def test_a_store_that_holds_anything_else_than_all_steps_of_all_orders_is_refused(stored: Stored) -> None:
    with pytest.raises(Undone, match="should hold"):
        stored.check(10)
    Stored(10, 60).check(10)


def test_orders_in_flight_are_shared_out_among_the_processes() -> None:
    assert [str(Shape(1, 64)), str(Shape(2, 64)), str(Shape(4, 2))] == ["1 x 64", "2 x 32", "4 x 1"]
