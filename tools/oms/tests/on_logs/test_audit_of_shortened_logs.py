"""The audit of logs whose beginning was cut off by retention: it says so, blames nobody for it, and checks the rest."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import pytest
from chassis.decision import Document
from chassis.kafka.partitioner import home_of
from contracts.inventory import ConfigureItem
from contracts.order import CancelOrder, OrderPlaced, RetryStep
from contracts.payment import PaymentCaptured
from contracts.record import Record
from contracts.topics import TOPICS
from oms.audit.auditing import _look_for_others
from oms.audit.auditor import Auditor, Verdict
from oms.audit.beginnings import Beginnings
from oms.commands import MOST_SHOWN
from oms.commands.audit import as_json_of, show
from oms.log import Spans
from order.state import Order

Stage = Any
"""The conftest's class, which cannot be imported from here."""
Place = Callable[..., OrderPlaced]
PARTITIONS = 2
DECLINED = {"payment_token": "tok_declined_lost_card"}
DAYS = ("first", "second", "third")
CUT = {topic.name for topic in TOPICS if not topic.compacted}


@pytest.fixture
async def shop(stage: Callable[[int], Stage], placed: Place) -> Stage:
    """On each of three days eight orders, of which two wait until the last day, and a record that is none."""
    shop = stage(7)
    shop.send(ConfigureItem(location="MAN", sku="TEA"))
    for day in DAYS:
        shop.stock("LON", 9, "MUG", "TEA")
        await shop.settle()
        shop.send(placed(f"{day}-1", units=2, skus=("MUG", "TEA")))
        shop.send(placed(f"{day}-2", **DECLINED))
        shop.send(placed(f"{day}-3", units=9, skus=("TEA",), allow_backorder=True))
        shop.send(placed(f"{day}-4", special_instructions="[simulate: nobody picks]"))
        for number in (5, 6, 7, 8):
            shop.send(placed(f"{day}-{number}"))
        shop.send_raw(OrderPlaced, b"{", f"web:{day}")
        await shop.settle()
        by = {"repair_id": f"r-{day}", "requested_by": "kim", "reason": "nobody picks"}
        shop.send(RetryStep.model_validate(by | {"order_id": f"web:{day}-4", "step": "fulfill"}))
        await shop.settle()
    shop.stock("MAN", 40, "TEA")
    await shop.settle()
    for day in DAYS:
        shop.send(CancelOrder(order_id=f"web:{day}-4", reason="no longer wanted", requested_by="Ada"))
    await shop.settle()
    return shop


def shortened(log: Sequence[Record], since: int, topics: Collection[str] = CUT) -> tuple[list[Record], Spans]:
    """What is left of a log of whose topics everything was cut off that is older, and from where to where it goes."""
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    left: list[Record] = []
    for record in log:
        part = (record.topic, record.partition)
        start, end = spans.get(part, (0, 0))
        is_cut = record.topic in topics and record.timestamp < since
        spans[part] = (record.offset + 1 if is_cut else start, max(end, record.offset + 1))
        if not is_cut:
            left.append(record)
    return left, spans


def judge(shop: Stage, log: Sequence[Record], spans: Spans) -> Verdict:
    with Auditor(shop.policy, PARTITIONS, spans) as auditor:
        for record in log:
            auditor.take(record)
        list(auditor.judge())
        return auditor.conclude()


def begun(shop: Stage, day: str) -> int:
    """When the day's first order was placed."""
    return min(r.timestamp for r in shop.of_type(OrderPlaced) if r.key is not None and day.encode() in r.key)


async def test_says_where_the_log_begins_and_judges_the_orders_that_began_since(shop: Stage) -> None:
    since = begun(shop, "second")
    log, spans = shortened(shop.log, since)

    verdict = judge(shop, log, spans)

    assert verdict.findings == []
    assert verdict.orders == Counter(rejected=1, completed=6, cancelled=1)
    starts = {f"{topic}/{number}/{start}" for (topic, number), (start, _) in spans.items() if start}
    assert {late.place for late in verdict.late} == starts
    assert all(late.since is None or late.since.timestamp() * 1000 >= since for late in verdict.late)
    assert verdict.unchecked == [
        "10 orders of which the beginning may not be there",
        "whether stock adds up, but for what each StockLevel says",
        "which movements were booked",
    ]


async def test_tells_people_and_programs_where_the_log_begins_and_what_is_not_checked(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = judge(shop, *shortened(shop.log, begun(shop, "second")))

    told = as_json_of(verdict)
    show(verdict)
    shown = capsys.readouterr().out

    assert told["late"] == [{"place": one.place, "since": one.since and one.since.isoformat()} for one in verdict.late]
    assert told["not_checked"] == verdict.unchecked
    assert all(one.place in shown for one in verdict.late[:MOST_SHOWN])
    assert "2026-01-05 12:22:30" in shown
    assert "not checked: 10 orders of which the beginning may not be there" in shown
    assert "Nothing of what was checked was lost, doubled or oversold." in shown


async def test_finds_nothing_wherever_the_log_begins(shop: Stage) -> None:
    moments = sorted({record.timestamp for record in shop.log})
    for since in moments[:: len(moments) // 60]:
        log, spans = shortened(shop.log, since)
        verdict = judge(shop, log, spans)
        assert verdict.findings == [], since


@pytest.mark.parametrize("topic", sorted(CUT | {"order.intake.dead-letter"}))
async def test_finds_nothing_where_one_topic_begins_late(shop: Stage, topic: str) -> None:
    moments = [record.timestamp for record in shop.log if record.topic == topic]
    for since in [*moments[:: max(1, len(moments) // 4)], *(moment + 1 for moment in moments[-1:])]:
        log, spans = shortened(shop.log, since, {topic})
        assert judge(shop, log, spans).findings == []


async def test_leaves_out_what_a_database_has_of_orders_that_it_does_not_judge(shop: Stage) -> None:
    """What is seldom said may begin late where nothing else does."""
    log, spans = shortened(shop.log, max(record.timestamp for record in shop.log), {"inventory.commands"})
    with Auditor(shop.policy, PARTITIONS, spans) as auditor:
        for record in log:
            auditor.take(record)
        known = {judged.history.order_id for judged in auditor.judge()}
    assert "web:first-1" in auditor.unjudged
    database: Any = Remembered("web:first-1", "web:gone")

    others = await _look_for_others({"order": database}, known | auditor.unjudged, auditor.beginnings)
    assert [finding.about for finding in others] == ["web:gone"]


async def test_finds_what_is_lost_after_the_beginning(shop: Stage) -> None:
    log, spans = shortened(shop.log, begun(shop, "second"))
    gone = next(r for r in shop.of_type(PaymentCaptured) if b"third-1" in (r.value or b""))

    found = {finding.check for finding in judge(shop, [r for r in log if r != gone], spans).findings}

    assert {"links", "money", "decisions"} <= found


async def test_finds_a_loss_on_a_link_that_began_before_its_topic_does(shop: Stage) -> None:
    log, spans = shortened(shop.log, begun(shop, "second"))
    part = [r for r in log if (r.topic, r.partition) == ("order.events", 0)]

    verdict = judge(shop, [r for r in log if r != part[2]], spans)

    assert part[3].place in [finding.place for finding in verdict.findings if finding.check == "links"]


async def test_a_whole_log_begins_with_its_beginning(shop: Stage) -> None:
    verdict = judge(shop, *shortened(shop.log, 0))

    assert (verdict.findings, verdict.late, verdict.unchecked) == ([], [], [])
    assert verdict.orders == Counter(rejected=3, completed=18, cancelled=3)


class Remembered:
    """A database that has nothing but these orders."""

    def __init__(self, *orders: str) -> None:
        self._orders = orders

    async def ids(self, model: type[Document]) -> AsyncIterator[str]:
        for id_ in self._orders if model is Order else ():
            yield id_

    async def latest(self, _: Collection[str]) -> dict[str, Document]:
        return {}


async def test_an_order_that_only_the_database_knows_is_a_finding_unless_it_may_have_been_cut_off() -> None:
    database: Any = Remembered("web:gone", "web:known")

    async def found(spans: Spans) -> list[str]:
        others = await _look_for_others({"order": database}, {"web:known"}, Beginnings(spans, PARTITIONS))
        return [finding.about for finding in others]

    home = home_of("web:gone", PARTITIONS)
    assert await found({("order.events", home): (0, 7)}) == ["web:gone"]
    assert await found({("order.events", 1 - home): (5, 7)}) == ["web:gone"]
    assert await found({("order.events", home): (5, 7)}) == []
