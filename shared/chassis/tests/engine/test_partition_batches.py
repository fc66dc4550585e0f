"""A batch becomes one entry; what it says is numbered, and published after it; what does not fit in is set aside."""

import asyncio
import gc
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from chassis.cause import Cause
from chassis.engine.memory import Working
from chassis.engine.outbox import Outbox
from chassis.entry import Outgoing, Progress
from chassis.testing.virtual_time import EPOCH
from chassis.testing.world import LIMITS, Process, World
from contracts.inventory import StockLevel
from contracts.payment import PaymentVoided
from contracts.wire import decode, link_of


async def settle(seconds: float = 5) -> None:
    await asyncio.sleep(seconds)


def headers(record: object) -> Mapping[str, bytes]:
    return dict(record.headers)  # type: ignore[attr-defined]


def voided(order_id: str, attempt: int) -> PaymentVoided:
    return PaymentVoided(order_id=order_id, revision=1, attempt=attempt)


def reason_of(letter: object) -> tuple[str, str]:
    """Path and code of the first reason."""
    first = json.loads(headers(letter)["dead_letter_reasons"])[0]
    return first["path"], first["code"]


async def started(toys: SimpleNamespace, world: World, **limits: int) -> Process:
    process = world.start(toys.counter, limits=replace(LIMITS, **limits))
    await settle(0.1)
    return process


# Entries and messages.


async def test_a_batch_is_one_insert(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    process.steps.clear()
    for order_id in toys.orders_on(world, 0, 30):
        world.send(toys.ask(order_id, "once"))
    await settle()
    assert process.steps.count("append") == 1
    assert process.steps.count("load") == 1
    assert [(len(e.changes), len(e.outbox)) for e in world.store(toys.counter).journal(0)] == [(30, 30)]


@pytest.mark.parametrize("is_readable", [True, False], ids=["good", "unreadable"])
async def test_a_batch_is_freed_as_soon_as_it_is_done(
    toys: SimpleNamespace, world: World, *, is_readable: bool
) -> None:
    """Were it to wait for a search for cycles, many batches would be held, and a tenth of the time go into searches."""
    await started(toys, world)
    gc.collect()
    gc.disable()
    try:
        for order_id in toys.orders_on(world, 0, 30):
            if is_readable:
                world.send(toys.ask(order_id, "once"))
            else:
                world.topics.write([Outgoing("order.intake", 0, order_id.encode(), b"{", [])])
        await settle()
        # By type(), for isinstance asks weak proxies, which others may have left, for what they stood for.
        held = [one for one in gc.get_objects() if type(one) is Working]
    finally:
        gc.enable()
    assert len(world.store(toys.counter).journal(0)) == 1
    assert held == []


async def test_nothing_is_published_that_is_not_journaled(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    seen: list[tuple[str, int, int]] = []

    async def look(step: str) -> None:
        seen.append((step, len(world.store(toys.counter).journal(0)), len(world.topics.all("payment.commands"))))

    process.before = look
    world.send(toys.ask(toys.orders_on(world, 0, 1)[0], "once"))
    await settle()
    assert seen.index(("append", 0, 0)) < seen.index(("appended", 1, 0)) < seen.index(("publish", 1, 0))
    assert ("published", 1, 1) in seen


async def test_messages_of_a_link_are_numbered_from_one_on(toys: SimpleNamespace, world: World) -> None:
    await started(toys, world)
    for order_id in toys.orders_on(world, 0, 3):
        world.send(toys.ask(order_id, "once"))
        await settle(0.1)
    links = [link_of(record) for record in world.topics.all("payment.commands")]
    source = f"order/0@{world.store(toys.counter).checkpoint_of(0).incarnation}"
    assert links == [(source, 1), (source, 2), (source, 3)]


async def test_a_message_says_what_caused_it_and_carries_the_trace_on(toys: SimpleNamespace, world: World) -> None:
    await started(toys, world)
    order_id = toys.orders_on(world, 0, 1)[0]
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = world.send(toys.ask(order_id, "once"), headers={"traceparent": trace})
    await settle()
    said = headers(world.topics.all("payment.commands")[0])
    assert said["ce_causationid"] == headers(sent)["ce_id"]
    assert said["ce_correlationid"] == order_id.encode()
    assert said["traceparent"][:35] == trace[:35]
    assert said["traceparent"] != trace


async def test_an_echo_is_dropped_and_makes_no_entry(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    order_id = toys.orders_on(world, 0, 1)[0]
    for number in (1, 2, 1, 2, 2, 3):
        world.send(voided(order_id, number), source="payment/0@a", sequence=number)
        await settle(0.1)
    assert process.partition.state == "running"
    assert process.count("throughline_echoes_dropped_total") == 3
    assert process.steps.count("append") == 3
    await settle()
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("voided 1", "voided 2", "voided 3")
    progress = world.store(toys.counter).checkpoint_of(0).progress
    assert (progress.positions["payment.events"], progress.heard) == (6, {("payment.events", "payment/0@a"): 3})


async def test_echoes_are_dropped_in_constant_memory(toys: SimpleNamespace, world: World) -> None:
    """One number a link, however much was heard on it."""
    process = await started(toys, world)
    orders = toys.orders_on(world, 0, 20)
    for number in range(1, 201):
        world.send(voided(orders[number % 20], number), source=f"payment/{number % 2}@a", sequence=(number + 1) // 2)
    await settle()
    assert process.partition.state == "running"
    heard = world.store(toys.counter).checkpoint_of(0).progress.heard
    assert heard == {("payment.events", "payment/0@a"): 100, ("payment.events", "payment/1@a"): 100}


async def test_a_gap_makes_the_partition_stand_still_with_an_alarm(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    one, other = toys.orders_on(world, 0, 2)
    world.send(voided(one, 1), source="payment/0@a", sequence=1)
    world.send(voided(one, 3), source="payment/0@a", sequence=3)
    world.send(toys.ask(other, "after the gap"))
    world.send(voided(other, 1), source="payment/1@a", sequence=1)
    await settle(120)
    assert process.partition.state == "gap"
    assert process.count("throughline_gaps_total") == 1
    assert not process.task.done()
    assert world.read(toys.counter, toys.Tally, one).heard == ("voided 1",)
    assert world.store(toys.counter).checkpoint_of(0).progress.positions["payment.events"] == 1
    await process.stop()
    assert process.partition.state == "stopped"


async def test_what_was_decided_before_a_gap_is_published(toys: SimpleNamespace, world: World) -> None:
    process = world.start(toys.counter)
    one, other = toys.orders_on(world, 0, 2)
    world.send(voided(one, 1), source="payment/0@a", sequence=1)
    world.topics.write([Outgoing("payment.events", 0, one.encode(), b"{not json", [("ce_type", b"PaymentVoided")])])
    world.send(voided(other, 3), source="payment/0@a", sequence=3)
    await settle()
    assert process.partition.state == "gap"
    assert len(world.topics.all("payment.events.dead-letter")) == 1
    assert world.read(toys.counter, toys.Tally, one).heard == ("voided 1",)


async def test_a_gap_is_told_though_kafka_takes_nothing(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    down = True

    async def refuse(step: str) -> None:
        if step == "publish" and down:
            raise ConnectionError("no leader")

    process.before = refuse
    one, other = toys.orders_on(world, 0, 2)
    world.topics.write([Outgoing("payment.events", 0, one.encode(), b"{not json", [("ce_type", b"PaymentVoided")])])
    world.send(voided(other, 3), source="payment/0@a", sequence=3)
    await settle()
    assert process.count("throughline_gaps_total") == 1
    assert len(world.topics.all("payment.events.dead-letter")) == 0
    down = False
    await settle()
    assert process.partition.state == "gap"
    assert process.count("throughline_gaps_total") == 1
    assert len(world.topics.all("payment.events.dead-letter")) == 1


def test_of_a_compacted_topic_only_the_last_of_a_key_in_a_batch_is_said(toys: SimpleNamespace) -> None:
    world = World()
    outbox = Outbox(world.log)

    def level(sku: str, available: int) -> StockLevel:
        return StockLevel(location="LEEDS", sku=sku, available=available, reserved=0, shipped=0, received=available)

    cause = Cause("m", "c", None)
    outbox.say([level("mug", 1), level("cup", 9), level("mug", 2), level("mug", 3)], cause)
    records = list(outbox.records(Progress(), "inventory/0@a", 1, EPOCH))
    bodies = [json.loads(record.value or b"") for record in records]
    assert [(body["sku"], body["available"]) for body in bodies] == [("cup", 9), ("mug", 3)]
    links = [(record.partition, int(dict(record.headers)["ce_sequence"])) for record in records]
    assert links == [(links[0][0], 1), (links[1][0], 2 if links[0][0] == links[1][0] else 1)]


# Records that belong elsewhere.


async def test_a_foreign_record_is_sent_to_the_partition_of_its_key_once(toys: SimpleNamespace, world: World) -> None:
    """Other clients' partitioners put it anywhere, and their keys may be missing."""
    process = await started(toys, world)
    other = world.start(toys.counter, 1)
    order_id = toys.orders_on(world, 1, 1)[0]
    sent = world.send(toys.ask(order_id, "astray"), partition=0)
    await settle()
    moved = world.topics.read("order.intake", 1)
    assert [(record.key, record.value) for record in moved] == [(order_id.encode(), sent.value)]
    assert headers(moved[0]) == headers(sent) | {"forwarded_from": b"0/0"}
    assert process.count("throughline_forwarded_total") == 1
    assert other.count("throughline_forwarded_total") == 0
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("astray",)


async def test_a_record_is_not_sent_to_and_fro(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    order_id = toys.orders_on(world, 1, 1)[0]
    world.send(toys.ask(order_id, "astray"), partition=0, headers={"forwarded_from": b"1/7"})
    await settle()
    assert reason_of(world.topics.all(toys.LETTERS)[0]) == ("forwarded_from", "forwarded_twice")
    assert process.partition.state == "running"


async def test_a_record_too_large_to_be_sent_on_becomes_a_dead_letter(toys: SimpleNamespace, world: World) -> None:
    await started(toys, world)
    world.send(toys.ask(toys.orders_on(world, 1, 1)[0], "astray"), partition=0, headers={"noise": b"x" * 1_000_000})
    await settle()
    assert reason_of(world.topics.all(toys.LETTERS)[0]) == ("", "too_large")
    assert world.topics.read("order.intake", 1) == []


# What cannot be handled.


async def test_an_unreadable_record_becomes_a_dead_letter_as_it_came(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    good, order_id = toys.orders_on(world, 0, 2)
    raw = Outgoing("order.intake", 0, b"\xffkey", b"{not json", [("ce_type", b"CancelOrder"), ("odd", b"\x00\xff")])
    world.send(toys.ask(good, "before"))
    world.topics.write([raw])
    world.send(toys.ask(order_id, "after"))
    await settle()
    letter = world.topics.all(toys.LETTERS)[0]
    assert (letter.key, letter.value, letter.partition) == (b"\xffkey", b"{not json", 0)
    assert list(letter.headers)[:2] == raw.headers
    assert headers(letter)["dead_letter_from"] == b"order.intake/0/1"
    assert headers(letter)["dead_letter_service"] == b"order"
    assert reason_of(letter) == ("ce_specversion", "missing")
    assert process.count("throughline_dead_letters_total") == 1
    assert [world.read(toys.counter, toys.Tally, who).heard for who in (good, order_id)] == [("before",), ("after",)]


@pytest.mark.parametrize(
    "bad",
    [
        {"ce_sequence": b"9" * 5000},
        {"ce_source": b"order/0@a", "ce_sequence": b"9" * 5000},
        {"ce_time": b"0001-01-01T00:00:00+23:59"},
        {"ce_id": b"x" * 1_000_000},
        {"ce_source": b"\xff\xfe"},
        {"ce_correlationid": b"\xff" * 100},
        {"traceparent": b"00-" + b"z" * 100_000},
        {"ce_source": b"shop", "ce_sequence": b"17"},
    ],
    ids=lambda bad: next(iter(bad)),
)
async def test_no_header_stops_a_partition(toys: SimpleNamespace, world: World, bad: dict[str, bytes]) -> None:
    process = await started(toys, world)
    one, other = toys.orders_on(world, 0, 2)
    world.send(toys.ask(one, "hostile"), headers=bad)
    world.send(toys.ask(other, "good"))
    await settle()
    assert process.partition.state == "running"
    assert process.steps.count("claim") == 1
    assert world.read(toys.counter, toys.Tally, other).heard == ("good",)


async def test_huge_headers_and_keys_are_left_out_of_the_dead_letter(toys: SimpleNamespace, world: World) -> None:
    """They may come compressed, so that twenty megabytes look like twenty kilobytes to Kafka."""
    process = await started(toys, world)
    huge = b"x" * 20_000_000
    world.topics.write([Outgoing("order.intake", 0, huge, b"{}", [("noise", huge)])])
    world.topics.write([Outgoing("order.intake", 0, b"k", huge, [("ce_id", b"1")])])
    order_id = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(order_id, "good"))
    await settle()
    letters = world.topics.all(toys.LETTERS)
    assert [(letter.key, letter.value) for letter in letters] == [(None, b"{}"), (b"k", None)]
    assert all("too_large" in headers(letter)["dead_letter_reasons"].decode() for letter in letters)
    assert process.steps.count("claim") == 1
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("good",)


@pytest.mark.parametrize("bug", ["bug", "needs a bug", "unwritable", "heavy 20", "loud"])
async def test_a_bug_parks_its_order_only(toys: SimpleNamespace, world: World, bug: str) -> None:
    process = await started(toys, world)
    sick, *healthy = toys.orders_on(world, 0, 6)
    for order_id in healthy[:3]:
        world.send(toys.ask(order_id, "good"))
    sent = world.send(toys.ask(sick, bug))
    world.send(toys.ask(sick, "waits"))
    for order_id in healthy[3:]:
        world.send(toys.ask(order_id, "good"))
    await settle()
    assert [world.read(toys.counter, toys.Tally, order_id).heard for order_id in healthy] == [("good",)] * 5
    letters = world.topics.all(toys.LETTERS)
    assert [letter.value for letter in letters] == [sent.value]
    assert reason_of(letters[0]) == ("", "bug")
    assert b"Traceback" in headers(letters[0])["dead_letter_traceback"] or bug in {"heavy 20", "loud"}
    assert process.steps.count("claim") == 1
    assert process.count("throughline_bugs_total") == 1
    parked = world.saved(toys.counter)[f"parked/0/{sick}"]
    assert [record.offset for record in parked.records] == [3, 4]


async def test_what_comes_for_a_parked_order_is_kept_in_order(toys: SimpleNamespace, world: World) -> None:
    first = await started(toys, world)
    sick, healthy = toys.orders_on(world, 0, 2)
    sent = [world.send(toys.ask(sick, "bug"))]
    await settle()
    sent += [world.send(toys.ask(sick, f"later {number}"), headers={"traceparent": b"\xff"}) for number in range(3)]
    world.send(toys.ask(healthy, "good"))
    await settle()
    first.crash()
    world.start(toys.counter)
    sent.append(world.send(toys.ask(sick, "much later")))
    await settle()
    parked = world.saved(toys.counter)[f"parked/0/{sick}"]
    assert [b64decode(record.value) for record in parked.records] == [record.value for record in sent]
    assert [(record.topic, record.offset) for record in parked.records] == [
        ("order.intake", offset) for offset in (0, 1, 2, 3, 5)
    ]
    assert all(record.timestamp > 0 for record in parked.records)
    assert world.read(toys.counter, toys.Tally, healthy).heard == ("good",)
    assert world.read(toys.counter, toys.Tally, sick) is None


async def test_a_parked_order_keeps_a_bounded_number_of_bytes(toys: SimpleNamespace, world: World) -> None:
    """Otherwise its document, and the entry with it, would outgrow what MongoDB takes, and stop all others."""
    process = await started(toys, world)
    sick = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(sick, "bug"))
    for number in range(40):
        world.send(toys.ask(sick, f"later {number}"), headers={"noise": b"x" * 200_000})
    await settle()
    parked = world.saved(toys.counter)[f"parked/0/{sick}"]
    letters = world.topics.all(toys.LETTERS)
    assert 0 < len(parked.records) < 40
    assert len(parked.records) + len(letters) == 42, "the one that failed is both"
    assert reason_of(letters[-1]) == ("", "parked")
    assert process.steps.count("claim") == 1


async def test_headers_of_a_parked_order_weigh_too(toys: SimpleNamespace, world: World) -> None:
    """Nothing is in them, and yet MongoDB keeps each of them: nearly a million are more than a document may have."""
    process = await started(toys, world)
    sick = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(sick, "bug"))
    sent = world.send(toys.ask(sick, "later"))
    world.topics.write([replace(sent, headers=[*sent.headers, *[("", b"")] * 50_000])])
    await settle()
    parked = world.saved(toys.counter)[f"parked/0/{sick}"]
    assert [record.offset for record in parked.records] == [0, 1]
    assert reason_of(world.topics.all(toys.LETTERS)[-1]) == ("", "parked")
    assert process.steps.count("claim") == 1


async def test_the_alarms_of_a_parked_order_do_not_ring_it_awake(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    sick = toys.orders_on(world, 0, 1)[0]
    world.send(toys.ask(sick, "alarm 5"))
    world.send(toys.ask(sick, "bug"))
    await settle(60)
    assert world.read(toys.counter, toys.Tally, sick).heard == ("alarm 5",)
    assert process.count("throughline_parked") in {0, 1}
    process.partition.measure()
    assert process.count("throughline_parked") == 1


async def test_a_heavy_batch_is_taken_in_portions(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    orders = toys.orders_on(world, 0, 12)
    for order_id in orders:
        world.send(toys.ask(order_id, "heavy 4"))
    await settle()
    journal = world.store(toys.counter).journal(0)
    assert all(sum(len(change.body) for change in entry.changes) <= 12_100_000 for entry in journal)
    assert [change.key for entry in journal for change in entry.changes] == [f"tally/{order_id}" for order_id in orders]
    assert process.steps.count("claim") == 1
    assert process.count("throughline_messages_taken_total") == 12


async def test_headers_weigh_too(toys: SimpleNamespace, world: World) -> None:
    process = await started(toys, world)
    world.topics.write(Outgoing("order.intake", 0, b"k", b"{}", [("noise", b"x" * 200_000)]) for _ in range(80))
    await settle()
    assert process.steps.count("claim") == 1
    assert len(world.topics.all(toys.LETTERS)) == 80
    assert process.steps.count("append") > 1


# Time.


async def test_time_never_runs_backwards_within_a_partition(toys: SimpleNamespace, world: World) -> None:
    await started(toys, world)
    orders = toys.orders_on(world, 0, 6)
    for order_id, skew_s in zip(orders, (0, 5, -60, 2, -3600, 7), strict=True):
        world.clock.skew = timedelta(seconds=skew_s)
        world.send(toys.ask(order_id, "once"))
        await settle(1)
    times = [decode(record).time for record in world.topics.all("payment.commands")]
    assert len(times) == 6
    assert times == sorted(times)
