"""The saga on the real engines when a step is refused: what was done is undone, in reverse order."""

import pytest
from contracts.fulfillment import CancelFulfillment, FulfillmentCancelled, FulfillmentFailed, FulfillOrder, Pick
from contracts.inventory import (
    BinQuantity,
    ConfigureItem,
    ReleaseStock,
    ReserveStock,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.message import CountryAlpha2, Currency, SagaNames, SkuQuantity, names_of
from contracts.order import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderRejected,
    OrderValidated,
    Substitutes,
)
from contracts.payment import AuthorizePayment, PaymentAuthorized, PaymentDeclined, PaymentVoided, VoidPayment
from contracts.shipping import (
    CancelShipment,
    CreateShipment,
    Parcel,
    Recipient,
    ShipmentCancelled,
    ShipmentRefused,
)
from fulfillment.decide import SHORT_PICK
from payment.gateway import DECLINED, OK
from shipping.gateway import NOWHERE

from tests.integration.shop import ADDRESS, NUMBERS, Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


BEGUN = [OrderValidated, ReserveStock, AuthorizePayment]


async def test_stock_is_released_when_payment_is_declined(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    order = await shop.place({mug: 2}, payment_token=DECLINED + "insufficient_funds")

    rejected = await witness.hears(order, OrderRejected)
    (reason,) = rejected.reasons
    assert (reason.path, reason.code) == ("payment_token", "payment_declined")
    assert "insufficient_funds" in reason.message
    await witness.hears(order, StockReleased)
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, ReleaseStock, OrderRejected]
    await witness.stands("LON", mug, available=5)


async def test_payment_is_voided_and_alternatives_are_offered_when_no_location_has_it(
    shop: Shop, witness: Witness
) -> None:
    mug, cup, bowl = await shop.stocked(LON=1), await shop.stocked(LON=9), await shop.stocked(MAN=9)
    await shop.send(
        ConfigureItem(location="LON", sku=mug, substitutes=(cup, bowl)),
        ConfigureItem(location="MAN", sku=mug, substitutes=(cup, bowl)),
    )
    await shop.reads(f"inventory/stock/MAN/{mug}", lambda shown: shown.get("substitutes") == [cup, bowl])

    order = await shop.place({mug: 2})

    rejected = await witness.hears(order, OrderRejected)
    assert [(reason.path, reason.code) for reason in rejected.reasons] == [("lines[0].quantity", "out_of_stock")]
    assert rejected.substitutes == (Substitutes(sku=mug, alternatives=(cup, bowl)),)
    await witness.hears(order, PaymentVoided)
    await witness.caught_up()
    assert [asked.location for asked in witness.said(order, ReserveStock)] == ["LON", "MAN", "ROT"]
    assert witness.told(order) == [*BEGUN, ReserveStock, ReserveStock, VoidPayment, OrderRejected]
    await witness.stands("LON", mug, available=1)


async def test_payment_is_voided_and_stock_released_when_a_pick_comes_up_short(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)

    order = await shop.place({mug: 2}, special_instructions=f"Handle with care {SHORT_PICK}")

    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.reason.code, cancelled.cancelled_by) == ("short_pick", "fulfill")
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, OrderConfirmed, FulfillOrder, VoidPayment, ReleaseStock, OrderCancelled]
    await witness.stands("LON", mug, available=4)


async def test_everything_is_undone_in_reverse_when_the_carrier_refuses(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=2, MAN=3)

    order = await shop.place({mug: 5}, allow_split=True, shipping_address={**ADDRESS, "postal_code": NOWHERE})

    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.reason.code, cancelled.cancelled_by) == ("undeliverable_address", "ship")
    await witness.caught_up()
    told = witness.told(order)
    assert told[told.index(OrderConfirmed) :] == [
        OrderConfirmed,
        FulfillOrder,
        CreateShipment,
        CancelFulfillment,
        VoidPayment,
        ReleaseStock,
        ReleaseStock,
        OrderCancelled,
    ]
    assert [undone.location for undone in witness.said(order, ReleaseStock)] == ["MAN", "LON"]
    await witness.stands("LON", mug, available=2)
    await witness.stands("MAN", mug, available=3)


async def test_a_rejected_order_is_corrected_and_completed_as_its_next_revision(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    declined = shop.order({mug: 2}, payment_token=DECLINED + "expired_card")
    await shop.send(declined)
    await witness.hears(declined.order_id, OrderRejected, revision=1)

    await shop.send(declined.model_copy(update={"revision": 2, "payment_token": OK}))

    await witness.hears(declined.order_id, OrderCompleted, revision=2)
    await witness.stands("LON", mug, available=3, shipped=2)


# Late answers. Our services never give them; a foreign writer may, and a restored backup of a database may.


async def test_stock_that_is_reserved_after_the_order_was_undone_is_released_again(
    shop: Shop, witness: Witness
) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2}, payment_token=DECLINED + "stolen_card")
    await witness.hears(order, OrderRejected)
    asked = await witness.hears(order, ReserveStock)

    late = StockReserved(**names_of(asked), location="LON", lines=(BinQuantity(sku=mug, quantity=2),))
    await shop.send(late)

    await witness.hears_times(2, order, StockReleased)
    await witness.caught_up()
    assert witness.told(order) == [*BEGUN, ReleaseStock, OrderRejected, ReleaseStock]
    await witness.stands("LON", mug, available=5)


async def test_money_that_is_held_after_the_order_was_undone_is_voided_again(shop: Shop, witness: Witness) -> None:
    order = await shop.place({shop.item(): 2})
    await witness.hears(order, OrderRejected)
    asked = await witness.hears(order, AuthorizePayment)

    late = PaymentAuthorized(**names_of(asked), amount=asked.amount, currency=asked.currency, authorization_id="late")
    await shop.send(late)

    await witness.hears_times(2, order, PaymentVoided)
    await witness.caught_up()
    assert witness.told(order)[-3:] == [VoidPayment, OrderRejected, VoidPayment]
    assert len(list(witness.said(order, OrderRejected))) == 1


# Undos that overtake what they undo: sent here before it, by a foreign writer.


async def test_a_release_that_overtakes_its_reservation_keeps_it_from_being_made(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    step = a_step()

    await shop.send(
        ReleaseStock(**step, location="LON"),
        ReserveStock(**step, location="LON", lines=(SkuQuantity(sku=mug, quantity=2),)),
    )

    released = await witness.hears(step["order_id"], StockReleased)
    refused = await witness.hears(step["order_id"], StockRejected)
    assert (released.lines, refused.shortages) == ((), ())
    await witness.caught_up()
    assert not list(witness.said(step["order_id"], StockReserved))
    await witness.stands("LON", mug, available=5)


async def test_a_void_that_overtakes_its_authorization_keeps_the_money_from_being_held(
    shop: Shop, witness: Witness
) -> None:
    step = a_step()

    await shop.send(
        VoidPayment(**step),
        AuthorizePayment(**step, amount=500, currency=Currency("GBP"), payment_token=OK),
    )

    await witness.hears(step["order_id"], PaymentVoided)
    declined = await witness.hears(step["order_id"], PaymentDeclined)
    assert declined.code == "voided"
    await witness.caught_up()
    assert not list(witness.said(step["order_id"], PaymentAuthorized))


async def test_a_cancellation_that_overtakes_its_pick_list_keeps_it_from_being_picked(
    shop: Shop, witness: Witness
) -> None:
    step = a_step()
    pick = Pick(location="LON", lines=(BinQuantity(sku="MUG", quantity=1),))

    await shop.send(CancelFulfillment(**step), FulfillOrder(**step, picks=(pick,)))

    await witness.hears(step["order_id"], FulfillmentCancelled)
    failed = await witness.hears(step["order_id"], FulfillmentFailed)
    assert failed.reason.code == "cancelled"


async def test_a_cancellation_that_overtakes_its_shipment_keeps_it_from_being_booked(
    shop: Shop, witness: Witness
) -> None:
    step = a_step()
    recipient = Recipient(name="Ann", street="12 High Street", city="Leeds", country=CountryAlpha2("GB"))
    parcels = (Parcel(location="LON", units=1),)

    await shop.send(
        CancelShipment(**step), CreateShipment(**step, recipient=recipient, method="standard", parcels=parcels)
    )

    await witness.hears(step["order_id"], ShipmentCancelled)
    refused = await witness.hears(step["order_id"], ShipmentRefused)
    assert refused.reason.code == "cancelled"


def a_step() -> SagaNames:
    """The step of an order that nobody placed."""
    return SagaNames(order_id=f"foreign:{next(NUMBERS)}", revision=1, attempt=1)
