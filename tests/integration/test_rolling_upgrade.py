"""A new version takes over, instance by instance, while orders flow: each order ends on the saga it began with."""

import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from contracts.order import OrderCompleted, OrderValidated
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.shipping import ShipmentDelivered
from oms.history.logged import logged
from oms.log import LogReader
from oms.system import System
from order.saga import DEFINITIONS

from tests.integration import next_order
from tests.integration.flow import audited, orders, own_system

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@dataclass
class Told:
    """What the topics tell of one order."""

    definition: int = 0
    completed: int = 0
    delivered: int = 0
    """When, in milliseconds since 1970."""
    notes: set[str | None] = field(default_factory=set)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system() -> AsyncIterator[System]:
    """Two instances of the order service, as they are today."""
    async with own_system() as system:
        other = system.fleet.add("order")
        await other.start()
        yield system


async def roll(system: System, **settings: str) -> None:
    """Replace the instances of the order service by the next version's, one after the other."""
    for instance in system.fleet.of("order"):
        await instance.stop()
        instance.command = [sys.executable, next_order.__file__]
        instance.env = {**instance.env, **settings}
        await instance.start()


async def told(system: System) -> dict[str, Told]:
    """Each order, by its id."""
    found: defaultdict[str, Told] = defaultdict(Told)
    async with LogReader(system.addresses.kafka) as log:
        spans = await log.spans(["order.events", "shipping.events", "fulfillment.commands"])
        async for records in log.read(spans):
            _take(found, records)
    return found


def _take(found: defaultdict[str, Told], records: Iterable[Record]) -> None:
    for record in records:
        try:
            message = logged(record).message
        except Unreadable as unreadable:
            pytest.fail(f"{record.place}: {unreadable}")
        match message:
            case OrderValidated():
                found[message.order_id].definition = message.definition
            case OrderCompleted():
                found[message.order_id].completed = record.timestamp
            case ShipmentDelivered():
                found[message.order_id].delivered = record.timestamp
            case _ if dict(record.headers)["ce_type"] == b"FulfillOrder":
                body = json.loads(record.value or b"")
                found[body["order_id"]].notes.add(body.get("note"))


async def test_orders_end_on_the_saga_that_they_began_with(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    async with orders(system, "upgrade") as flow:
        await flow.goes_on()
        await roll(system, SAGA_DEFINITION="1")  # the new version is everywhere before anything depends on it
        await flow.goes_on()
        await roll(system, SAGA_DEFINITION="2")
        await flow.goes_on()

    found = [one for one in (await told(system)).values() if one.definition]
    completed = {number: [one for one in found if one.definition == number and one.completed] for number in (1, 2)}
    assert completed[1]
    assert completed[2]
    # Those that began with the next saga took its step; for the others a delivery is nothing to wait for.
    assert all(0 < one.delivered <= one.completed for one in completed[2])
    assert any(one.completed < one.delivered for one in completed[1])
    # Who picks passes over the field that he does not know, and picks all the same.
    assert {note for one in completed[1] for note in one.notes} == {None, next_order.NOTE}
    assert {note for one in completed[2] for note in one.notes} == {next_order.NOTE}
    monkeypatch.setitem(DEFINITIONS, next_order.NUMBER, next_order.SECOND)
    verdict = await audited(system)
    assert verdict.findings == []
    assert verdict.waiting == []
