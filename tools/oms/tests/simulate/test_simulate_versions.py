"""Two versions of a service side by side: each order ends on the saga that it began with."""

import pytest
from oms.simulate.game import play
from oms.simulate.plan import ORDERED_WITHIN_S, Fault, Plan, Roll, plan_of
from oms.simulate.shrink import shrink
from order.interpreter import Turn
from order.state import Order

BUSY = 6
"""A seed with many orders."""
CLOSED = Turn.closed


def upgraded(*rolls: Fault) -> Plan:
    """Many orders, and nothing else goes wrong."""
    return plan_of(BUSY).but(faults=rolls)


def roll(to: Roll, partition: int, at_s: float) -> Fault:
    return Fault(to, "order", partition, at_s, requests=0, moments=0, anew=False, lasts_s=0.0, wakes_s=0.0)


def test_before_an_upgrade_all_orders_begin_with_the_first_definition() -> None:
    outcome = play(upgraded())

    assert outcome.findings == []
    assert list(outcome.began) == [1]


@pytest.mark.parametrize(
    "rolls",
    [
        (roll(Roll.NEW, 0, 0.0),),
        (roll(Roll.NEW, 0, ORDERED_WITHIN_S / 3), roll(Roll.NEW, 1, ORDERED_WITHIN_S / 2)),
        (roll(Roll.NEW, 1, ORDERED_WITHIN_S / 3), roll(Roll.OLD, 1, ORDERED_WITHIN_S / 2)),
    ],
    ids=["side by side all the time", "one after the other", "rolled back"],
)
def test_orders_of_both_definitions_end_as_they_began(rolls: tuple[Fault, ...]) -> None:
    outcome = play(upgraded(*rolls))

    assert outcome.findings == []
    assert set(outcome.began) == {1, 2}


def test_an_order_that_is_moved_to_another_definition_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a version that takes all orders that it meets along, the one upgrade will do, and any order on its way."""

    def closed(turn: Turn, latest: object) -> Order:
        return CLOSED(turn, latest).but(definition=turn._policy.definition)  # type: ignore[arg-type] # as it has it

    monkeypatch.setattr(Turn, "closed", closed)
    failed = play(upgraded(roll(Roll.OLD, 0, 2.0), roll(Roll.NEW, 1, ORDERED_WITHIN_S / 2), roll(Roll.OLD, 0, 9.0)))

    smallest = shrink(failed)

    assert "it is on the definition 2, but began with {1}" in {finding.what for finding in failed.findings}
    assert [str(fault) for fault in smallest.plan.faults] == [
        "7.500 s: order/1, 0 requests and 0 moments later: is to hand over to the new version"
    ]
    assert len(smallest.plan.placings) == 1
