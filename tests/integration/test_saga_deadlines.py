"""Steps that nobody answers: each has its deadline, and then the order is undone."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import groupby

import pytest
from contracts.fulfillment import CancelFulfillment, FulfillOrder, OrderPacked
from contracts.inventory import ReleaseStock, ReserveStock, StockReleased, StockReserved
from contracts.message import Message, SkuQuantity
from contracts.order import (
    OrderBackordered,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderRejected,
    OrderShipped,
    OrderValidated,
)
from contracts.payment import AuthorizePayment, CapturePayment, PaymentVoided, VoidPayment
from contracts.shipping import CancelShipment, CreateShipment
from fulfillment.decide import NOBODY_PICKS

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

BEGUN = [OrderValidated, ReserveStock, AuthorizePayment]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """Deadlines that a test can wait for, and that nothing misses on a machine that is merely busy.

    The carrier's is longer: within it a test holds up one service and lets another go on.
    """
    steps = ("RESERVE", "AUTHORIZE", "FULFILL", "BACKORDER")
    resends = {"UNDO_RESEND_S": "1", "FORWARD_RESEND_S": "1"}
    return {**{f"{step}_DEADLINE_S": "6" for step in steps}, "SHIP_DEADLINE_S": "12", **resends}


async def test_an_order_is_rejected_when_no_stock_book_answers_in_time(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("inventory"):
        order = await shop.place({mug: 2})
        await witness.hears(order, PaymentVoided)
        await witness.hears(order, ReleaseStock)

    rejected = await witness.hears(order, OrderRejected)
    assert [reason.code for reason in rejected.reasons] == ["no_answer"]
    assert "'reserve'" in rejected.reasons[0].message
    await witness.caught_up()
    assert [asked.location for asked in witness.said(order, ReserveStock)] == ["LON", "MAN", "ROT"]
    assert {undo.location for undo in witness.said(order, ReleaseStock)} == {"LON", "MAN", "ROT"}
    assert witness.told(order)[-1] is OrderRejected
    await witness.stands("LON", mug, available=5)


async def test_stock_is_released_when_payment_does_not_answer_in_time(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("payment"):
        order = await shop.place({mug: 2})
        await witness.hears(order, StockReserved)
        await witness.hears(order, VoidPayment)

    rejected = await witness.hears(order, OrderRejected)
    assert "'authorize'" in rejected.reasons[0].message
    await witness.caught_up()
    assert without_repeats(witness.told(order)) == [*BEGUN, VoidPayment, ReleaseStock, OrderRejected]
    await witness.stands("LON", mug, available=5)


async def test_everything_is_undone_when_nobody_picks_in_time(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    order = await shop.place({mug: 2}, special_instructions=NOBODY_PICKS)

    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.reason.code, cancelled.cancelled_by) == ("no_answer", "fulfill")
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


async def test_everything_is_undone_in_reverse_when_the_carrier_does_not_answer_in_time(
    shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=5)

    async with shop.services.paused("shipping"):
        order = await shop.place({mug: 2})
        await witness.hears(order, OrderPacked)
        await witness.hears(order, CancelShipment)

    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.reason.code, cancelled.cancelled_by) == ("no_answer", "ship")
    await witness.caught_up()
    assert without_repeats(witness.told(order)) == [
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
    await witness.stands("LON", mug, available=5)


async def test_a_backordered_order_is_cancelled_when_nothing_arrives_in_time(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(ROT=1)

    order = await shop.place({mug: 3}, allow_backorder=True)
    await witness.hears(order, OrderBackordered)

    cancelled = await witness.hears(order, OrderCancelled)
    assert cancelled.reason.code == "backorder_expired"
    released = await witness.hears(order, StockReleased)
    assert released.lines == (SkuQuantity(sku=mug, quantity=1),)
    await witness.hears(order, PaymentVoided)
    await shop.deliver(mug, ROT=5)
    await witness.stands("ROT", mug, available=6)


async def test_an_undo_that_nobody_answers_is_sent_again_until_it_is_done(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2}, special_instructions=NOBODY_PICKS)
    await witness.hears(order, FulfillOrder)

    async with shop.services.paused("payment"):
        await shop.cancel(order)
        await witness.hears_times(3, order, VoidPayment)

    await witness.hears(order, OrderCancelled)
    await witness.stands("LON", mug, available=5)
    shown = await shop.reads(f"order/orders/{order}", lambda shown: shown.get("status") == "cancelled")
    assert shown["undo_tries"] >= 2


async def test_a_capture_that_nobody_answers_is_asked_for_again_and_never_undone(shop: Shop, witness: Witness) -> None:
    async with AsyncExitStack() as until_captured:
        async with shop.services.paused("shipping"):
            order = await shop.place({await shop.stocked(LON=1): 1})
            await witness.hears(order, CreateShipment)
            await until_captured.enter_async_context(shop.services.paused("payment"))
        await witness.hears(order, OrderShipped)
        await witness.hears_times(3, order, CapturePayment)

    await witness.hears(order, OrderCompleted)
    await witness.caught_up()
    assert not list(witness.said(order, VoidPayment))


def without_repeats(told: list[type[Message]]) -> list[type[Message]]:
    """An undo that was not answered within a second was sent again: how often is a matter of chance."""
    return [model for model, _ in groupby(told)]
