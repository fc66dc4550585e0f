"""An order and a stage to play it on."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from chassis.testing.stage import Rehearsal
from contracts.message import CountryAlpha2, Currency
from contracts.order import Address, Customer, OrderLine, OrderPlaced
from order.decide import decider, needs
from order.definition import Policy
from order.sourcing import Routes

from services.order.tests.scene import Scene

ADDRESS = Address(name="Ada", street="1 High St", city="Leeds", postal_code="LS1", country=CountryAlpha2("GB"))

TWO_MUGS_AND_A_TEA = OrderPlaced(
    channel="web",
    number="1001",
    customer=Customer(id="c-1", name="Ada", email="ada@example.org"),
    shipping_address=ADDRESS,
    billing_address=ADDRESS,
    lines=(OrderLine(sku="MUG", quantity=2, unit_price=500), OrderLine(sku="TEA", quantity=1, unit_price=450)),
    shipping_charge=300,
    total=1750,
    currency=Currency("GBP"),
    payment_token="tok_ok",  # noqa: S106 - a token of the simulated provider
    special_instructions="ring twice",
)


@pytest.fixture
def placed() -> Callable[..., OrderPlaced]:
    """Makes an order of two mugs and a tea with these fields changed."""

    def make(**changes: object) -> OrderPlaced:
        return TWO_MUGS_AND_A_TEA.model_copy(update=changes)

    return make


@pytest.fixture
def policy() -> Policy:
    return Policy(
        definition=1,
        routes=Routes(("LON", "MAN", "ROT"), {"DE": ("ROT", "LON")}),
        reserve_within=timedelta(minutes=1),
        authorize_within=timedelta(minutes=2),
        fulfill_within=timedelta(hours=1),
        ship_within=timedelta(minutes=30),
        backorder_within=timedelta(days=5),
        undo_again_after=timedelta(seconds=30),
        forward_again_after=timedelta(seconds=45),
    )


@pytest.fixture
def stage(policy: Policy) -> Rehearsal:
    return Rehearsal(needs, decider(policy))


@pytest.fixture
def scene(stage: Rehearsal, placed: Callable[..., OrderPlaced]) -> Scene:
    return Scene(stage, placed)
