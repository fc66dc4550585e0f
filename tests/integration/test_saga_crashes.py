"""Services that are killed, frozen, and scaled while orders are under way: every order comes to its right end, once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from contracts.order import OrderCancelled, OrderCompleted, OrderEvent, OrderPlaced, OrderRejected
from contracts.topics import PARTITIONS, SERVICES
from oms.audit.auditing import audit
from oms.audit.auditor import Verdict
from oms.fleet import Addresses, Instance
from oms.progress import UNHEARD
from order.settings import Settings
from payment.gateway import CAPTURE_FAILS, DECLINED, TIMEOUT
from shipping.gateway import NOWHERE

from tests.integration.shop import ADDRESS, Shop
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

SORTS: tuple[tuple[dict[str, object], type[OrderEvent]], ...] = (
    ({"payment_token": DECLINED + "do_not_honor"}, OrderRejected),
    ({"shipping_address": {**ADDRESS, "postal_code": NOWHERE}}, OrderCancelled),
    ({"payment_token": CAPTURE_FAILS}, OrderCompleted),
    ({"payment_token": TIMEOUT}, OrderCompleted),
    ({}, OrderCompleted),
    ({}, OrderCompleted),
)
NAME = "crashes"
"""Of the channel and of the items of these tests, so that the audit can tell what is theirs."""
ORDERS = 10 * len(SORTS)
PACE_S = 0.02
ENDINGS = (OrderCompleted, OrderRejected, OrderCancelled)
ALL_PARTITIONS = set(range(PARTITIONS))
AFTER_A_CRASH_S = 60.0
"""Kafka gives a dead instance's partitions away after six seconds; the rest is patience with a busy machine."""


class Batch:
    """Orders of every sort, and what each must come to."""

    def __init__(self, shop: Shop, sku: str) -> None:
        self._shop = shop
        self.sku = sku
        self.due: dict[str, type[OrderEvent]] = {}
        self.orders = [self._order(place) for place in range(ORDERS)]

    def _order(self, place: int) -> OrderPlaced:
        changes, due = SORTS[place % len(SORTS)]
        order = self._shop.order({self.sku: 1}, channel=NAME, **changes)
        self.due[order.order_id] = due
        return order

    async def place(self, orders: Sequence[OrderPlaced]) -> None:
        for order in orders:
            await self._shop.send(order)
            await asyncio.sleep(PACE_S)

    async def have_all_ended(self) -> None:
        """Wait until every order has come to what it must come to, and to nothing else."""
        witness = self._shop.witness
        for order_id in self.due:
            await witness.hears(order_id, *ENDINGS, within_s=AFTER_A_CRASH_S)
        await witness.caught_up()
        came_to = {order_id: [type(said) for said in witness.said(order_id, *ENDINGS)] for order_id in self.due}
        assert came_to == {order_id: [ending] for order_id, ending in self.due.items()}
        completed = list(self.due.values()).count(OrderCompleted)
        await witness.stands("LON", self.sku, available=ORDERS - completed, shipped=completed)


@pytest_asyncio.fixture(loop_scope="session")
async def batch(shop: Shop) -> Batch:
    sku = shop.item(NAME)
    await shop.deliver(sku, LON=ORDERS)
    return Batch(shop, sku)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_order_comes_to_its_end_though_a_service_is_killed(
    shop: Shop, witness: Witness, batch: Batch, service: str
) -> None:
    half = ORDERS // 2
    await batch.place(batch.orders[:half])
    await witness.hears(batch.orders[half // 2].order_id, *ENDINGS)

    (instance,) = shop.services.fleet.of(service)
    instance.kill()
    await batch.place(batch.orders[half:])
    await instance.start()

    await batch.have_all_ended()


async def test_every_order_comes_to_its_end_though_all_services_are_killed_at_once(
    shop: Shop, witness: Witness, batch: Batch
) -> None:
    await batch.place(batch.orders)

    for instance in shop.services.fleet.instances:
        instance.kill()
    await shop.services.fleet.start()

    await batch.have_all_ended()


async def test_every_order_comes_to_its_end_though_an_owner_sleeps_while_another_takes_over(
    shop: Shop, witness: Witness, batch: Batch
) -> None:
    """A zombie wakes up and believes that it still owns its partitions: it must find out, and write nothing."""
    async with one_more(shop, "order") as other:
        first = shop.services.fleet.of("order")[0]
        await are_shared(shop, first, other)
        await batch.place(batch.orders[: ORDERS // 2])
        first.pause()
        try:
            await batch.place(batch.orders[ORDERS // 2 :])
            for order in batch.orders:
                await witness.hears(order.order_id, *ENDINGS, within_s=AFTER_A_CRASH_S)
            assert await partitions_of(shop, other) == ALL_PARTITIONS
        finally:
            first.resume()

        await batch.have_all_ended()


@pytest.mark.parametrize("service", ["inventory", "order"])
async def test_a_service_is_scaled_up_and_down_while_orders_flow(
    shop: Shop, witness: Witness, batch: Batch, service: str
) -> None:
    some = ORDERS // 3
    async with asyncio.TaskGroup() as group:
        group.create_task(batch.place(batch.orders[:some]))
        async with one_more(shop, service) as other:
            first = shop.services.fleet.of(service)[0]
            await are_shared(shop, first, other)
            await batch.place(batch.orders[some:-some])
            await witness.hears(batch.orders[some].order_id, *ENDINGS)
            await are_shared(shop, first, other)
            group.create_task(batch.place(batch.orders[-some:]))
            await witness.hears(batch.orders[-some].order_id, OrderEvent)

    await batch.have_all_ended()


async def test_the_audit_finds_nothing_wrong_after_all_that(stack: Addresses, shop: Shop, batch: Batch) -> None:
    await batch.place(batch.orders)
    await batch.have_all_ended()

    verdict = await audited(stack)

    # Other tests forge messages, on purpose: of these the audit must find what is wrong.
    assert [found for found in verdict.findings if found.check == "links" or found.about.startswith(NAME)] == []
    assert {found for found in verdict.waiting if found.about.startswith(NAME)} == set()


@asynccontextmanager
async def one_more(shop: Shop, service: str) -> AsyncIterator[Instance]:
    """A second instance of a service, until the block ends."""
    fleet = shop.services.fleet
    other = fleet.add(service)
    await other.start()
    try:
        yield other
    finally:
        await other.stop()
        fleet.instances.remove(other)


async def are_shared(shop: Shop, one: Instance, other: Instance) -> None:
    """Wait until two instances have shared out the partitions."""
    async with asyncio.timeout(AFTER_A_CRASH_S):
        while True:
            served = await partitions_of(shop, one), await partitions_of(shop, other)
            if all(served) and served[0] | served[1] == ALL_PARTITIONS and not served[0] & served[1]:
                return
            await asyncio.sleep(0.1)


async def partitions_of(shop: Shop, instance: Instance) -> set[int]:
    """The partitions that an instance serves."""
    answer = (await shop.http.get(f"{instance.url}/readyz")).json()
    return {int(number) for number in answer["partitions"]}


async def audited(stack: Addresses) -> Verdict:
    return await audit(stack.kafka, stack.mongo, Settings().policy, UNHEARD)
