"""What a person may have done about an order that does not go on by itself: retry, skip, compensate."""

from datetime import timedelta

import pytest
from chassis.testing.stage import NOON, Rehearsal
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    Pick,
)
from contracts.inventory import (
    ReleaseStock,
    ReserveStock,
    StockBackordered,
    StockIssued,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import Message
from contracts.order import (
    CancellationRefused,
    CancelOrder,
    CompensateOrder,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderRepairRefused,
    OrderTurnedBack,
    RetryStep,
    SkipStep,
    StepRetried,
    StepSkipped,
)
from contracts.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import CancelShipment, CreateShipment, ShipmentCancelled, ShipmentCreated, ShipmentDispatched
from order.repair import MOST_REPAIRS
from order.state import Refusal

from services.order.tests.scene import GBP, ID, MUGS, MUGS_IN_BIN, TEA, TEA_IN_BIN, Scene, kinds, step

WHO = {"order_id": ID, "reason": "the provider is back", "requested_by": "Ben"}


def retry(step: str | None = None, repair_id: str = "r-1") -> RetryStep:
    return RetryStep(repair_id=repair_id, step=step, **WHO)


def skip(step: str, repair_id: str = "r-1") -> SkipStep:
    return SkipStep(repair_id=repair_id, step=step, **WHO)


def compensate(repair_id: str = "r-1") -> CompensateOrder:
    return CompensateOrder(repair_id=repair_id, **WHO)


def refusal(said: tuple[Message, ...]) -> str:
    """The code of the refusal that is all that was said."""
    (refused,) = said
    assert isinstance(refused, OrderRepairRefused)
    assert (refused.reason, refused.requested_by) == ("the provider is back", "Ben")
    return refused.refusal.code


# Since when.


def test_an_order_tells_since_when_nobody_answers_what_must_be_done(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.after(minutes=1)
    assert scene.order.unanswered_since_ms is None
    scene.hear(ShipmentCreated)
    scene.after(minutes=10)
    scene.hear(PaymentCaptured)
    assert scene.order.unanswered_since_ms == int((NOON + timedelta(minutes=1)).timestamp() * 1000)
    scene.hear(StockIssued)
    assert scene.order.unanswered_since_ms is None


def test_an_undo_is_unanswered_since_it_was_asked_for_first(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.after(minutes=2)
    scene.cancel()
    scene.after(minutes=5)
    assert scene.order.undo_tries == 4
    assert scene.order.unanswered_since_ms == int((NOON + timedelta(minutes=2)).timestamp() * 1000)
    scene.hear(FulfillmentCancelled)
    assert scene.order.unanswered_since_ms == int((NOON + timedelta(minutes=7)).timestamp() * 1000)


# Retry.


@pytest.mark.parametrize("named", ["capture", None])
def test_asks_again_at_once_what_nobody_answers_after_the_pivot(scene: Scene, named: str | None) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    scene.after(seconds=10)
    retried, again = scene.take(retry(named))
    assert retried == StepRetried(repair_id="r-1", revision=1, steps=("capture",), **WHO)
    assert again == step(CapturePayment, amount=1750, at_once=True)
    assert scene.after(seconds=44) == ()
    assert kinds(scene.hear(PaymentCaptured)) == [OrderCompleted]


def test_asks_again_for_an_undo_that_nobody_answers(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.cancel()
    assert kinds(scene.take(retry("fulfill"))) == [StepRetried, CancelFulfillment]
    assert scene.order.undo_tries == 0


def test_asks_again_for_every_step_that_waits_where_none_is_named(scene: Scene) -> None:
    scene.place()
    scene.hear(StockRejected)
    retried, reserve, authorize = scene.take(retry())
    assert isinstance(retried, StepRetried)
    assert set(retried.steps) == {"reserve", "authorize"}
    assert {type(reserve), type(authorize)} == {ReserveStock, AuthorizePayment}


@pytest.mark.parametrize("named", ["reserve", None])
def test_asks_a_location_again_that_waits_for_stock_and_changes_nothing_else(scene: Scene, named: str | None) -> None:
    scene.place(allow_backorder=True)
    scene.hear(PaymentAuthorized)
    for attempt, location in ((1, "LON"), (2, "MAN")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    (asked,) = scene.hear(StockRejected, attempt=3, location="ROT")
    scene.hear(StockBackordered, attempt=4)
    before = scene.order
    assert scene.take(retry(named)) == (StepRetried(repair_id="r-1", revision=1, steps=("reserve",), **WHO), asked)
    assert (scene.order.tasks, scene.order.alarm, scene.order.status) == (before.tasks, before.alarm, "backordered")
    assert scene.hear(StockBackordered, attempt=4) == ()
    assert kinds(scene.hear(StockReserved, attempt=4, location="ROT")) == [OrderConfirmed, FulfillOrder]


def test_asks_the_same_location_for_the_same_goods_again(scene: Scene) -> None:
    scene.place()
    (first,) = scene.hear(StockRejected)
    scene.take(retry("authorize", "r-1"))
    assert scene.take(retry("reserve", "r-2"))[1:] == (first,)
    assert first == step(ReserveStock, attempt=2, location="MAN", lines=(MUGS, TEA))


def test_a_retried_step_has_its_whole_time_again(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.after(minutes=29)
    assert kinds(scene.take(retry("ship"))) == [StepRetried, CreateShipment]
    assert scene.after(minutes=29) == ()
    assert kinds(scene.after(minutes=1)) == [CancelShipment]


@pytest.mark.parametrize(("status", "named", "pause"), [("completing", "capture", 45), ("fulfilling", "fulfill", 30)])
def test_what_was_stuck_for_hours_is_asked_for_again_soon_after_a_retry(
    scene: Scene, status: str, named: str, pause: int
) -> None:
    scene.go_to(status)
    if status == "fulfilling":
        scene.cancel()
    else:
        scene.hear(StockIssued)
    scene.after(hours=5)
    since = scene.order.unanswered_since_ms
    scene.take(retry(named))
    assert scene.after(seconds=pause - 1) == ()
    assert len(scene.after(seconds=1)) == 1
    assert scene.after(minutes=59) == ()
    assert scene.order.unanswered_since_ms == since


def test_what_is_answered_is_not_retried(scene: Scene) -> None:
    scene.go_to("completing")
    assert refusal(scene.take(retry("ship", "r-1"))) == "nothing_waits"
    assert refusal(scene.take(retry("no-such-step", "r-2"))) == "nothing_waits"
    scene.hear(PaymentCaptured)
    scene.hear(StockIssued)
    assert refusal(scene.take(retry(None, "r-3"))) == "nothing_waits"


def test_what_waits_for_its_turn_to_be_undone_is_not_retried(scene: Scene) -> None:
    scene.place(allow_backorder=True)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockBackordered, attempt=4)
    scene.cancel()
    assert refusal(scene.take(retry("reserve"))) == "nothing_waits"


# Skip.


def test_completes_an_order_whose_capture_a_person_takes_as_done(scene: Scene) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    skipped, called_off, completed = scene.take(skip("capture"))
    assert skipped == StepSkipped(repair_id="r-1", revision=1, step="capture", is_undo=False, **WHO)
    assert called_off == step(VoidPayment)  # who has paid otherwise must not be charged as well
    assert isinstance(completed, OrderCompleted)
    assert (completed.captured, completed.skipped) == (0, ("capture",))
    assert scene.hear(PaymentCaptured) == scene.hear(PaymentVoided) == ()
    assert (scene.order.status, scene.order.alarm) == ("completed", None)


def test_what_became_of_the_money_after_a_skipped_capture_is_on_the_timeline(scene: Scene) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    scene.take(skip("capture"))
    for _ in range(2):
        assert scene.hear(PaymentRefunded, amount=1750, currency=GBP, refund_id="refund-1") == ()
        assert scene.hear(PaymentVoided) == ()
    heard = [(happening.heard, happening.source) for happening in scene.order.timeline[-2:]]
    assert heard == [("PaymentRefunded", "payment"), ("PaymentVoided", "payment")]
    assert scene.order.status == "completed"


def test_goes_on_when_a_person_takes_picking_as_done(scene: Scene) -> None:
    scene.go_to("fulfilling")
    skipped, called_off, ship = scene.take(skip("fulfill"))
    assert kinds((skipped, ship)) == [StepSkipped, CreateShipment]
    assert called_off == step(CancelFulfillment, done=True)  # or people would pick it a second time
    assert scene.hear(OrderPacked) == scene.hear(FulfillmentCancelled, done=True) == ()
    assert scene.order.status == "shipping"
    assert scene.cancel() == (step(CancelShipment),)
    assert scene.hear(ShipmentCancelled) == (step(CancelFulfillment),)


def test_what_answers_a_skip_does_not_confirm_a_later_undo(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.take(skip("fulfill"))
    scene.cancel()
    assert scene.hear(ShipmentCancelled) == (step(CancelFulfillment),)
    assert scene.hear(FulfillmentCancelled, done=True) == ()
    assert [task.state for task in scene.order.tasks_of("fulfill")] == ["undoing"]
    assert scene.hear(FulfillmentCancelled) == (step(VoidPayment),)


def test_a_shortage_that_crosses_a_skip_is_written_off_when_the_order_is_undone_after_all(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.take(skip("fulfill"))
    lacking = Pick(location="LON", lines=(MUGS_IN_BIN,))
    assert scene.hear(FulfillmentFailed, not_found=(lacking,)) == ()
    assert scene.order.status == "shipping"
    scene.cancel()
    for answer in (ShipmentCancelled, FulfillmentCancelled):
        scene.hear(answer)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, location="LON", not_found=(MUGS,)),)


def test_takes_every_location_of_a_step_as_done(scene: Scene) -> None:
    scene.place(allow_split=True)
    scene.hear(PaymentAuthorized)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockReserved, attempt=4, lines=(TEA_IN_BIN,), missing=(MUGS,))
    scene.hear(StockReserved, attempt=5, location="MAN", lines=(MUGS_IN_BIN,))
    for answer in (OrderPacked, ShipmentCreated, PaymentCaptured):
        scene.hear(answer)
    _, completed = scene.take(skip("issue"))
    assert isinstance(completed, OrderCompleted)
    assert completed.skipped == ("issue",)


def test_an_order_of_which_only_an_undo_was_skipped_is_completed_without_a_skipped_step(scene: Scene) -> None:
    scene.place()
    scene.hear(StockRejected)
    scene.hear(StockReserved)
    scene.take(skip("reserve"))
    scene.hear(StockReserved, attempt=2, location="MAN")
    for answer in (PaymentAuthorized, OrderPacked, ShipmentCreated, PaymentCaptured):
        scene.hear(answer)
    (completed,) = scene.hear(StockIssued, attempt=2, location="MAN")
    assert isinstance(completed, OrderCompleted)
    assert completed.skipped == ()


@pytest.mark.parametrize(
    ("status", "name"), [("reserving", "reserve"), ("reserving", "authorize"), ("shipping", "ship")]
)
def test_a_step_whose_answer_is_needed_is_not_skipped(scene: Scene, status: str, name: str) -> None:
    scene.go_to(status)
    assert refusal(scene.take(skip(name))) == "not_skippable"
    assert scene.order.status == status


def test_an_undo_that_a_person_takes_as_done_lets_the_others_go_on(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.cancel()
    scene.hear(FulfillmentCancelled)
    skipped, release = scene.take(skip("authorize"))
    assert skipped == StepSkipped(repair_id="r-1", revision=1, step="authorize", is_undo=True, **WHO)
    assert release == step(ReleaseStock, location="LON")
    assert kinds(scene.take(skip("reserve", "r-2"))) == [StepSkipped, OrderCancelled]
    assert scene.order.alarm is None


def test_a_late_success_after_a_skipped_undo_is_undone_again(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.cancel()
    scene.hear(FulfillmentCancelled)
    scene.take(skip("authorize"))
    assert kinds(scene.hear(PaymentAuthorized)) == [VoidPayment]


def test_an_undo_is_skipped_before_the_command_of_another_attempt(scene: Scene) -> None:
    scene.place()
    scene.hear(StockRejected)
    scene.hear(StockReserved)
    assert kinds(scene.take(skip("reserve", "r-1"))) == [StepSkipped]
    assert refusal(scene.take(skip("reserve", "r-2"))) == "not_skippable"


def test_a_parcel_that_left_after_everything_was_undone_is_given_up_by_a_person(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.cancel()
    scene.hear(ShipmentCancelled)
    scene.hear(FulfillmentCancelled)
    scene.hear(PaymentVoided)
    assert kinds(scene.hear(ShipmentDispatched, dispatched_at=NOON)) == [CancelShipment]
    scene.hear(ShipmentDispatched, dispatched_at=NOON)
    assert scene.order.unanswered_since_ms is not None
    assert kinds(scene.take(skip("ship"))) == [StepSkipped]
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == ()
    assert kinds(scene.take(skip("reserve", "r-2"))) == [StepSkipped, OrderCancelled]
    assert (scene.order.alarm, scene.order.unanswered_since_ms) == (None, None)


def test_a_skip_after_the_end_ends_nothing_twice(scene: Scene) -> None:
    scene.place()
    scene.hear(StockRejected)
    scene.hear(StockReserved, attempt=2, location="MAN")
    for answer in (PaymentAuthorized, OrderPacked, ShipmentCreated, PaymentCaptured):
        scene.hear(answer)
    assert kinds(scene.hear(StockIssued, attempt=2, location="MAN")) == [OrderCompleted]
    assert kinds(scene.hear(StockReserved)) == [ReleaseStock]
    assert kinds(scene.take(skip("reserve"))) == [StepSkipped]
    assert (scene.order.status, scene.order.alarm) == ("completed", None)


# Compensate.


def test_a_compensation_that_the_parcel_was_faster_than_is_remembered_as_one(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.take(compensate())
    scene.hear(ShipmentCreated)
    told = scene.hear(ShipmentDispatched, dispatched_at=NOON)
    (refused,) = (said for said in told if isinstance(said, CancellationRefused))
    assert refused.requested_by == "Ben"
    assert scene.order.refused == Refusal(
        at=NOON, request="CompensateOrder", revision=1, by="Ben", reason=refused.reason
    )


def test_who_cancels_what_another_has_turned_back_is_refused_a_cancellation(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.take(compensate())
    scene.take(CancelOrder(order_id=ID, reason="wrong size", requested_by="Ada"))
    scene.hear(ShipmentCreated)
    told = scene.hear(ShipmentDispatched, dispatched_at=NOON)
    assert [said.requested_by for said in told if isinstance(said, CancellationRefused)] == ["Ben", "Ada"]
    assert scene.order.refused is not None
    assert (scene.order.refused.request, scene.order.refused.by) == ("CancelOrder", "Ada")


@pytest.mark.parametrize("status", ["reserving", "fulfilling", "shipping"])
def test_turns_an_order_back_before_the_pivot(scene: Scene, status: str) -> None:
    scene.go_to(status)
    turned_back, *_ = scene.take(compensate())
    assert turned_back == OrderTurnedBack(repair_id="r-1", revision=1, **WHO)
    for answer in (ShipmentCancelled, FulfillmentCancelled, PaymentVoided):
        scene.hear(answer)
    (cancelled,) = scene.hear(StockReleased)
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.reason.code, cancelled.reason.message) == ("compensated", "the provider is back")
    assert cancelled.cancelled_by == "Ben"


@pytest.mark.parametrize(("status", "code"), [("completing", "already_shipped"), ("completed", "already_completed")])
def test_an_order_is_not_turned_back_after_the_pivot(scene: Scene, status: str, code: str) -> None:
    scene.go_to(status)
    assert refusal(scene.take(compensate())) == code


def test_an_order_that_is_being_undone_is_not_turned_back_again(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    assert refusal(scene.take(compensate())) == "already_undoing"


# Any of them.


def test_the_same_request_again_changes_nothing(scene: Scene) -> None:
    scene.go_to("completing")
    for request in (retry("capture", "r-1"), compensate("r-2"), skip("capture", "r-3")):
        assert scene.take(request) != ()
        before = scene.order
        assert scene.take(request) == ()
        assert scene.order is before


def test_a_request_about_an_unknown_order_is_refused_and_leaves_no_trace(stage: Rehearsal, scene: Scene) -> None:
    for request in (retry(), skip("capture"), compensate()):
        assert refusal(scene.take(request)) == "unknown_order"
    assert stage.documents == {}


def test_the_order_tells_who_asked_for_what_and_why(scene: Scene) -> None:
    scene.go_to("completing")
    scene.take(retry("capture", "r-1"))
    scene.take(compensate("r-2"))
    done, refused = scene.order.repairs
    assert (done.request, done.step, done.by, done.reason) == ("RetryStep", "capture", "Ben", "the provider is back")
    assert refused.refusal is not None
    heard = [(happening.heard, happening.detail) for happening in scene.order.timeline[-2:]]
    assert heard == [
        ("RetryStep", "Ben: the provider is back"),
        ("CompensateOrder", "Ben: the provider is back (refused: the carrier has the parcels already)"),
    ]


def test_an_order_forgets_the_oldest_requests(scene: Scene) -> None:
    scene.go_to("completing")
    for number in range(MOST_REPAIRS + 5):
        scene.take(retry("capture", f"r-{number}"))
    assert [repair.id for repair in scene.order.repairs][:: MOST_REPAIRS - 1] == ["r-5", f"r-{MOST_REPAIRS + 4}"]


def test_the_next_revision_remembers_the_requests_of_the_one_before(scene: Scene) -> None:
    scene.place()
    scene.take(retry("reserve"))
    scene.hear(PaymentDeclined)
    scene.hear(StockReleased)
    scene.place(revision=2)
    assert scene.take(retry("reserve")) == ()
