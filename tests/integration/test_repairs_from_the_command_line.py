"""What is stuck is seen, put right from the command line with who and why, and goes on without loss."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from chassis.kafka.partitioner import home_of
from contracts.fulfillment import FulfillOrder
from contracts.inventory import StockReserved
from contracts.order import (
    OrderCancelled,
    OrderCompleted,
    OrderRepairRefused,
    OrderShipped,
    OrderTurnedBack,
    StepRetried,
    StepSkipped,
)
from contracts.payment import PaymentAuthorized
from contracts.repair import DeadLetterRetried, GapAccepted, ParkedReleased, RepairEvent
from contracts.topics import PARTITIONS
from oms.cli import app
from oms.fleet import Addresses
from oms.history.logged import logged
from oms.log import LogReader
from oms.stack.process import until
from oms.stack.state import RunningProcess, RunningStack
from typer.testing import CliRunner, Result

from tests.integration.shop import Shop, headers_of
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

VERSIONS = Path(__file__).parent / "versions"
KIM = ("--by", "kim", "--reason", "fixed in 1.4.1")
WORK = "fulfillment.work"
NOBODY = "tests:nobody"
NAME = "repaired"
"""Of the channel of these tests, so that the audit can tell what is theirs."""
PATIENCE_S = 60.0
"""Starting a service takes a while on a busy machine, and so do the partitions that it takes over."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"STUCK_AFTER_S": "1"}


def waits_for(step: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a saga is seen to wait for the answer to this step; what is read may lie behind what the log says."""
    return lambda saga: step in {one["step"] for one in saga.get("unanswered", ())}


class Operator:
    """Who runs `oms` on the machine where everything runs, which it finds by itself."""

    def __init__(self, shop: Shop, engines: Addresses, cache: Path) -> None:
        self._shop = shop
        self._engines = engines
        self._cache = cache

    async def __call__(self, *arguments: str) -> Result:
        services = [RunningProcess.of(instance, instance.url) for instance in self._shop.services.fleet.instances]
        running = RunningStack(
            kafka_bootstrap=self._engines.kafka,
            mongo_url=self._engines.mongo,
            redis_url=self._engines.redis,
            directory=self._cache,
            services=services,
        )
        (self._cache / "running.json").write_text(running.model_dump_json())
        environment = {"THROUGHLINE_CACHE": str(self._cache), "COLUMNS": "200"}
        return await asyncio.to_thread(CliRunner(env=environment).invoke, app, arguments)

    async def json(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever it prints
        return json.loads((await self(*arguments, "--json")).stdout)

    async def done(self, *arguments: str) -> dict[str, Any]:
        """What came of the only request of a command that puts something right."""
        said = await self(*arguments, *KIM, "--json")
        assert said.exit_code == 0, said.output
        (outcome,) = json.loads(said.stdout)["repairs"]
        return dict(outcome)

    async def replays(self, order_id: str) -> None:
        replayed = await self("replay", order_id)
        assert replayed.exit_code == 0, replayed.output


@pytest.fixture
def oms(shop: Shop, stack: Addresses, tmp_path: Path) -> Operator:
    return Operator(shop, stack, tmp_path)


async def answers(brokers: str) -> list[RepairEvent]:
    """What the services said on the log to requests for repairs."""
    async with LogReader(brokers) as log:
        spans = await log.spans(["repair.results"])
        messages = [logged(record).message async for records in log.read(spans) for record in records]
    return [message for message in messages if isinstance(message, RepairEvent)]


async def test_a_step_that_failed_by_a_bug_goes_on_in_a_fixed_version(
    shop: Shop, oms: Operator, witness: Witness, stack: Addresses
) -> None:
    sku = await shop.stocked(LON=5)
    async with shop.services.replaced("payment", VERSIONS / "payment_that_fails.py"):
        order = await shop.place({sku: 2}, channel=NAME)
        await witness.hears(order, OrderShipped)
        place = f"payment/parked/{home_of(order, PARTITIONS)}/{order}"
        await shop.reads(place, lambda one: "waiting" in one, within_s=PATIENCE_S)
        await shop.reads(
            "order/stuck", lambda shown: "saga" in {one["what"] for one in shown["stuck"]}, within_s=PATIENCE_S
        )
        (parked,) = [one for one in (await oms.json("parked", "list"))["parked"] if one["place"] == order]
        metrics = (await shop.http.get(shop.url("payment/metrics"))).text
        status = (await oms.json("status"))["stuck"]
        for_people = (await oms("status")).stdout
        stuck = await oms("saga", "stuck")
        retried = await oms.done("saga", "retry", order, "capture")
        await shop.reads(place, lambda one: len(one["waiting"]) >= 2, within_s=PATIENCE_S)

    assert (parked["place"], parked["service"], parked["why"]) == (order, "payment", "KeyError")
    assert 'what="parked",why="KeyError"} 1.0' in metrics
    assert {(one["service"], one["what"], one["why"]) for one in status} >= {
        ("payment", "parked", "KeyError"),
        ("order", "saga", "completing"),
    }
    assert "`oms parked list`" in for_people
    assert order in stuck.stdout
    assert "capture" in stuck.stdout
    assert (retried["outcome"], retried["detail"]) == ("done", "it is asked for again")

    released = await oms.done("parked", "release", order)

    assert (released["outcome"], released["service"]) == ("done", "payment")
    await witness.hears(order, OrderCompleted)
    await witness.stands("LON", sku, available=3, shipped=2)
    asked = await witness.hears(order, StepRetried)
    assert (asked.requested_by, asked.reason, asked.steps) == ("kim", "fixed in 1.4.1", ("capture",))
    (said,) = [one for one in await answers(stack.kafka) if isinstance(one, ParkedReleased) and one.place == order]
    assert (said.by, said.reason, said.parked_again) == ("kim", "fixed in 1.4.1", False)
    await oms.replays(order)
    timeline = (await oms.json("order", order))["timeline"]
    assert ("RetryStep", "kim: fixed in 1.4.1") in {(one["heard"], one["detail"]) for one in timeline}
    assert order not in {one["place"] for one in (await oms.json("parked", "list"))["parked"]}


async def test_a_message_that_an_old_version_could_not_read_is_taken_by_a_new_one(
    shop: Shop, oms: Operator, witness: Witness, stack: Addresses
) -> None:
    sku = await shop.stocked(LON=5)
    async with shop.services.replaced("order", VERSIONS / "order_that_cannot_read.py"):
        order = await shop.place({sku: 2}, channel=NAME)
        await witness.hears(order, StockReserved)
        await witness.hears(order, PaymentAuthorized)
        await shop.reads(
            "order/dead-letters?topic=payment.events&limit=200",
            lambda page: order in {letter["about"] for letter in page["dead_letters"]},
            within_s=PATIENCE_S,
        )
    listed = (await oms.json("dead-letter", "list", "--topic", "payment.events"))["dead_letters"]
    (letter,) = [one for one in listed if one["about"] == order]
    shown = await oms("dead-letter", "show", letter["id"])
    audited = (await oms.json("audit"))["findings"]
    assert letter["id"] in {found["place"] for found in audited}

    retried = await oms("dead-letter", "retry", "--all", "--topic", "payment.events", *KIM)

    assert "this version cannot read it" in shown.stdout
    assert f'"order_id":"{order}"' in shown.stdout
    assert retried.exit_code == 0
    assert "it was taken" in retried.stdout
    await witness.hears(order, OrderCompleted)
    (said,) = [
        one
        for one in await answers(stack.kafka)
        if isinstance(one, DeadLetterRetried)
        and one.offset == letter["offset"]
        and one.partition == letter["partition"]
        and one.topic == "payment.events"
    ]
    assert (said.by, said.reason, said.outcome) == ("kim", "fixed in 1.4.1", "taken")
    await oms.replays(order)
    assert letter["id"] not in ids(await oms.json("dead-letter", "list", "--topic", "payment.events"))


async def test_a_step_that_nobody_answers_is_skipped(shop: Shop, oms: Operator, witness: Witness) -> None:
    sku = await shop.stocked(LON=5)
    async with shop.services.paused("fulfillment"):
        order = await shop.place({sku: 2}, channel=NAME)
        await witness.hears(order, FulfillOrder)
        await shop.reads(f"order/sagas/{order}", waits_for("fulfill"), within_s=PATIENCE_S)
        shown = await oms("saga", "show", order)
        refused = await oms("saga", "skip", order, "ship", *KIM)
        skipped = await oms.done("saga", "skip", order, "fulfill")
        await witness.hears(order, OrderShipped)

    assert "nobody answers fulfill" in shown.stdout
    assert (refused.exit_code, "refused" in refused.stdout) == (1, True)
    assert (skipped["about"], skipped["detail"]) == (order, "it is taken as done")
    assert (await witness.hears(order, StepSkipped)).requested_by == "kim"
    assert (await witness.hears(order, OrderRepairRefused)).refusal.code == "nothing_waits"
    await witness.hears(order, OrderCompleted)
    await oms.replays(order)


async def test_an_order_is_turned_back_from_a_step_that_nobody_answers(
    shop: Shop, oms: Operator, witness: Witness
) -> None:
    sku = await shop.stocked(LON=5)
    async with shop.services.paused("fulfillment"):
        order = await shop.place({sku: 2}, channel=NAME)
        await witness.hears(order, FulfillOrder)
        await shop.reads(f"order/sagas/{order}", waits_for("fulfill"), within_s=PATIENCE_S)
        await oms.done("saga", "compensate", order)
        await witness.hears(order, OrderTurnedBack, requested_by="kim")

    cancelled = await witness.hears(order, OrderCancelled)
    assert (cancelled.cancelled_by, cancelled.reason.message) == ("kim", "fixed in 1.4.1")
    await witness.stands("LON", sku, available=5)
    await shop.reads(f"order/orders/{order}", lambda shown: shown["status"] == "cancelled", within_s=PATIENCE_S)
    again = await oms("saga", "compensate", order, *KIM)
    assert (again.exit_code, "the order is cancelled already" in again.stdout) == (1, True)
    await oms.replays(order)
    steps = (await oms.json("replay", order))["transitions"]
    assert ("CompensateOrder", "kim: fixed in 1.4.1") in {(step["cause"], step["wish"]) for step in steps}


async def test_a_partition_that_stands_still_before_records_that_are_gone_goes_on_when_that_is_accepted(
    shop: Shop, oms: Operator, stack: Addresses
) -> None:
    partition = home_of(NOBODY, PARTITIONS)
    place = await malformed(shop, partition)
    await shop.reads(f"fulfillment/dead-letters?topic={WORK}", lambda page: place in ids(page), within_s=PATIENCE_S)
    shown = await oms("dead-letter", "show", place)
    dropped = await oms.done("dead-letter", "drop", place)
    listed = await oms.json("dead-letter", "list", "--topic", WORK)

    assert "no JSON here" in shown.stdout
    assert (dropped["about"], dropped["detail"]) == (place, "it was dropped")
    assert place not in ids(listed)

    async with without(shop, "fulfillment"):
        lost = await malformed(shop, partition)
        await delete_records(stack.kafka, WORK, partition)
    await shop.reads("fulfillment/gaps", lambda shown: bool(shown["gaps"]), within_s=PATIENCE_S)
    (gap,) = (await oms.json("link", "gaps"))["gaps"]
    for_people = await oms("link", "gaps")
    other = await oms("link", "accept", f"{gap['gap']}0", *KIM)
    late = await malformed(shop, partition)
    accepted = await oms.done("link", "accept", gap["gap"])

    assert gap["first"] == gap["last"] == int(lost.rpartition("/")[2])
    assert gap["gap"] in for_people.stdout
    assert (other.exit_code, "oms link gaps" in other.stderr) == (2, True)
    assert accepted["detail"] == "the partition goes on without what is missing"
    await shop.reads(f"fulfillment/dead-letters?topic={WORK}", lambda page: late in ids(page), within_s=PATIENCE_S)
    assert (await oms("link", "gaps")).stdout.strip() == "no partition stands still"
    (said,) = [one for one in await answers(stack.kafka) if isinstance(one, GapAccepted) and one.first == gap["first"]]
    assert (said.service, said.by, said.reason) == ("fulfillment", "kim", "fixed in 1.4.1")
    assert (await oms("dead-letter", "drop", "--all", "--topic", WORK, *KIM)).exit_code == 0


async def test_says_that_nothing_is_stuck_there(oms: Operator) -> None:
    released = await oms("parked", "release", NOBODY, *KIM)
    dropped = await oms("dead-letter", "drop", "order.intake/0/999999999", *KIM)
    skipped = await oms("saga", "skip", NOBODY, "capture", *KIM)

    assert (released.exit_code, dropped.exit_code, skipped.exit_code) == (2, 2, 2)
    assert f"{NOBODY} is not parked" in released.stderr
    assert "no dead letter order.intake/0/999999999 waits" in dropped.stderr
    assert "Unknown order" in skipped.stdout


async def test_the_audit_finds_nothing_wrong_with_what_was_put_right(oms: Operator) -> None:
    audited = await oms.json("audit")

    # What other tests broke is theirs.
    assert [found for found in audited["findings"] if found["about"].startswith(f"{NAME}:")] == []


def ids(page: dict[str, Any]) -> set[str]:
    return {letter["id"] for letter in page["dead_letters"]}


async def malformed(shop: Shop, partition: int) -> str:
    """Write what is no report of a picker; says where it is."""
    return await shop.send_raw(
        WORK, b"no JSON here", key=NOBODY.encode(), headers=headers_of("ReportPicked"), partition=partition
    )


@asynccontextmanager
async def without(shop: Shop, service: str) -> AsyncIterator[None]:
    """A service does not run until the block ends. It answers then, though it may not be ready."""
    instance = shop.services.fleet.of(service)[0]

    async def answers() -> bool:
        with suppress(httpx.TransportError):
            return (await shop.http.get(f"{instance.url}/healthz")).is_success
        return False

    await instance.stop()
    try:
        yield
    finally:
        instance.spawn()
        assert await until(answers, PATIENCE_S), f"{service} does not answer"


async def delete_records(brokers: str, topic: str, partition: int) -> None:
    """Delete all that is there now, as an operator's mistake would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=-1)})
    finally:
        await admin.close()
