"""Reads a whole log and what the services remember of it, and has all of it checked.

On a system at work something is always on its way: a message may be on one topic whose cause is not yet read from
another, and documents follow the log by a second. So what is found is looked for a second time, and counts if it is
still there, just as it was; what is there in other words could not be checked, and is said to be so.
"""

import asyncio
import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from chassis.decision import Document
from chassis.mongo.archive import Archive
from chassis.mongo.belonging import Foreign
from chassis.ports import Unavailable
from chassis.stuck.parking import Parked
from fulfillment.state import Fulfillment
from inventory.state import Stock
from order.definition import Policy
from order.state import Order
from payment.state import Payment
from shipping.state import Shipment

from oms.audit.auditor import Auditor, Judged, Verdict
from oms.audit.beginnings import Beginnings
from oms.audit.finding import Finding
from oms.audit.stored import compare_order, compare_stock, key_of_stock, keys_of_order, parked
from oms.connection import Unreachable
from oms.history.replay import Replayer
from oms.log import LogReader
from oms.progress import Progress

SECOND_LOOK_AFTER_S = 3.0
READ_AT_ONCE = 100
REMEMBERED: dict[str, type[Document]] = {
    "order": Order,
    "inventory": Stock,
    "payment": Payment,
    "fulfillment": Fulfillment,
    "shipping": Shipment,
}
"""Whose memory is compared with the log, and which documents of it. A service's database is named after it."""
T = TypeVar("T")


async def audit(brokers: str, mongo_url: str | None, policy: Policy, progress: Progress) -> Verdict:
    """Check everything; without a MongoDB, the log alone. Raises Unreachable and NoLog."""
    async with AsyncExitStack() as exits:
        log = await exits.enter_async_context(LogReader(brokers))
        stores: dict[str, Archive] = {}
        if mongo_url is not None:
            for name, model in REMEMBERED.items():
                stores[name] = await exits.enter_async_context(Archive(mongo_url, name, (model,)))
        exits.enter_context(_much_garbage())
        try:
            for store in stores.values():
                await store.check_format()
            first = await _look(log, stores, policy, progress)
            if not first.findings:
                return first
            await asyncio.sleep(SECOND_LOOK_AFTER_S)
            second = await _look(log, stores, policy, progress)
        except Foreign as foreign:
            raise Unreachable(str(foreign)) from foreign
        except Unavailable as failure:
            raise Unreachable.mongo(mongo_url or "", failure) from failure
        return in_both(first, second)


def in_both(first: Verdict, second: Verdict) -> Verdict:
    """What both looks found. What each found in other words moves: it may be on its way, and may be wrong."""
    found = {*first.findings} & {*second.findings}
    moving = {*map(_subject, first.findings)} & {*map(_subject, {*second.findings} - found)}
    unchecked = [f"{len(moving):,} documents that moved while they were looked at"] if moving else []
    return replace(second, findings=sorted(found), unchecked=[*second.unchecked, *unchecked])


def _subject(finding: Finding) -> tuple[str, str, str]:
    return finding.check, finding.place, finding.about


@contextmanager
def _much_garbage() -> Iterator[None]:
    """Collect garbage seldom: what an audit makes is freed by counting references, and it makes a lot."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


async def _look(log: LogReader, stores: Mapping[str, Archive], policy: Policy, progress: Progress) -> Verdict:
    spans = await log.spans()
    partitions = 1 + max(partition for _, partition in spans)
    findings: list[Finding] = []
    known: set[str] = set()
    with Auditor(policy, partitions, spans) as auditor:
        progress.begin("reading the topics", sum(end - start for start, end in spans.values()))
        async for records in log.read(spans, progress.advance):
            for record in records:
                auditor.take(record)
        progress.begin("replaying the orders", auditor.to_judge)
        for some in _batched(auditor.judge()):
            known.update(judged.history.order_id for judged in some)
            findings += await _compare_orders(some, stores, auditor.replayer)
            progress.advance(sum(judged.records for judged in some))
            await asyncio.sleep(0)  # judging is work: whoever else is in this process gets a turn
        verdict = auditor.conclude()
    if stores:
        findings += await _compare_stock(verdict, stores["inventory"], progress)
        findings += await _look_for_others(stores, known | auditor.unjudged, auditor.beginnings)
    return replace(verdict, findings=sorted([*verdict.findings, *findings]))


async def _compare_orders(judged: list[Judged], stores: Mapping[str, Archive], replayer: Replayer) -> list[Finding]:
    if not stores:
        return []
    keys: dict[str, list[str]] = {name: [] for name in stores}
    for one in judged:
        for name, key in keys_of_order(one):
            keys[name].append(key)
    stored = {name: await store.latest(keys[name]) for name, store in stores.items()}
    return [finding for one in judged for finding in compare_order(one, stored, replayer)]


async def _compare_stock(verdict: Verdict, store: Archive, progress: Progress) -> list[Finding]:
    levels = [level for book in verdict.books for level in book.levels.values()]
    progress.begin("comparing the stock", len(levels))
    findings: list[Finding] = []
    for some in _batched(levels):
        documents = await store.latest([key_of_stock(level) for level in some])
        findings += [found for level in some for found in compare_stock(level, documents.get(key_of_stock(level)))]
        progress.advance(len(some))
    return findings


async def _look_for_others(
    stores: Mapping[str, Archive], known: Collection[str], beginnings: Beginnings
) -> list[Finding]:
    """Orders of which the log knows nothing, though nothing of it was cut off, and what is parked."""
    unheard_of = [id_ async for id_ in stores["order"].ids(Order) if id_ not in known and not beginnings.since_of(id_)]
    findings = [
        Finding("store", f"order/{Order.key_of(id_)}", id_, "nothing on the log is about it") for id_ in unheard_of
    ]
    for name, store in stores.items():
        ids = [id_ async for id_ in store.ids(Parked)]
        documents = await store.latest([Parked.key_of(id_) for id_ in ids])
        findings += [found for key, one in documents.items() for found in parked(name, key, one)]
    return findings


def _batched(things: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(things)
    while some := list(islice(iterator, READ_AT_ONCE)):
        yield some
