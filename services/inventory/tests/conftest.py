"""A book to write in."""

import pytest
from chassis.testing.stage import Rehearsal
from inventory.decide import Policy, decider, needs


@pytest.fixture
def book() -> Rehearsal:
    return Rehearsal(needs, decider(Policy(backorder_queue_max_orders=3)))
