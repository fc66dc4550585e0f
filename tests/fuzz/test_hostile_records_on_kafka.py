"""Hostile records on every open topic, among good orders: each is refused by name, and nobody else notices.

`THROUGHLINE_FUZZ_RECORDS` says how many; a hundred thousand take some minutes on two cores.
"""

import logging
import os
from itertools import islice

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from contracts.order import OrderPlaced
from oms.audit.auditing import audit
from oms.bench.orders import spread, stock
from oms.log import LogReader
from oms.progress import UNHEARD
from oms.system import System
from order.settings import Settings

from tests.fuzz.battery import battery
from tests.fuzz.hostile import good_record
from tests.fuzz.siege import OPEN, Siege

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

RECORDS = int(os.environ.get("THROUGHLINE_FUZZ_RECORDS", "20000"))
ROUND = 5_000
"""So many are written at once; the next are when all of these are answered."""
WARM_UP = 10_000
"""So many until a service has all the memory that it ever needs."""
ONE_GOOD_IN = 100
MOST_GROWTH_MB = 64
LOG = logging.getLogger(__name__)


async def test_each_is_refused_by_name_and_the_good_orders_between_them_complete(system: System) -> None:
    pids = {instance.name: instance.id for instance in system.fleet.instances}
    hostile = battery([*(model for topic in OPEN for model in topic.messages), *[OrderPlaced] * 10], seed=1)
    good = (
        good_record(order.model_dump(mode="json"), OrderPlaced, f"good-{order.number}")
        for order in spread(2).orders("good")
    )
    await stock(system.addresses.kafka, spread(2).plenty())
    warm: dict[str, float] = {}
    async with LogReader(system.addresses.kafka) as log, producer(system) as sender:
        siege = Siege(log, sender)
        async with siege.listening():
            for done in range(0, RECORDS, ROUND):
                await siege.fire(islice(hostile, ROUND), good, ONE_GOOD_IN)
                await siege.is_over()
                assert siege.wrong == []
                assert all(instance.alive for instance in system.fleet.instances)
                now = memory_mb(system)
                warm = warm if done >= WARM_UP else now
                LOG.info("%d records: %s, %s MB", done + ROUND, dict(siege.fates), now)

    assert {instance.name: instance.id for instance in system.fleet.instances} == pids
    grown = {name: mb - warm[name] for name, mb in memory_mb(system).items()}
    assert max(grown.values()) < MOST_GROWTH_MB, grown
    verdict = await audit(system.addresses.kafka, system.addresses.mongo, Settings().policy, UNHEARD)
    assert verdict.findings == []
    LOG.info("refused for %s; the audit: %s", siege.codes.most_common(), verdict.orders)


def producer(system: System) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=system.addresses.kafka,
        max_batch_size=512 * 1024,
        max_request_size=4 * 1024 * 1024,
        compression_type="gzip",
    )


def memory_mb(system: System) -> dict[str, float]:
    """What each service has in memory."""
    return {one.name: psutil.Process(one.id.pid).memory_info().rss / 1e6 for one in system.fleet.instances if one.id}
