"""Versions of the saga: an order ends on the definition that it began with."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from chassis.testing.stage import NOON, Rehearsal
from contracts.fulfillment import OrderPacked
from contracts.inventory import IssueStock, ReleaseStock, StockIssued, StockReleased, StockReserved
from contracts.order import OrderCompleted, OrderShipped, OrderValidated
from contracts.payment import (
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import ShipmentCreated, ShipmentDelivered
from order.decide import decider
from order.definition import Definition, Policy
from order.saga import DEFINITIONS, FIRST
from order.settings import Settings
from pydantic import ValidationError

from services.order.tests.scene import Scene, kinds, step


@pytest.fixture
def upgrade(stage: Rehearsal, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Another version of the service takes over: in its saga stock is issued once the money is there."""
    *stages, last = FIRST.stages
    capture, issue = (replace(last, steps=(step,)) for step in last.steps)
    second = Definition((*stages, replace(capture, then=lambda _: ()), issue))

    def take_over() -> None:
        monkeypatch.setitem(DEFINITIONS, 2, second)
        stage.decide = decider(replace(policy, definition=2))

    return take_over


@pytest.fixture
def go_back(stage: Rehearsal, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The first version takes over again, which knows its own saga only."""

    def take_over() -> None:
        monkeypatch.delitem(DEFINITIONS, 2)
        stage.decide = decider(policy)

    return take_over


def reject(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    scene.hear(PaymentDeclined)
    scene.hear(StockReleased)
    assert scene.order.status == "rejected"


def test_an_order_ends_on_the_definition_that_it_began_with(scene: Scene, upgrade: Callable[[], None]) -> None:
    scene.go_to("shipping")
    upgrade()
    assert kinds(scene.hear(ShipmentCreated)) == [OrderShipped, CapturePayment, IssueStock]
    scene.hear(StockIssued)
    assert kinds(scene.hear(PaymentCaptured)) == [OrderCompleted]


def test_an_order_begins_with_the_newest_definition_and_says_so(scene: Scene, upgrade: Callable[[], None]) -> None:
    upgrade()
    validated, *_ = scene.place()
    assert isinstance(validated, OrderValidated)
    assert validated.definition == 2
    for answer in (StockReserved, PaymentAuthorized, OrderPacked):
        scene.hear(answer)
    assert kinds(scene.hear(ShipmentCreated)) == [OrderShipped, CapturePayment]
    assert kinds(scene.hear(PaymentCaptured)) == [IssueStock]
    assert kinds(scene.hear(StockIssued)) == [OrderCompleted]


def test_an_order_that_is_placed_again_begins_with_the_definition_of_new_ones(
    scene: Scene, upgrade: Callable[[], None]
) -> None:
    scene.place()
    upgrade()
    scene.hear(StockReserved)
    assert kinds(scene.hear(PaymentDeclined)) == [ReleaseStock]
    scene.hear(StockReleased)
    validated, *_ = scene.place(revision=2)
    assert isinstance(validated, OrderValidated)
    assert (validated.definition, scene.order.definition) == (2, 2)


def test_an_older_version_notes_the_delivery_of_an_order_that_a_newer_one_completed(
    scene: Scene, upgrade: Callable[[], None], go_back: Callable[[], None]
) -> None:
    upgrade()
    scene.go_to("completed")
    go_back()
    assert scene.hear(ShipmentDelivered, delivered_at=NOON) == ()
    assert (scene.order.status, scene.order.timeline[-1].heard) == ("completed", "ShipmentDelivered")


def test_an_older_version_undoes_again_what_comes_late_for_an_order_that_a_newer_one_rejected(
    scene: Scene, upgrade: Callable[[], None], go_back: Callable[[], None]
) -> None:
    upgrade()
    reject(scene)
    go_back()
    assert kinds(scene.hear(PaymentAuthorized)) == [VoidPayment]
    assert scene.after(seconds=30) == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == ()
    assert scene.order.status == "rejected"


def test_an_older_version_carries_out_an_order_that_a_newer_one_rejected_and_that_is_placed_again(
    scene: Scene, upgrade: Callable[[], None], go_back: Callable[[], None]
) -> None:
    upgrade()
    reject(scene)
    go_back()
    validated, *_ = scene.place(revision=2)
    assert isinstance(validated, OrderValidated)
    assert validated.definition == 1
    for answer in (StockReserved, PaymentAuthorized, OrderPacked):
        scene.hear(answer)
    assert kinds(scene.hear(ShipmentCreated)) == [OrderShipped, CapturePayment, IssueStock]


def test_an_older_version_carries_on_no_order_that_a_newer_one_began(
    scene: Scene, upgrade: Callable[[], None], go_back: Callable[[], None]
) -> None:
    upgrade()
    scene.go_to("shipping")
    go_back()
    with pytest.raises(KeyError):
        scene.hear(ShipmentCreated)


def test_new_orders_begin_with_the_newest_definition_unless_the_installation_says_otherwise(
    upgrade: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().policy.definition == max(DEFINITIONS)
    monkeypatch.setenv("SAGA_DEFINITION", "2")
    with pytest.raises(ValidationError, match="knows the definitions 1 "):
        Settings()
    upgrade()
    assert Settings().policy.definition == 2


def test_a_definition_in_which_one_message_would_answer_two_steps_is_refused() -> None:
    *stages, last = FIRST.stages
    capture, issue = last.steps
    twice = replace(issue, done=capture.done)
    with pytest.raises(ValueError, match="only one step can be answered, and in one way, by PaymentCaptured"):
        Definition((*stages, replace(last, steps=(capture, twice))))
