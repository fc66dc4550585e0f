"""Makes what fails as small as it will go, so that a person can see why it does."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from oms.simulate.game import Outcome, play

T = TypeVar("T")


def shrink(failed: Outcome) -> Outcome:
    """What comes of the fewest faults and orders that still fail in the same way: without any one they would not."""
    check = failed.findings[0].check
    smallest = failed

    def fails(**fewer: tuple[object, ...]) -> bool:
        nonlocal smallest
        outcome = play(smallest.plan.but(**fewer))  # type: ignore[arg-type] # each is given what is its own
        if any(finding.check == check for finding in outcome.findings):
            smallest = outcome
            return True
        return False

    before = None
    while before != smallest.plan:
        before = smallest.plan
        fewest(before.faults, lambda faults: fails(faults=faults))
        fewest(before.placings, lambda placings: fails(placings=placings))
    return smallest


def fewest(things: Sequence[T], fail: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Delta debugging: leave out halves, then quarters, then ever smaller parts, for as long as what is left fails."""
    left = tuple(things)
    size = len(left)
    while size:
        smaller = next((some for some in _without(left, size) if fail(some)), None)
        if smaller is None:
            size //= 2
        else:
            left = smaller
            size = min(size, len(left))
    return left


def _without(things: tuple[T, ...], size: int) -> Iterator[tuple[T, ...]]:
    """What is left without each run of this many neighbours, one run at a time."""
    for start in range(0, len(things), size):
        yield (*things[:start], *things[start + size :])
