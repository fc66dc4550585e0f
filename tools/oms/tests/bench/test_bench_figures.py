import pytest
from oms.bench.figures import Figure, Percentiles, Repeated, median_of, significant


def test_a_figure_is_the_median_with_how_far_it_spread() -> None:
    figure = Figure.of([700.0, 650.0, 760.0])

    assert figure.as_json() == {"median": 700.0, "least": 650.0, "most": 760.0, "all": [700.0, 650.0, 760.0]}
    assert figure.shown() == "700 (650 to 760)"


def test_what_was_measured_once_did_not_spread() -> None:
    assert Figure.of([0.456]).shown(".2f") == "0.46"


def test_a_ratio_is_taken_time_by_time_so_that_what_slows_both_down_does_not_count() -> None:
    services, floor = Figure.of([600.0, 300.0]), Figure.of([1000.0, 500.0])

    assert services.relative_to(floor).values == (0.6, 0.6)


def test_what_was_measured_more_often_than_the_other_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Figure.of([1.0, 2.0]).relative_to(Figure.of([1.0]))


def test_a_percentile_is_a_time_that_was_measured() -> None:
    times = Percentiles.of([float(ms) for ms in range(1000, 0, -1)])

    assert (times.count, times.p50_ms, times.p99_ms, times.p999_ms) == (1000, 500.0, 990.0, 999.0)


def test_the_slowest_of_few_is_in_the_highest_percentiles() -> None:
    times = Percentiles.of([1.0, 2.0, 90.0])

    assert (times.p50_ms, times.p99_ms, times.p999_ms) == (2.0, 90.0, 90.0)


def test_one_time_is_every_percentile() -> None:
    times = Percentiles.of([7.0])

    assert (times.p50_ms, times.p99_ms, times.p999_ms) == (7.0, 7.0, 7.0)


def test_percentiles_of_several_times_have_a_median_each_and_are_not_mixed() -> None:
    repeated = Repeated([Percentiles.of([1.0, 50.0]), Percentiles.of([2.0, 60.0]), Percentiles.of([3.0, 40.0])])

    assert (repeated.p50_ms.median, repeated.p99_ms.median) == (2.0, 50.0)
    assert repeated.as_json()["count"] == 6


def test_of_figures_by_name_each_has_a_median_of_its_own() -> None:
    assert median_of([{"order": 3.0}, {"order": 5.0, "Redis": 1.0}, {"order": 4.0}]) == {"order": 4.0, "Redis": 0.0}


@pytest.mark.parametrize(("value", "shown"), [(0.48351, 0.484), (9.99951, 10.0), (1234.56, 1234.6)])
def test_digits_that_mean_nothing_are_left_out(value: float, shown: float) -> None:
    assert significant(value) == shown
