"""The saga on the real engines, as long as it goes forward: orders that are completed, on whatever way."""

import pytest
from contracts.fulfillment import FulfillOrder
from contracts.inventory import IssueStock, ReserveStock, StockBackordered
from contracts.message import SkuQuantity
from contracts.order import (
    Allocation,
    OrderBackordered,
    OrderCompleted,
    OrderConfirmed,
    OrderShipped,
    OrderValidated,
)
from contracts.payment import AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured
from contracts.shipping import CreateShipment, ShipmentDelivered, ShipmentDispatched
from payment.gateway import CAPTURE_FAILS, SLOW, TIMEOUT

from tests.integration.shop import SHIPPING_CHARGE, UNIT_PRICE, Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

HAPPY = [
    OrderValidated,
    ReserveStock,
    AuthorizePayment,
    OrderConfirmed,
    FulfillOrder,
    CreateShipment,
    OrderShipped,
    CapturePayment,
    IssueStock,
    OrderCompleted,
]


async def test_an_order_is_reserved_paid_picked_shipped_and_completed(shop: Shop, witness: Witness) -> None:
    mug, tea = await shop.stocked(LON=5), await shop.stocked(LON=5)

    order = await shop.place({mug: 2, tea: 1})

    completed = await witness.hears(order, OrderCompleted)
    await witness.caught_up()
    assert completed.captured == 3 * UNIT_PRICE + SHIPPING_CHARGE
    assert witness.told(order) == HAPPY
    await witness.stands("LON", mug, available=3, shipped=2)
    await witness.stands("LON", tea, available=4, shipped=1)


async def test_a_parcel_is_dispatched_and_delivered_after_the_order_is_completed(shop: Shop, witness: Witness) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1})

    await witness.hears(order, OrderCompleted)
    dispatched = await witness.hears(order, ShipmentDispatched)
    delivered = await witness.hears(order, ShipmentDelivered)

    assert dispatched.dispatched_at < delivered.delivered_at
    await witness.caught_up()
    assert witness.told(order) == HAPPY


async def test_the_next_location_is_asked_when_the_first_is_short(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=1, MAN=5)

    order = await shop.place({mug: 2})

    confirmed = await witness.hears(order, OrderConfirmed)
    assert confirmed.allocations == (Allocation(location="MAN", lines=(SkuQuantity(sku=mug, quantity=2),)),)
    await witness.hears(order, OrderCompleted)
    assert [asked.location for asked in witness.said(order, ReserveStock)] == ["LON", "MAN"]
    await witness.stands("LON", mug, available=1)
    await witness.stands("MAN", mug, available=3, shipped=2)


async def test_an_order_that_may_be_split_is_filled_by_two_locations(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=2, ROT=3)

    order = await shop.place({mug: 5}, allow_split=True)

    confirmed = await witness.hears(order, OrderConfirmed)
    assert confirmed.allocations == (
        Allocation(location="LON", lines=(SkuQuantity(sku=mug, quantity=2),)),
        Allocation(location="ROT", lines=(SkuQuantity(sku=mug, quantity=3),)),
    )
    shipped = await witness.hears(order, OrderShipped)
    assert [parcel.location for parcel in shipped.parcels] == ["LON", "ROT"]
    await witness.hears(order, OrderCompleted)
    await witness.stands("LON", mug, available=0, shipped=2)
    await witness.stands("ROT", mug, available=0, shipped=3)


async def test_a_backordered_order_goes_on_by_itself_when_stock_arrives(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(ROT=1)
    order = await shop.place({mug: 3}, allow_backorder=True)
    waits = await witness.hears(order, OrderBackordered)
    assert (waits.location, waits.missing) == ("ROT", (SkuQuantity(sku=mug, quantity=2),))

    await shop.deliver(mug, ROT=5)

    await witness.hears(order, OrderCompleted)
    await witness.stands("ROT", mug, available=3, shipped=3)


async def test_orders_that_wait_for_one_item_are_served_in_the_order_in_which_they_came(
    shop: Shop, witness: Witness
) -> None:
    mug = await shop.announced("ROT")
    orders = []
    for _ in range(3):
        orders.append(await shop.place({mug: 2}, allow_backorder=True))
        await witness.hears(orders[-1], StockBackordered)

    await shop.deliver(mug, ROT=4)

    for served in orders[:2]:
        await witness.hears(served, OrderCompleted)
    await witness.caught_up()
    assert not list(witness.said(orders[2], OrderConfirmed))
    await shop.deliver(mug, ROT=2)
    await witness.hears(orders[2], OrderCompleted)


@pytest.mark.parametrize("token", [SLOW, TIMEOUT])
async def test_a_provider_that_is_slow_or_loses_its_answer_is_waited_for_and_asked_once_more(
    shop: Shop, witness: Witness, token: str
) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1}, payment_token=token)

    await witness.hears(order, OrderCompleted)
    await witness.caught_up()

    assert witness.told(order) == HAPPY
    assert len(list(witness.said(order, PaymentAuthorized))) == 1
    assert len(list(witness.said(order, PaymentCaptured))) == 1


async def test_a_capture_that_fails_at_first_is_retried_until_it_is_done(shop: Shop, witness: Witness) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1}, payment_token=CAPTURE_FAILS)
    shipped = await witness.hears(order, OrderShipped)

    completed = await witness.hears(order, OrderCompleted)
    await witness.caught_up()

    assert shipped.parcels
    assert [captured.amount for captured in witness.said(order, PaymentCaptured)] == [completed.captured]
    assert witness.told(order) == HAPPY
    await shop.reads(
        f"payment/payments/{order}",
        lambda shown: (
            [(one["held"], one["captured"], one["refunded"]) for one in shown.get("payments", ())]
            == [(0, completed.captured, 0)]
        ),
    )


async def test_several_lines_of_one_item_are_counted_together(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=3, MAN=4)
    line = {"sku": mug, "quantity": 2, "unit_price": UNIT_PRICE}

    order = await shop.place({mug: 4}, lines=[line, line])

    confirmed = await witness.hears(order, OrderConfirmed)
    assert [allocation.location for allocation in confirmed.allocations] == ["MAN"]
    await witness.hears(order, OrderCompleted)
    await witness.stands("MAN", mug, available=0, shipped=4)


async def test_what_one_message_caused_carries_its_trace(shop: Shop, witness: Witness) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1})
    await witness.hears(order, OrderCompleted)
    await witness.caught_up()

    said = witness.envelopes(order)

    ids = {envelope.id for envelope in said}
    traces = {envelope.traceparent.split("-")[1] for envelope in said if envelope.traceparent is not None}
    by_services = [envelope for envelope in said if envelope.sequence is not None]
    assert len(by_services) > len(HAPPY)
    assert {envelope.correlation_id for envelope in by_services} == {order}
    assert all(
        envelope.causation_id in ids or envelope.causation_id.startswith(("alarm:", "call:"))
        for envelope in by_services
    )
    assert len(traces) == 1
