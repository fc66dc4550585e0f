"""Cancelling an order on the real engines: before, during and after each step up to the pivot, and too late.

What a step is caught at is made sure of: a service that is paused does not answer, simulated pickers may never come.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest
from contracts.fulfillment import CancelFulfillment, FulfillmentCancelled, FulfillOrder, OrderPacked, OrderPicked
from contracts.inventory import ReleaseStock, ReserveStock, StockReleased, StockReserved
from contracts.message import Message, SagaStep
from contracts.order import (
    CancellationRefused,
    CancelOrder,
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderValidated,
)
from contracts.payment import AuthorizePayment, PaymentAuthorized, PaymentVoided, VoidPayment
from contracts.shipping import CancelShipment, CreateShipment, ShipmentCancelled, ShipmentDispatched
from fulfillment.decide import NOBODY_PICKS
from payment.gateway import SLOW

from tests.integration.shop import ADDRESS, Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

BEGUN = [OrderValidated, ReserveStock, AuthorizePayment]
MOMENTS: tuple[type[Message], ...] = (
    OrderPlaced,
    OrderValidated,
    StockReserved,
    PaymentAuthorized,
    OrderConfirmed,
    FulfillOrder,
    OrderPicked,
    OrderPacked,
    CreateShipment,
    OrderShipped,
)
"""What is said of an order before it is cancelled, from the first moment to one that is too late."""
EACH = 4


async def test_an_order_that_is_not_placed_yet_cannot_be_cancelled_and_goes_on_when_it_is(
    shop: Shop, witness: Witness
) -> None:
    order = shop.order({await shop.stocked(LON=1): 1})

    await shop.cancel(order.order_id)
    refused = await witness.hears(order.order_id, CancellationRefused)
    await shop.send(order)

    assert (refused.reason.code, refused.requested_by) == ("unknown_order", "customer")
    await witness.hears(order.order_id, OrderCompleted)


async def test_an_order_is_cancelled_right_behind_its_placing(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = shop.order({mug: 2})

    async with shop.services.paused("inventory"), shop.services.paused("payment"):
        cancel = CancelOrder(order_id=order.order_id, reason="wrong size", requested_by="customer")
        await shop.send(order, cancel)
        await witness.hears(order.order_id, VoidPayment)

    cancelled = await witness.hears(order.order_id, OrderCancelled)
    assert (cancelled.reason.message, cancelled.cancelled_by) == ("wrong size", "customer")
    await witness.caught_up()
    assert witness.told(order.order_id) == [*BEGUN, VoidPayment, ReleaseStock, OrderCancelled]
    await witness.stands("LON", mug, available=5)


async def test_an_order_is_cancelled_while_stock_is_being_reserved(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("inventory"):
        order = await shop.place({mug: 2})
        await witness.hears(order, PaymentAuthorized)
        await shop.cancel(order)
        await witness.hears(order, PaymentVoided)
        await witness.hears(order, ReleaseStock)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, VoidPayment, ReleaseStock, OrderCancelled]
    await witness.stands("LON", mug, available=5)


async def test_an_order_is_cancelled_while_payment_is_being_authorized(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("payment"):
        order = await shop.place({mug: 2})
        await witness.hears(order, StockReserved)
        await shop.cancel(order)
        await witness.hears(order, VoidPayment)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, VoidPayment, ReleaseStock, OrderCancelled]
    await witness.stands("LON", mug, available=5)
    await holds_nothing(shop, order)


async def test_an_order_is_cancelled_while_the_provider_thinks_about_it(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=1)

    # The provider is asked, and right behind that the payment service hears that nobody wants it any more.
    async with shop.services.paused("inventory"), shop.services.paused("payment"):
        order = await shop.place({mug: 1}, payment_token=SLOW)
        await witness.hears(order, AuthorizePayment)
        await shop.cancel(order)
        await witness.hears(order, VoidPayment)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert not list(witness.said(order, PaymentAuthorized, OrderConfirmed))
    await holds_nothing(shop, order)


async def test_an_order_is_completed_though_it_was_cancelled_if_the_carrier_has_fetched_it_meanwhile(
    shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=2)

    async with shop.services.paused("shipping"):
        order = await shop.place({mug: 1}, shipping_address=ADDRESS | {"street": "1 Early Lane"})
        await witness.hears(order, CreateShipment)
        await shop.cancel(order)
        await witness.hears(order, CancelShipment)

    await witness.hears(order, ShipmentDispatched)
    await witness.hears(order, OrderCompleted)
    await witness.hears(order, CancellationRefused)
    await witness.caught_up()
    shipped = await witness.hears(order, OrderShipped)
    assert [parcel.location for parcel in shipped.parcels] == ["LON"]
    await witness.stands("LON", mug, available=1, shipped=1)


async def test_an_order_is_cancelled_while_it_waits_for_stock(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(ROT=1)
    order = await shop.place({mug: 3}, allow_backorder=True)
    await witness.hears(order, OrderBackordered)
    await witness.hears(order, PaymentAuthorized)

    await shop.cancel(order)

    await witness.hears(order, OrderCancelled)
    await shop.deliver(mug, ROT=5)
    await witness.stands("ROT", mug, available=6)
    await witness.caught_up()
    assert witness.told(order)[-4:] == [OrderBackordered, VoidPayment, ReleaseStock, OrderCancelled]


async def test_an_order_is_cancelled_while_it_is_being_picked(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2}, special_instructions=NOBODY_PICKS)
    await witness.hears(order, FulfillOrder)

    await shop.cancel(order)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order) == [
        *BEGUN,
        OrderConfirmed,
        FulfillOrder,
        CancelFulfillment,
        VoidPayment,
        ReleaseStock,
        OrderCancelled,
    ]
    await witness.stands("LON", mug, available=5)


async def test_an_order_is_cancelled_when_it_is_packed_and_the_carrier_has_not_answered(
    shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("shipping"):
        order = await shop.place({mug: 2})
        await witness.hears(order, CreateShipment)
        await shop.cancel(order)
        await witness.hears(order, CancelShipment)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order) == [
        *BEGUN,
        OrderConfirmed,
        FulfillOrder,
        CreateShipment,
        CancelShipment,
        CancelFulfillment,
        VoidPayment,
        ReleaseStock,
        OrderCancelled,
    ]
    undone: list[type[SagaStep]] = [ShipmentCancelled, FulfillmentCancelled, PaymentVoided, StockReleased]
    assert [len(list(witness.said(order, answer))) for answer in undone] == [1, 1, 1, 1]
    await witness.stands("LON", mug, available=5)
    await holds_nothing(shop, order)


async def test_a_second_cancellation_changes_nothing(shop: Shop, witness: Witness) -> None:
    async with shop.services.paused("inventory"):
        order = await shop.place({shop.item(): 1})
        await witness.hears(order, PaymentAuthorized)
        await shop.cancel(order)
        await shop.cancel(order)
        await witness.hears(order, ReleaseStock)

    await witness.hears(order, OrderCancelled)
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, VoidPayment, ReleaseStock, OrderCancelled]


# Too late.


async def test_an_order_is_not_cancelled_once_the_carrier_has_its_parcels(shop: Shop, witness: Witness) -> None:
    async with AsyncExitStack() as until_refused:
        async with shop.services.paused("shipping"):
            order = await shop.place({await shop.stocked(LON=1): 1})
            await witness.hears(order, CreateShipment)
            await until_refused.enter_async_context(shop.services.paused("payment"))
        await witness.hears(order, OrderShipped)
        await shop.cancel(order)
        refused = await witness.hears(order, CancellationRefused)

    assert (refused.reason.path, refused.reason.code) == ("order_id", "already_shipped")
    await witness.hears(order, OrderCompleted)


async def test_an_order_whose_parcel_left_while_the_cancellation_was_on_its_way_is_completed(
    shop: Shop, witness: Witness
) -> None:
    """The order service has the cancellation before the carrier's answer, and hears only then that the van has left."""
    mug = await shop.stocked(LON=1)
    async with AsyncExitStack() as until_dispatched:
        async with shop.services.paused("shipping"):
            order = await shop.place({mug: 1})
            await witness.hears(order, CreateShipment)
            await until_dispatched.enter_async_context(shop.services.paused("order"))
            await shop.cancel(order)
        await witness.hears(order, ShipmentDispatched)

    refused = await witness.hears(order, CancellationRefused)
    assert (refused.reason.code, refused.requested_by) == ("already_shipped", "customer")
    await witness.hears(order, OrderCompleted)
    assert [parcel.location for parcel in (await witness.hears(order, OrderShipped)).parcels] == ["LON"]
    await witness.caught_up()
    assert not list(witness.said(order, VoidPayment, ReleaseStock, OrderCancelled))
    await witness.stands("LON", mug, available=0, shipped=1)


async def test_an_order_that_has_ended_is_not_cancelled(shop: Shop, witness: Witness) -> None:
    completed = await shop.place({await shop.stocked(LON=1): 1})
    rejected = await shop.place({shop.item(): 1})
    cancelled = await shop.place({await shop.stocked(LON=1): 1}, special_instructions=NOBODY_PICKS)
    await witness.hears(cancelled, FulfillOrder)
    await shop.cancel(cancelled)
    ended: dict[str, tuple[type[OrderEvent], str]] = {
        completed: (OrderCompleted, "already_completed"),
        rejected: (OrderRejected, "already_rejected"),
        cancelled: (OrderCancelled, "already_cancelled"),
    }

    for order, (ending, code) in ended.items():
        await witness.hears(order, ending)
        await shop.cancel(order, by="somebody else")
        refused = await witness.hears(order, CancellationRefused)
        assert refused.reason.code == code


async def test_orders_that_are_cancelled_at_any_moment_are_either_undone_or_completed(
    shop: Shop, witness: Witness
) -> None:
    """Whatever moment a cancellation hits: nothing stays reserved or held, or the order goes through."""
    count = EACH * len(MOMENTS)
    mug = await shop.stocked(LON=count)
    # The first ones nobody picks, so that they are cancelled; the last ones the carrier has, so that they are not.
    orders = [shop.order({mug: 1}, special_instructions=NOBODY_PICKS) for _ in range(EACH)]
    orders += [shop.order({mug: 1}) for _ in range(count - EACH)]

    async def place_and_cancel(order: OrderPlaced, moment: type[Message]) -> None:
        await shop.send(order)
        await witness.hears(order.order_id, moment)
        await shop.cancel(order.order_id)

    async with asyncio.TaskGroup() as group:
        for place, order in enumerate(orders):
            group.create_task(place_and_cancel(order, MOMENTS[place // EACH]))

    endings = [await witness.hears(order.order_id, OrderCompleted, OrderCancelled) for order in orders]
    assert {type(ending) for ending in endings[:EACH]} == {OrderCancelled}
    assert {type(ending) for ending in endings[-EACH:]} == {OrderCompleted}
    completed = [ending.order_id for ending in endings if isinstance(ending, OrderCompleted)]
    for order_id in completed:
        await witness.hears(order_id, CancellationRefused)
    await witness.stands("LON", mug, available=count - len(completed), shipped=len(completed))
    for order in orders:
        await holds_nothing(shop, order.order_id, kept=order.total if order.order_id in completed else 0)


async def holds_nothing(shop: Shop, order_id: str, kept: int = 0) -> None:
    """Wait until no money is held for an order, and so much of it kept."""
    await shop.reads(
        f"payment/payments/{order_id}",
        lambda shown: (
            [(one["held"], one["captured"] - one["refunded"]) for one in shown.get("payments", ())] == [(0, kept)]
        ),
    )
