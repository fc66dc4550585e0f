"""The saga, message by message: what is done for an order, and how it is undone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from chassis.decision import AlarmRang
from chassis.testing.stage import NOON, Rehearsal
from contracts.fulfillment import (
    CancelFulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillOrder,
    OrderPacked,
    OrderPicked,
    Pick,
)
from contracts.inventory import (
    BinQuantity,
    IssueStock,
    ReleaseStock,
    ReserveStock,
    Shortage,
    StockBackordered,
    StockIssued,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import Currency, Message, Reason, SagaStep, SkuQuantity
from contracts.order import (
    Allocation,
    CancellationRefused,
    CancelOrder,
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderValidated,
    Substitutes,
)
from contracts.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    Parcel,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentRefused,
)
from order.state import Order, Refusal

from services.order.tests.scene import (
    GBP,
    ID,
    MUGS,
    MUGS_IN_BIN,
    NO_CARRIER,
    PARCEL,
    SHORT_PICK,
    TEA,
    TEA_IN_BIN,
    TOKEN,
    Scene,
    kinds,
    step,
)

# The good order.


def test_carries_a_good_order_from_placing_to_completion_in_eighteen_messages(scene: Scene) -> None:
    story = [
        (OrderPlaced, scene.place()),
        (StockReserved, scene.hear(StockReserved)),
        (PaymentAuthorized, scene.hear(PaymentAuthorized)),
        (OrderPicked, scene.hear(OrderPicked)),
        (OrderPacked, scene.hear(OrderPacked)),
        (ShipmentCreated, scene.hear(ShipmentCreated)),
        (PaymentCaptured, scene.hear(PaymentCaptured)),
        (StockIssued, scene.hear(StockIssued)),
    ]
    assert [kinds(said) for _, said in story] == [
        [OrderValidated, ReserveStock, AuthorizePayment],
        [],
        [OrderConfirmed, FulfillOrder],
        [],
        [CreateShipment],
        [OrderShipped, CapturePayment, IssueStock],
        [],
        [OrderCompleted],
    ]
    assert sum(1 + len(said) for _, said in story) == 18
    assert (scene.order.status, scene.order.alarm) == ("completed", None)


def test_the_commands_say_what_was_ordered_and_what_was_reserved(scene: Scene) -> None:
    validated, reserve, authorize = scene.place()
    assert validated == OrderValidated(order_id=ID, revision=1, total=1750, currency=GBP, route=("LON", "MAN", "ROT"))
    assert reserve == step(ReserveStock, location="LON", lines=(MUGS, TEA))
    assert authorize == step(AuthorizePayment, amount=1750, currency=GBP, payment_token=TOKEN)
    scene.hear(StockReserved)
    confirmed, fulfill = scene.hear(PaymentAuthorized)
    allocation = Allocation(location="LON", lines=(MUGS, TEA))
    assert confirmed == OrderConfirmed(order_id=ID, revision=1, allocations=(allocation,))
    pick = Pick(location="LON", lines=(MUGS_IN_BIN, TEA_IN_BIN))
    assert fulfill == step(FulfillOrder, picks=(pick,), special_instructions="ring twice")
    (create,) = scene.hear(OrderPacked)
    assert isinstance(create, CreateShipment)
    assert (create.recipient.name, create.method) == ("Ada", "standard")
    assert create.parcels == (Parcel(location="LON", units=3),)
    shipped, capture, issue = scene.hear(ShipmentCreated)
    assert shipped == OrderShipped(order_id=ID, revision=1, parcels=(PARCEL,))
    assert capture == step(CapturePayment, amount=1750)
    assert issue == step(IssueStock, location="LON")
    scene.hear(StockIssued)
    assert scene.hear(PaymentCaptured) == (OrderCompleted(order_id=ID, revision=1, captured=1750, currency=GBP),)


def test_joins_stock_and_payment_in_either_order(scene: Scene) -> None:
    scene.place()
    assert scene.hear(PaymentAuthorized) == ()
    assert kinds(scene.hear(StockReserved)) == [OrderConfirmed, FulfillOrder]


def test_serves_a_destination_by_its_own_route(scene: Scene, placed: Callable[..., OrderPlaced]) -> None:
    address = placed().shipping_address.model_copy(update={"country": "DE"})
    validated, reserve, _ = scene.place(shipping_address=address)
    assert isinstance(validated, OrderValidated)
    assert isinstance(reserve, ReserveStock)
    assert (validated.route, reserve.location) == (("ROT", "LON"), "ROT")


def test_the_timeline_tells_what_happened_when_and_why(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.after(seconds=5)
    scene.hear(ShipmentCreated)
    scene.hear(ShipmentDispatched, dispatched_at=scene.order.timeline[-1].at)
    shipped, dispatched = scene.order.timeline[-2:]
    assert (shipped.heard, shipped.source, shipped.detail) == ("ShipmentCreated", "shipping", "Swift SW1")
    assert shipped.said == ("OrderShipped", "CapturePayment", "IssueStock")
    assert shipped.at - scene.order.timeline[0].at == timedelta(seconds=5)
    assert (dispatched.heard, dispatched.said) == ("ShipmentDispatched", ())
    assert [happening.source for happening in scene.order.timeline[:3]] == ["web", "inventory", "payment"]


def test_delivery_after_completion_is_noted_once_and_changes_nothing_else(scene: Scene) -> None:
    scene.go_to("completed")
    at = scene.order.timeline[-1].at
    for _ in range(2):
        assert scene.hear(ShipmentDelivered, delivered_at=at) == ()
    assert [happening.heard for happening in scene.order.timeline].count("ShipmentDelivered") == 1
    assert scene.order.status == "completed"


def test_answers_that_come_twice_change_nothing(scene: Scene) -> None:
    scene.go_to("completing")
    before = scene.order
    for model in (StockReserved, PaymentAuthorized, OrderPacked, ShipmentCreated):
        assert scene.hear(model) == ()
    assert scene.order is before


# Sourcing.


def test_asks_the_next_location_when_the_first_is_short(scene: Scene) -> None:
    scene.place()
    assert scene.hear(StockRejected) == (step(ReserveStock, attempt=2, location="MAN", lines=(MUGS, TEA)),)
    scene.hear(PaymentAuthorized)
    confirmed, _ = scene.hear(StockReserved, attempt=2, location="MAN")
    assert isinstance(confirmed, OrderConfirmed)
    assert [allocation.location for allocation in confirmed.allocations] == ["MAN"]


def test_voids_payment_and_rejects_with_substitutes_when_stock_is_short_everywhere(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentAuthorized)
    for attempt, location, cup in ((1, "LON", "CUP"), (2, "MAN", "BOWL")):
        shortage = Shortage(sku="MUG", requested=2, available=attempt - 1, substitutes=("JAR", cup))
        scene.hear(StockRejected, attempt=attempt, location=location, shortages=(shortage,))
    assert scene.hear(StockRejected, attempt=3, location="ROT") == (step(VoidPayment),)
    (rejected,) = scene.hear(PaymentVoided)
    message = "2 MUG wanted, available are 0 at LON, 1 at MAN, 1 at ROT"
    assert rejected == OrderRejected(
        order_id=ID,
        revision=1,
        reasons=(Reason(path="lines[0].quantity", code="out_of_stock", message=message),),
        substitutes=(Substitutes(sku="MUG", alternatives=("JAR", "CUP", "BOWL")),),
    )


def test_splits_between_two_locations_where_the_order_allows_it(scene: Scene) -> None:
    scene.place(allow_split=True)
    scene.hear(PaymentAuthorized)
    scene.hear(StockRejected)
    scene.hear(StockRejected, attempt=2, location="MAN")
    (split,) = scene.hear(StockRejected, attempt=3, location="ROT")
    assert split == step(ReserveStock, attempt=4, location="LON", lines=(MUGS, TEA), when_short="split")
    (rest,) = scene.hear(StockReserved, attempt=4, lines=(TEA_IN_BIN,), missing=(MUGS,))
    assert rest == step(ReserveStock, attempt=5, location="MAN", lines=(MUGS,), when_short="split")
    confirmed, fulfill = scene.hear(StockReserved, attempt=5, location="MAN", lines=(MUGS_IN_BIN,))
    assert confirmed == OrderConfirmed(
        order_id=ID,
        revision=1,
        allocations=(Allocation(location="LON", lines=(TEA,)), Allocation(location="MAN", lines=(MUGS,))),
    )
    assert isinstance(fulfill, FulfillOrder)
    assert [pick.location for pick in fulfill.picks] == ["LON", "MAN"]
    scene.hear(OrderPacked)
    _, _, *issues = scene.hear(ShipmentCreated)
    assert issues == [step(IssueStock, attempt=4, location="LON"), step(IssueStock, attempt=5, location="MAN")]
    scene.hear(StockIssued, attempt=4)
    scene.hear(PaymentCaptured)
    assert kinds(scene.hear(StockIssued, attempt=5, location="MAN")) == [OrderCompleted]


def test_a_location_that_had_nothing_for_a_split_gets_no_pick_list(scene: Scene) -> None:
    scene.place(allow_split=True)
    scene.hear(PaymentAuthorized)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockReserved, attempt=4, lines=(), missing=(MUGS, TEA))
    confirmed, _ = scene.hear(StockReserved, attempt=5, location="MAN")
    assert isinstance(confirmed, OrderConfirmed)
    assert [allocation.location for allocation in confirmed.allocations] == ["MAN"]


def test_releases_every_part_when_a_split_stays_short(scene: Scene) -> None:
    scene.place(allow_split=True)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockReserved, attempt=4, lines=(TEA_IN_BIN,), missing=(MUGS,))
    scene.hear(StockReserved, attempt=5, location="MAN", lines=(), missing=(MUGS,))
    undo = scene.hear(StockReserved, attempt=6, location="ROT", lines=(), missing=(MUGS,))
    assert undo == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=6, location="ROT"),)
    assert scene.hear(StockReleased, attempt=6, location="ROT") == (step(ReleaseStock, attempt=5, location="MAN"),)
    assert scene.hear(StockReleased, attempt=5, location="MAN") == (step(ReleaseStock, attempt=4, location="LON"),)
    assert kinds(scene.hear(StockReleased, attempt=4)) == [OrderRejected]


def backordered(scene: Scene) -> tuple[Message, ...]:
    scene.place(allow_backorder=True)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    return scene.hear(StockBackordered, attempt=4)


def test_a_backordered_order_goes_on_by_itself_when_stock_arrives(scene: Scene) -> None:
    (event,) = backordered(scene)
    assert isinstance(event, OrderBackordered)
    assert (event.location, event.missing) == ("ROT", (MUGS,))
    assert event.deadline == scene.order.timeline[-1].at + timedelta(days=5)
    scene.hear(PaymentAuthorized)
    assert scene.order.status == "backordered"
    assert scene.after(days=4) == ()
    assert kinds(scene.hear(StockReserved, attempt=4, location="ROT")) == [OrderConfirmed, FulfillOrder]
    assert scene.order.status == "fulfilling"


def test_a_backordered_order_is_undone_and_cancelled_at_its_deadline(scene: Scene) -> None:
    backordered(scene)
    scene.hear(PaymentAuthorized)
    assert kinds(scene.after(days=5)) == [VoidPayment]
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=4, location="ROT"),)
    (cancelled,) = scene.hear(StockReleased, attempt=4, location="ROT")
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.reason.code, cancelled.cancelled_by) == ("backorder_expired", "reserve")


def test_a_split_order_that_may_wait_keeps_what_was_found_and_waits_for_the_rest(scene: Scene) -> None:
    scene.place(allow_split=True, allow_backorder=True)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockReserved, attempt=4, lines=(TEA_IN_BIN,), missing=(MUGS,))
    (last,) = scene.hear(StockReserved, attempt=5, location="MAN", lines=(), missing=(MUGS,))
    assert last == step(ReserveStock, attempt=6, location="ROT", lines=(MUGS,), when_short="backorder")


def test_asks_the_next_location_when_one_does_not_answer_and_undoes_what_that_may_have_done(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentAuthorized)
    undo, asked = scene.after(minutes=1)
    assert undo == step(ReleaseStock, location="LON")
    assert asked == step(ReserveStock, attempt=2, location="MAN", lines=(MUGS, TEA))
    happening = scene.order.timeline[-1]
    assert (happening.heard, happening.said) == ("Deadline", ("ReleaseStock", "ReserveStock"))
    assert happening.detail == "LON: nobody answered the step 'reserve' in time, so others are asked"
    confirmed, _ = scene.hear(StockReserved, attempt=2, location="MAN")
    assert isinstance(confirmed, OrderConfirmed)
    assert [allocation.location for allocation in confirmed.allocations] == ["MAN"]
    for answer in (OrderPacked, ShipmentCreated, PaymentCaptured):
        scene.hear(answer)
    assert kinds(scene.hear(StockIssued, attempt=2, location="MAN")) == [OrderCompleted]
    assert scene.hear(StockReserved) == ()
    assert scene.order.unanswered("reserve") != ()
    assert scene.hear(StockReleased) == ()
    assert (scene.order.status, scene.order.alarm) == ("completed", None)


def test_a_silent_location_that_is_asked_again_lets_go_first_of_what_it_may_hold_for_the_order(scene: Scene) -> None:
    scene.place(allow_backorder=True)
    scene.hear(StockRejected)
    scene.hear(StockRejected, attempt=2, location="MAN")
    undo, asked = scene.after(minutes=1)
    assert undo == step(ReleaseStock, attempt=3, location="ROT")
    assert asked == step(ReserveStock, attempt=4, location="ROT", lines=(MUGS, TEA), when_short="backorder")


def test_a_late_yes_of_a_location_that_was_given_up_is_not_taken_for_one(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentAuthorized)
    scene.after(minutes=1)
    assert scene.hear(StockReserved) == ()
    assert scene.order.reservations == ()
    assert scene.hear(StockReleased) == ()
    assert kinds(scene.hear(StockReserved, attempt=2, location="MAN")) == [OrderConfirmed, FulfillOrder]


def test_an_order_is_rejected_when_no_location_answers_and_ends_when_each_has_undone_it(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentAuthorized)
    scene.after(minutes=2)
    assert VoidPayment in kinds(scene.after(minutes=1))
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=3, location="ROT"),)
    assert scene.hear(StockReleased, attempt=3, location="ROT") == ()
    assert scene.hear(StockReleased) == ()
    (rejected,) = scene.hear(StockReleased, attempt=2, location="MAN")
    assert isinstance(rejected, OrderRejected)
    assert [reason.code for reason in rejected.reasons] == ["no_answer"]


def test_a_rejection_names_who_did_not_answer_beside_who_was_short(scene: Scene) -> None:
    scene.place()
    scene.after(minutes=1)
    scene.hear(StockRejected, attempt=2, location="MAN")
    scene.hear(StockRejected, attempt=3, location="ROT")
    scene.hear(StockReleased)
    (rejected,) = scene.hear(PaymentVoided)
    assert isinstance(rejected, OrderRejected)
    assert [(reason.code, reason.message) for reason in rejected.reasons] == [
        ("out_of_stock", "2 MUG wanted, available are 1 at MAN, 1 at ROT"),
        ("no_answer", "LON did not answer in time"),
    ]


def test_no_location_is_said_to_have_nothing_that_did_not_answer(scene: Scene) -> None:
    scene.place()
    scene.after(minutes=1)
    for attempt, location in ((2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location, shortages=())
    scene.hear(StockReleased)
    (rejected,) = scene.hear(PaymentVoided)
    assert isinstance(rejected, OrderRejected)
    assert [reason.code for reason in rejected.reasons] == ["no_answer"]


def test_who_was_silent_at_first_and_was_short_in_the_end_did_answer(scene: Scene) -> None:
    scene.place(allow_backorder=True)
    scene.hear(StockRejected)
    scene.hear(StockRejected, attempt=2, location="MAN")
    scene.after(minutes=1)
    scene.hear(StockRejected, attempt=4, location="ROT")
    scene.hear(StockReleased, attempt=3, location="ROT")
    (rejected,) = scene.hear(PaymentVoided)
    assert isinstance(rejected, OrderRejected)
    assert [reason.code for reason in rejected.reasons] == ["out_of_stock"]


def test_an_order_is_undone_although_a_location_that_was_given_up_does_not_answer(scene: Scene) -> None:
    scene.place()
    scene.after(minutes=1)
    scene.hear(StockReserved, attempt=2, location="MAN")
    scene.hear(PaymentAuthorized)
    assert scene.cancel() == (step(CancelFulfillment),)
    assert scene.hear(FulfillmentCancelled) == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=2, location="MAN"),)
    assert scene.hear(StockReleased, attempt=2, location="MAN") == ()
    assert kinds(scene.hear(StockReleased)) == [OrderCancelled]


# A step fails.


def test_releases_stock_when_payment_is_declined(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    assert scene.hear(PaymentDeclined) == (step(ReleaseStock, location="LON"),)
    assert scene.order.status == "undoing"
    (rejected,) = scene.hear(StockReleased)
    reason = Reason(path="payment_token", code="payment_declined", message="insufficient_funds: not enough money")
    assert rejected == OrderRejected(order_id=ID, revision=1, reasons=(reason,))
    assert (scene.order.status, scene.order.alarm) == ("rejected", None)


def test_offers_substitutes_only_where_stock_was_the_reason(scene: Scene) -> None:
    scene.place()
    shortage = Shortage(sku="MUG", requested=2, available=0, substitutes=("CUP",))
    scene.hear(StockRejected, shortages=(shortage,))
    scene.hear(PaymentDeclined)
    (rejected,) = scene.hear(StockReleased, attempt=2, location="MAN")
    assert isinstance(rejected, OrderRejected)
    assert rejected.substitutes == ()


def test_releases_a_reservation_that_is_still_being_asked_for_when_payment_is_declined(scene: Scene) -> None:
    scene.place()
    assert scene.hear(PaymentDeclined) == (step(ReleaseStock, location="LON"),)


def test_voids_payment_and_releases_stock_when_fulfillment_fails(scene: Scene) -> None:
    scene.go_to("fulfilling")
    assert scene.hear(FulfillmentFailed) == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, location="LON"),)
    reason = SHORT_PICK.model_copy(update={"path": "lines"})
    cancelled = OrderCancelled(order_id=ID, revision=1, reason=reason, cancelled_by="fulfill")
    assert scene.hear(StockReleased) == (cancelled,)
    assert scene.order.status == "cancelled"


def test_tells_the_location_what_its_pickers_did_not_find(scene: Scene) -> None:
    scene.go_to("fulfilling")
    lacking = Pick(location="LON", lines=(BinQuantity(sku="MUG", quantity=1, bin="A-1"),))
    elsewhere = Pick(location="MAN", lines=(BinQuantity(sku="MUG", quantity=1),))
    scene.hear(FulfillmentFailed, not_found=(lacking, elsewhere))
    expected = step(ReleaseStock, location="LON", not_found=(SkuQuantity(sku="MUG", quantity=1),))
    assert scene.hear(PaymentVoided) == (expected,)
    assert set(scene.after(hours=1)) == {expected}


def test_tells_it_also_when_the_order_was_cancelled_before(scene: Scene) -> None:
    scene.go_to("fulfilling")
    assert scene.cancel() == (step(CancelFulfillment),)
    lacking = Pick(location="LON", lines=(BinQuantity(sku="MUG", quantity=1, bin="A-1"),))
    assert scene.hear(FulfillmentFailed, not_found=(lacking,)) == ()
    assert scene.hear(FulfillmentCancelled) == (step(VoidPayment),)
    expected = step(ReleaseStock, location="LON", not_found=(SkuQuantity(sku="MUG", quantity=1),))
    assert scene.hear(PaymentVoided) == (expected,)


def go_to_with_an_undo_under_way(scene: Scene, status: str) -> None:
    """The first location is short and then has it after all, too late: that it holds it is being undone."""
    scene.place()
    scene.hear(StockRejected)
    scene.hear(StockReserved, attempt=2, location="MAN")
    scene.hear(PaymentAuthorized)
    if status == "shipping":
        scene.hear(OrderPacked)
    assert scene.hear(StockReserved) == (step(ReleaseStock, location="LON"),)
    assert scene.order.status == status


def test_what_was_not_found_is_told_although_another_undo_was_waited_for(scene: Scene) -> None:
    go_to_with_an_undo_under_way(scene, "fulfilling")
    assert scene.cancel() == (step(CancelFulfillment),)
    lacking = Pick(location="MAN", lines=(BinQuantity(sku="MUG", quantity=1, bin="A-1"),))
    assert scene.hear(FulfillmentFailed, not_found=(lacking,)) == ()
    assert scene.hear(FulfillmentCancelled) == (step(VoidPayment),)
    expected = step(ReleaseStock, attempt=2, location="MAN", not_found=(SkuQuantity(sku="MUG", quantity=1),))
    assert scene.hear(PaymentVoided) == (expected,)


def test_undoes_everything_in_reverse_when_the_carrier_refuses(scene: Scene) -> None:
    scene.go_to("shipping")
    assert scene.hear(ShipmentRefused) == (step(CancelFulfillment),)
    assert scene.hear(FulfillmentCancelled) == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, location="LON"),)
    reason = NO_CARRIER.model_copy(update={"path": "shipping_address.city"})
    cancelled = OrderCancelled(order_id=ID, revision=1, reason=reason, cancelled_by="ship")
    assert scene.hear(StockReleased) == (cancelled,)


@pytest.mark.parametrize(
    ("status", "within", "undo", "end"),
    [
        ("reserving", {"minutes": 2}, VoidPayment, "rejected"),
        ("fulfilling", {"hours": 1}, CancelFulfillment, "cancelled"),
        ("shipping", {"minutes": 30}, CancelShipment, "cancelled"),
    ],
)
def test_a_step_that_never_answers_is_undone_at_its_deadline(
    scene: Scene, status: str, within: dict[str, float], undo: type[SagaStep], end: str
) -> None:
    scene.go_to(status)
    if status == "reserving":
        scene.hear(StockReserved)
    assert scene.after(**within) == (step(undo),)
    assert scene.order.timeline[-1].heard == "Deadline"
    for answer in (ShipmentCancelled, FulfillmentCancelled, PaymentVoided, StockReleased):
        scene.hear(answer)
    assert scene.order.status == end
    ending = scene.order.ending
    assert ending is not None
    assert ending.reasons[0].code == "no_answer"


def test_no_deadline_rings_once_the_order_is_being_undone(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    scene.hear(PaymentVoided)
    assert kinds(scene.after(seconds=29)) == []
    assert kinds(scene.after(minutes=1, seconds=31)) == [ReleaseStock] * 3


def test_deadlines_that_passed_while_nobody_looked_turn_the_order_back_once(stage: Rehearsal, scene: Scene) -> None:
    scene.place()
    stage.now += timedelta(hours=1)
    assert kinds(stage.take(AlarmRang(scene.order.key))) == [ReleaseStock, ReserveStock, VoidPayment]
    ending = scene.order.ending
    assert ending is not None
    assert ending.by == "authorize"


def test_an_alarm_that_rings_too_early_changes_nothing(stage: Rehearsal, scene: Scene) -> None:
    scene.place()
    before = scene.order
    assert stage.take(AlarmRang(before.key), AlarmRang("orders/web:none")) == ()
    assert scene.order is before


# Undoing.


def test_an_undo_that_nobody_answers_is_sent_again_without_end_and_counted(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    scene.hear(PaymentDeclined)
    assert scene.after(minutes=5) == (step(ReleaseStock, location="LON"),) * 4
    assert scene.order.undo_tries == 4
    assert scene.order.status == "undoing"
    assert kinds(scene.hear(StockReleased)) == [OrderRejected]


def test_an_undo_is_sent_again_ever_more_seldom_but_once_an_hour(scene: Scene) -> None:
    """Each time changes the order, and what was changed takes the room of new orders for a while."""
    scene.go_to("fulfilling")
    scene.cancel()
    assert [len(scene.after(minutes=minutes)) for minutes in (1, 1, 2, 4)] == [2, 1, 1, 1]
    scene.after(hours=3)
    assert [len(scene.after(hours=1)) for _ in range(9)] == [1] * 9


def test_the_next_undo_is_sent_again_soon_whatever_the_one_before_took(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.cancel()
    scene.after(hours=3)
    assert kinds(scene.hear(FulfillmentCancelled)) == [VoidPayment]
    assert kinds(scene.after(seconds=30)) == [VoidPayment]


def test_an_answer_that_crosses_the_undo_is_not_taken_for_success(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    assert scene.cancel() == (step(VoidPayment),)
    assert scene.hear(PaymentAuthorized) == ()
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, location="LON"),)


def test_what_is_refused_while_it_waits_for_its_undo_needs_none(scene: Scene) -> None:
    scene.place()
    assert scene.cancel() == (step(VoidPayment),)
    assert scene.hear(StockRejected) == ()
    assert kinds(scene.hear(PaymentVoided)) == [OrderCancelled]


def test_a_late_success_after_the_end_is_undone_again(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    scene.after(minutes=2)
    scene.hear(PaymentVoided)
    assert kinds(scene.hear(StockReleased)) == [OrderRejected]
    assert scene.hear(PaymentAuthorized) == (step(VoidPayment),)
    assert scene.order.status == "rejected"
    assert scene.after(seconds=30) == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == ()
    assert scene.order.alarm is None


def test_a_late_success_of_an_earlier_revision_is_undone_under_its_own_name(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentDeclined)
    scene.hear(StockReleased)
    scene.place(revision=2, shipping_method="express")
    late = scene.hear(StockReserved, revision=1)
    assert late == (step(ReleaseStock, location="LON"),)
    assert scene.after(seconds=30) == late
    assert scene.hear(StockReleased, revision=1) == ()
    scene.hear(StockReserved)
    assert kinds(scene.hear(PaymentAuthorized)) == [OrderConfirmed, FulfillOrder]


def test_an_undo_of_an_earlier_revision_does_not_hold_up_the_next_one(scene: Scene) -> None:
    scene.place()
    scene.hear(PaymentDeclined)
    scene.hear(StockReleased)
    scene.hear(StockReserved)
    scene.place(revision=2)
    assert scene.after(seconds=30) == (step(ReleaseStock, location="LON"),)
    assert kinds(scene.hear(PaymentDeclined)) == [ReleaseStock]
    assert kinds(scene.hear(StockReleased)) == [OrderRejected]


def test_a_late_success_is_undone_before_the_order_ends(scene: Scene) -> None:
    scene.place()
    scene.hear(StockRejected)
    assert scene.hear(StockReserved) == (step(ReleaseStock, location="LON"),)
    assert scene.cancel() == (step(VoidPayment),)
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=2, location="MAN"),)
    assert scene.hear(StockReleased, attempt=2, location="MAN") == ()
    assert kinds(scene.hear(StockReleased)) == [OrderCancelled]


def test_a_backorder_that_crosses_the_undo_is_not_waited_for(scene: Scene) -> None:
    scene.place(allow_backorder=True)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.cancel()
    assert scene.hear(StockBackordered, attempt=4) == ()
    assert scene.order.status == "undoing"
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=4, location="ROT"),)


def test_an_undo_that_overtook_its_do_ends_the_order_and_the_late_refusal_changes_nothing(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    scene.hear(PaymentVoided)
    assert kinds(scene.hear(StockReleased, lines=())) == [OrderCancelled]
    before = scene.order
    assert scene.hear(StockRejected, shortages=()) == ()
    assert scene.hear(PaymentDeclined, code="voided") == ()
    assert scene.order is before


def test_answers_that_nobody_asked_for_are_passed_over(scene: Scene) -> None:
    assert scene.hear(StockReserved) == ()
    scene.place()
    before = scene.order
    assert scene.hear(StockReserved, attempt=7) == ()
    assert scene.hear(StockReserved, location="MAN") == ()
    assert scene.hear(StockReserved, revision=3) == ()
    assert scene.hear(OrderPacked) == ()
    assert scene.hear(StockReleased) == ()
    assert scene.order is before


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (StockReserved, {"lines": (MUGS_IN_BIN,)}),
        (StockReserved, {"lines": ()}),
        (StockReserved, {"lines": (MUGS_IN_BIN, BinQuantity(sku="JAR", quantity=1))}),
        (StockReserved, {"lines": (MUGS_IN_BIN,), "missing": (SkuQuantity(sku="JAR", quantity=1),)}),
        (PaymentAuthorized, {"amount": 1}),
        (PaymentAuthorized, {"currency": Currency("EUR")}),
    ],
)
def test_an_answer_that_does_not_fit_the_question_is_noted_and_left_to_the_deadline(
    scene: Scene, model: type[SagaStep], wrong: dict[str, Any]
) -> None:
    scene.place()
    assert scene.hear(model, **wrong) == ()
    assert scene.order.timeline[-1].detail == "passed over: it does not answer what was asked"
    assert VoidPayment in kinds(scene.after(minutes=2))


def test_a_capture_of_another_amount_does_not_complete_the_order(scene: Scene) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    assert scene.hear(PaymentCaptured, amount=1) == ()
    assert (scene.order.status, scene.order.captured) == ("completing", 0)
    assert kinds(scene.after(minutes=1)) == [CapturePayment]


def test_why_a_capture_is_declined_is_noted_once_and_it_is_asked_for_again(scene: Scene) -> None:
    scene.go_to("completing")
    scene.hear(StockIssued)
    assert scene.hear(PaymentDeclined, code="not_authorized", message="no authorization holds the money") == ()
    assert scene.order.timeline[-1].detail == "not_authorized: no authorization holds the money"
    before = scene.order
    assert scene.hear(PaymentDeclined, code="not_authorized", message="no authorization holds the money") == ()
    assert scene.order is before
    assert kinds(scene.after(minutes=1)) == [CapturePayment]


# Cancelling.


@pytest.mark.parametrize(
    ("status", "undos"),
    [
        ("reserving", [VoidPayment, ReleaseStock]),
        ("fulfilling", [CancelFulfillment, VoidPayment, ReleaseStock]),
        ("shipping", [CancelShipment, CancelFulfillment, VoidPayment, ReleaseStock]),
    ],
)
def test_a_cancelled_order_is_undone_in_reverse_before_the_pivot(
    scene: Scene, status: str, undos: list[type[SagaStep]]
) -> None:
    scene.go_to(status)
    said = kinds(scene.cancel())
    for answer in (ShipmentCancelled, FulfillmentCancelled, PaymentVoided):
        said += kinds(scene.hear(answer))
    assert said == undos
    reason = Reason(path="", code="cancel_requested", message="changed my mind")
    assert scene.hear(StockReleased) == (OrderCancelled(order_id=ID, revision=1, reason=reason, cancelled_by="Ada"),)


def test_a_backordered_order_can_be_cancelled(scene: Scene) -> None:
    backordered(scene)
    assert kinds(scene.cancel()) == [VoidPayment]
    assert scene.hear(PaymentVoided) == (step(ReleaseStock, attempt=4, location="ROT"),)


def test_a_cancellation_while_undoing_is_noted_and_undoes_nothing_twice(scene: Scene) -> None:
    scene.place()
    scene.hear(StockReserved)
    scene.hear(PaymentDeclined)
    assert scene.cancel() == ()
    assert scene.order.timeline[-1].heard == "CancelOrder"
    assert kinds(scene.hear(StockReleased)) == [OrderRejected]


@pytest.mark.parametrize(("status", "code"), [("completing", "already_shipped"), ("completed", "already_completed")])
def test_a_cancellation_after_the_pivot_is_refused_with_a_reason(scene: Scene, status: str, code: str) -> None:
    scene.go_to(status)
    (refused,) = scene.cancel()
    assert isinstance(refused, CancellationRefused)
    assert (refused.reason.code, refused.requested_by) == (code, "Ada")
    assert (scene.order.status, scene.order.ending) == (status, None)
    assert scene.order.refused == Refusal.of(refused, NOON)


def test_a_cancellation_of_what_is_cancelled_already_is_refused(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    scene.hear(PaymentVoided)
    scene.hear(StockReleased)
    (refused,) = scene.take(CancelOrder(order_id=ID, reason="wrong size", requested_by="Ben"))
    assert isinstance(refused, CancellationRefused)
    assert refused.reason.code == "already_cancelled"


def test_a_cancellation_that_is_repeated_when_it_is_done_changes_nothing(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    scene.take(CancelOrder(order_id=ID, reason="wrong size", requested_by="Ben"))
    scene.hear(PaymentVoided)
    scene.hear(StockReleased)
    before = scene.order
    assert scene.cancel() == ()
    assert scene.take(CancelOrder(order_id=ID, reason="wrong size", requested_by="Ben")) == ()
    assert scene.order is before


def test_who_is_named_like_the_step_that_failed_did_not_cancel_the_order(scene: Scene) -> None:
    scene.go_to("fulfilling")
    scene.after(hours=1)
    for answer in (FulfillmentCancelled, PaymentVoided, StockReleased):
        scene.hear(answer)
    assert scene.order.status == "cancelled"
    assert kinds(scene.take(CancelOrder(order_id=ID, reason="late", requested_by="fulfill"))) == [CancellationRefused]


def test_a_cancellation_of_a_rejected_order_is_refused_to_whoever_wanted_it(scene: Scene) -> None:
    """Silence could be taken for a promise that a revision which is on its way does not begin."""
    scene.place()
    scene.hear(StockReserved)
    scene.hear(PaymentDeclined)
    scene.cancel()
    scene.hear(StockReleased)
    assert kinds(scene.cancel()) == [CancellationRefused]


def test_a_cancellation_of_an_unknown_order_is_refused_and_leaves_no_trace(scene: Scene) -> None:
    (refused,) = scene.cancel()
    assert isinstance(refused, CancellationRefused)
    assert (refused.reason.code, refused.revision) == ("unknown_order", 1)
    assert kinds(scene.place()) == [OrderValidated, ReserveStock, AuthorizePayment]


# Too late to undo.


def test_parcels_that_leave_turn_the_order_forward_although_another_undo_is_waited_for(scene: Scene) -> None:
    go_to_with_an_undo_under_way(scene, "shipping")
    assert scene.cancel() == (step(CancelShipment),)
    assert scene.hear(ShipmentCreated) == ()
    refused, shipped, *_ = scene.hear(ShipmentDispatched, dispatched_at=NOON)
    assert isinstance(refused, CancellationRefused)
    assert shipped == OrderShipped(order_id=ID, revision=1, parcels=(PARCEL,))


def test_a_parcel_that_has_left_turns_the_order_forward_again_and_refuses_the_cancellation(scene: Scene) -> None:
    scene.go_to("shipping")
    assert scene.cancel() == (step(CancelShipment),)
    assert scene.hear(ShipmentCreated) == ()
    refused, shipped, *commands = scene.hear(ShipmentDispatched, dispatched_at=NOON)
    assert isinstance(refused, CancellationRefused)
    assert (refused.reason.code, refused.requested_by) == ("already_shipped", "Ada")
    assert shipped == OrderShipped(order_id=ID, revision=1, parcels=(PARCEL,))
    assert commands == [step(CapturePayment, amount=1750), step(IssueStock, location="LON")]
    assert (scene.order.status, scene.order.ending) == ("completing", None)
    assert scene.order.refused == Refusal.of(refused, NOON)
    assert scene.order.timeline[-1].detail == "too late to undo: goes on; refused is Ada: changed my mind"
    scene.hear(PaymentCaptured)
    assert kinds(scene.hear(StockIssued)) == [OrderCompleted]
    assert scene.order.alarm is None


def test_all_who_asked_for_a_cancellation_hear_that_it_came_too_late(scene: Scene) -> None:
    scene.go_to("shipping")
    assert kinds(scene.after(minutes=30)) == [CancelShipment]  # the carrier did not answer in time
    scene.cancel()
    scene.take(CancelOrder(order_id=ID, reason="so do I", requested_by="Ben"))
    scene.cancel()
    assert scene.order.timeline[-1].source == "Ada"
    refused = [
        said for said in scene.hear(ShipmentDispatched, dispatched_at=NOON) if isinstance(said, CancellationRefused)
    ]
    assert [said.requested_by for said in refused] == ["Ada", "Ben"]


@pytest.mark.parametrize("heard_before", [True, False])
def test_a_parcel_that_was_delivered_before_its_undo_arrived_turns_the_order_forward_again(
    scene: Scene, *, heard_before: bool
) -> None:
    scene.go_to("shipping")
    if heard_before:
        scene.cancel()
        scene.hear(ShipmentCreated)
    else:
        scene.after(minutes=30)
        scene.hear(ShipmentCreated)
    said = kinds(scene.hear(ShipmentDelivered, delivered_at=NOON))
    assert said == [*([CancellationRefused] if heard_before else []), OrderShipped, CapturePayment, IssueStock]


def test_an_order_that_goes_forward_again_hears_of_its_parcel_once(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.cancel()
    scene.hear(ShipmentCreated)
    scene.hear(ShipmentDispatched, dispatched_at=NOON)
    before = scene.order
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == ()
    assert scene.order is before
    (refused,) = scene.cancel()
    assert isinstance(refused, CancellationRefused)


def test_an_order_that_went_forward_again_without_knowing_its_parcels_learns_them_late(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.cancel()
    _, shipped, *_ = scene.hear(ShipmentDispatched, dispatched_at=NOON)
    assert shipped == OrderShipped(order_id=ID, revision=1, parcels=())
    assert scene.hear(ShipmentCreated) == ()
    assert scene.order.parcels == (PARCEL,)
    before = scene.order
    assert scene.hear(ShipmentCreated) == ()
    assert scene.order is before


def test_an_order_of_which_more_is_undone_cannot_go_forward_again_and_asks_on(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.cancel()
    assert kinds(scene.hear(ShipmentCancelled)) == [CancelFulfillment]
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == (step(CancelShipment),)
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == ()
    assert scene.order.timeline[-1].detail == "too late to undo, and others are undone already: a person must decide"
    before = scene.order
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == ()
    assert scene.order is before
    assert kinds(scene.after(seconds=30)) == [CancelFulfillment, CancelShipment]
    assert scene.order.status == "undoing"


def test_a_parcel_that_leaves_although_its_order_has_ended_is_undone_again(scene: Scene) -> None:
    scene.go_to("shipping")
    scene.cancel()
    for answer in (ShipmentCancelled, FulfillmentCancelled, PaymentVoided, StockReleased):
        scene.hear(answer)
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == (step(CancelShipment),)
    assert scene.hear(ShipmentDispatched, dispatched_at=NOON) == ()
    assert scene.order.status == "cancelled"
    assert scene.order.alarm is not None


# After the pivot.


def test_what_is_not_answered_after_the_pivot_is_asked_for_again_until_it_is_done(scene: Scene) -> None:
    scene.go_to("completing")
    again = (step(CapturePayment, amount=1750), step(IssueStock, location="LON"))
    assert scene.after(seconds=90) == again * 2
    assert scene.hear(StockIssued) == ()
    assert scene.after(seconds=89) == ()
    assert scene.after(seconds=1) == again[:1]
    assert scene.order.forward_tries == 5
    scene.after(hours=4)
    assert [len(scene.after(hours=1)) for _ in range(3)] == [1] * 3
    assert kinds(scene.hear(PaymentCaptured)) == [OrderCompleted]
    assert scene.order.alarm is None


def test_only_what_is_not_answered_is_asked_for_again(scene: Scene) -> None:
    scene.place(allow_split=True)
    scene.hear(PaymentAuthorized)
    for attempt, location in ((1, "LON"), (2, "MAN"), (3, "ROT")):
        scene.hear(StockRejected, attempt=attempt, location=location)
    scene.hear(StockReserved, attempt=4, lines=(TEA_IN_BIN,), missing=(MUGS,))
    scene.hear(StockReserved, attempt=5, location="MAN", lines=(MUGS_IN_BIN,))
    scene.hear(OrderPacked)
    scene.hear(ShipmentCreated)
    scene.hear(PaymentCaptured)
    scene.hear(StockIssued, attempt=4)
    assert scene.after(seconds=45) == (step(IssueStock, attempt=5, location="MAN"),)


# The document.


def test_an_order_is_queued_while_its_payment_or_its_shipment_is_waited_for(scene: Scene) -> None:
    queued = []
    scene.place()
    queued.append(scene.order.is_queued)
    for model in (PaymentAuthorized, StockReserved, OrderPacked, ShipmentCreated, PaymentCaptured, StockIssued):
        scene.hear(model)
        queued.append(scene.order.is_queued)
    #                 placed, authorized, reserved, packed, shipped, captured, issued
    assert queued == [True, False, False, True, False, False, False]


def test_a_backordered_order_is_queued_until_its_payment_is_authorized(scene: Scene) -> None:
    backordered(scene)
    assert scene.order.is_queued
    scene.hear(PaymentAuthorized)
    assert not scene.order.is_queued


def test_an_order_whose_payment_is_to_be_undone_is_not_queued(scene: Scene) -> None:
    scene.place()
    scene.cancel()
    assert [(task.step, task.state) for task in scene.order.unanswered()] == [("authorize", "undoing")]
    assert not scene.order.is_queued


def test_an_order_of_two_thousand_lines_is_carried_through(
    stage: Rehearsal, placed: Callable[..., OrderPlaced]
) -> None:
    (line, _) = placed().lines
    lines = tuple(line.model_copy(update={"sku": f"SKU-{number}", "quantity": 1}) for number in range(2000))
    scene = Scene(stage, placed)
    scene.place(lines=lines, total=2000 * 500 + 300)
    scene.hear(PaymentAuthorized, amount=2000 * 500 + 300)
    bins = tuple(BinQuantity(sku=line.sku, quantity=1, bin="A-1") for line in lines)
    _, fulfill = scene.hear(StockReserved, lines=bins)
    assert isinstance(fulfill, FulfillOrder)
    assert len(fulfill.picks[0].lines) == 2000


def test_an_order_reads_back_from_json_as_it_was(scene: Scene) -> None:
    for status in ("reserving", "shipping", "completed"):
        scene.go_to(status)
        order = scene.order
        assert Order.model_validate(order.model_dump(mode="json"), strict=False) == order
