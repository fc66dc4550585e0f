from hypothesis import given
from hypothesis import strategies as st
from oms.simulate.shrink import fewest

SOME = st.sets(st.integers(0, 30))


@given(needed=SOME, others=SOME)
def test_what_is_needed_is_left_and_nothing_else(needed: set[int], others: set[int]) -> None:
    left = fewest(sorted(needed | others), lambda some: needed <= set(some))

    assert set(left) == needed


def test_of_two_that_each_do_one_is_left() -> None:
    assert fewest(range(9), lambda some: 2 in some or 7 in some) in {(2,), (7,)}


def test_what_fails_without_anything_is_shrunk_to_nothing() -> None:
    assert fewest(range(9), lambda _: True) == ()


def test_what_never_failed_again_stays_as_it_is() -> None:
    assert fewest(range(9), lambda _: False) == tuple(range(9))
