"""The same again, something else under the same number, and records that lie where their order does not live."""

import asyncio
import runpy
from pathlib import Path
from uuid import uuid4
from zlib import crc32

import pytest
from chassis.kafka.partitioner import home_of
from contracts.fulfillment import FulfillOrder
from contracts.inventory import GoodsLine, ReceiveStock, ReserveStock
from contracts.message import SagaStep
from contracts.order import (
    CancellationRefused,
    CancelOrder,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    OrderValidated,
    PlacementRefused,
)
from contracts.payment import AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured
from contracts.shipping import CreateShipment, ShipmentCreated
from contracts.topics import PARTITIONS
from oms.fleet import Addresses
from oms.placing.sending import letter

from tests.integration.shop import Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

CHANNEL = Path(__file__).parents[2] / "samples" / "channel.py"
ONCE: list[type[SagaStep]] = [ReserveStock, AuthorizePayment, FulfillOrder, CreateShipment, CapturePayment]


async def test_an_order_that_is_placed_twice_is_the_same_order(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = shop.order({mug: 2})

    await shop.send(order, order)
    await witness.hears(order.order_id, OrderCompleted)
    await shop.send(order)
    await everything_before_is_taken(shop, witness, order)

    assert len(list(witness.said(order.order_id, OrderValidated))) == 1
    assert len(list(witness.said(order.order_id, OrderCompleted))) == 1
    assert not list(witness.said(order.order_id, PlacementRefused))
    for command in ONCE:
        assert len(list(witness.said(order.order_id, command))) == 1
    await witness.stands("LON", mug, available=3, shipped=2)


async def test_other_content_under_the_same_number_is_refused_and_the_order_goes_on_as_it_was(
    shop: Shop, witness: Witness
) -> None:
    mug, cup = await shop.stocked(LON=5), await shop.stocked(LON=5)
    first, other = shop.order({mug: 2}), shop.order({cup: 1})

    await shop.send(first, other.model_copy(update={"number": first.number}))

    refused = await witness.hears(first.order_id, PlacementRefused)
    assert (refused.reason.path, refused.reason.code) == ("revision", "other_content")
    await witness.hears(first.order_id, OrderCompleted)
    await witness.stands("LON", mug, available=3, shipped=2)
    await witness.stands("LON", cup, available=5)


async def test_a_revision_out_of_turn_is_refused(shop: Shop, witness: Witness) -> None:
    order = shop.order({await shop.stocked(LON=5): 1})

    await shop.send(order.model_copy(update={"revision": 2}))

    refused = await witness.hears(order.order_id, PlacementRefused)
    assert (refused.revision, refused.reason.code) == (2, "out_of_turn")
    await shop.send(order)
    await witness.hears(order.order_id, OrderCompleted, revision=1)


async def test_commands_that_come_again_change_nothing_and_are_answered_again(shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=5)
    order = await shop.place({mug: 2})
    completed = await witness.hears(order, OrderCompleted)

    for command in ONCE:
        await shop.send(await witness.hears(order, command))

    await witness.hears_times(2, order, PaymentAuthorized)
    await witness.hears_times(2, order, PaymentCaptured)
    await witness.hears_times(2, order, ShipmentCreated)
    await witness.caught_up()
    captures = {captured.capture_id for captured in witness.said(order, PaymentCaptured)}
    tracked = {parcel.tracking_number for said in witness.said(order, ShipmentCreated) for parcel in said.parcels}
    assert (len(captures), len(tracked)) == (1, 1)
    assert list(witness.said(order, OrderCompleted)) == [completed]
    await witness.stands("LON", mug, available=3, shipped=2)


async def test_an_order_from_a_client_with_another_partitioner_is_taken_once_where_it_lives(
    shop: Shop, witness: Witness
) -> None:
    """Clients on librdkafka choose the partition by CRC32, unless they are told otherwise."""
    mug = await shop.stocked(LON=100)
    orders = [shop.order({mug: 1}) for _ in range(20)]
    strays = [order for order in orders if by_crc32(order) != home_of(order.order_id, PARTITIONS)]
    assert strays

    for order in orders:
        await shop.send(order, partition=by_crc32(order))

    for order in orders:
        await witness.hears(order.order_id, OrderCompleted)
    await witness.caught_up()
    for order in orders:
        assert len(list(witness.said(order.order_id, OrderValidated))) == 1
    await witness.stands("LON", mug, available=80, shipped=20)


async def test_the_sample_channel_writes_each_order_where_it_lives(stack: Addresses, witness: Witness) -> None:
    """Else a cancellation that is written there directly would overtake the order."""
    place = runpy.run_path(str(CHANNEL))["place"]
    numbers = [f"{uuid4().hex[:8]}-{number}" for number in range(10)]

    orders = [await asyncio.to_thread(place, stack.kafka, number) for number in numbers]

    for order in orders:
        await witness.hears(order, OrderValidated)
        assert len(list(witness.said(order, OrderPlaced))) == 1  # what is sent on is there twice


@pytest.mark.parametrize("key", [None, b"", b"a key of its own", b"\xff\xfe"], ids=["none", "empty", "other", "binary"])
async def test_an_order_without_its_key_is_taken_once_where_it_lives(
    shop: Shop, witness: Witness, key: bytes | None
) -> None:
    mug = await shop.stocked(LON=PARTITIONS)
    orders = [shop.order({mug: 1}) for _ in range(PARTITIONS)]

    for partition, order in enumerate(orders):
        one = letter(order)
        await shop.send_raw(one.topic, one.value, key=key, headers=one.headers, partition=partition)

    for order in orders:
        await witness.hears(order.order_id, OrderCompleted)
    await witness.stands("LON", mug, available=0, shipped=PARTITIONS)


async def test_a_cancellation_that_lies_elsewhere_finds_its_order(shop: Shop, witness: Witness) -> None:
    order = shop.order({shop.item(): 1})
    await shop.send(order)
    await witness.hears(order.order_id, OrderRejected)
    elsewhere = (home_of(order.order_id, PARTITIONS) + 1) % PARTITIONS

    await shop.cancel(order.order_id, partition=elsewhere)

    refused = await witness.hears(order.order_id, CancellationRefused)
    assert refused.reason.code == "already_rejected"


async def test_goods_that_are_reported_twice_arrive_once(shop: Shop, witness: Witness) -> None:
    mug = shop.item()
    delivery = ReceiveStock(movement_id=f"twice-{mug}", location="LON", lines=(GoodsLine(sku=mug, quantity=5),))

    await shop.send(delivery, delivery)
    await shop.deliver(mug, LON=1)

    await witness.stands("LON", mug, available=6)


def by_crc32(order: OrderPlaced) -> int:
    return crc32(order.order_id.encode()) % PARTITIONS


async def everything_before_is_taken(shop: Shop, witness: Witness, order: OrderPlaced) -> None:
    """Wait until the order service has taken what lies before now in the partition of an order."""
    await shop.send(CancelOrder(order_id=order.order_id, reason="too late", requested_by="customer"))
    await witness.hears(order.order_id, CancellationRefused)
    await witness.caught_up()
