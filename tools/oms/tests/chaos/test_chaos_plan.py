from collections import Counter
from collections.abc import Iterable
from itertools import islice

from contracts.topics import SERVICES
from hypothesis import given
from hypothesis import strategies as st
from oms.chaos.plan import KINDS, MOST_INSTANCES, Fault, rounds

seeds = st.integers()
kinds = st.sets(st.sampled_from(sorted(KINDS)), min_size=1)


def faults(seed: int, of: Iterable[str], count: int = 40) -> list[Fault]:
    return [fault for one in islice(rounds(seed, list(of)), count) for fault in one.faults]


@given(seeds, kinds)
def test_draws_the_same_from_the_same_seed(seed: int, of: set[str]) -> None:
    assert list(islice(rounds(seed, of), 20)) == list(islice(rounds(seed, sorted(of)), 20))


def test_draws_something_else_from_another_seed() -> None:
    assert list(islice(rounds(1, KINDS), 20)) != list(islice(rounds(2, KINDS), 20))


@given(seeds, kinds.filter(lambda of: not {"scale-up", "scale-down"} & of))
def test_every_kind_comes_once_before_any_comes_again(seed: int, of: set[str]) -> None:
    drawn = [fault.kind for fault in faults(seed, of)]
    whole = drawn[: len(drawn) - len(drawn) % len(of)]
    assert set(Counter(whole).values()) == {len(whole) // len(of)}
    assert set(drawn[: len(of)]) == of


@given(seeds)
def test_a_service_never_has_no_instance_and_never_too_many(seed: int) -> None:
    running = dict.fromkeys(SERVICES, 1)
    for fault in faults(seed, KINDS, 200):
        if fault.service:
            assert 0 <= fault.instance < running[fault.service]
            running[fault.service] += {"scale-up": 1, "scale-down": -1}.get(fault.kind, 0)
            assert 1 <= running[fault.service] <= MOST_INSTANCES


@given(seeds, kinds)
def test_nothing_is_broken_twice_at_the_same_time(seed: int, of: set[str]) -> None:
    for one in islice(rounds(seed, of), 40):
        parts = [fault.part for fault in one.faults]
        assert 1 <= len(parts) == len(set(parts)) <= 2


def test_says_what_is_broken_for_people() -> None:
    assert str(Fault("kill", "order", 1)) == "kill order[2]"
    assert str(Fault("broker", length_s=3.21)) == "broker for 3.2 s"
    assert str(Fault("network", "payment", 0, 4.0)) == "network payment for 4.0 s"
