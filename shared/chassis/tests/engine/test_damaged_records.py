"""A record that stands for a batch that nobody can read: it loses nothing, and holds up nobody whom it need not."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

from chassis.ports import Damaged, Unread
from chassis.testing.world import World

INTAKE = ("order.intake", 0)


def overwrite(world: World, offset: int, value: bytes | None) -> None:
    """Have Kafka give another value where this one was."""
    records = world.topics._records[INTAKE]
    records[offset] = replace(records[offset], value=value)


async def test_a_partition_waits_before_a_damaged_record_until_it_is_whole(toys: SimpleNamespace, world: World) -> None:
    first, second, elsewhere = *toys.orders_on(world, 0, 2), *toys.orders_on(world, 1, 1)
    asked = [(first, "one"), (first, "two"), (second, "three"), (first, "four")]
    for order_id, reason in asked:
        world.send(toys.ask(order_id, reason))
    good = world.topics.read(*INTAKE, 2)[0].value
    overwrite(world, 2, Damaged(b"the checksum of its batch is wrong"))
    process, other = world.start(toys.counter), world.start(toys.counter, 1)
    await asyncio.sleep(20)

    assert process.partition.positions["order.intake"] == 2
    assert world.read(toys.counter, toys.Tally, first).heard == ("one", "two")
    why = "RecordDamaged: order.intake/0: the checksum of its batch is wrong"
    assert process.partition.failure == why
    world.send(toys.ask(elsewhere, "five"))
    await asyncio.sleep(5)
    assert world.read(toys.counter, toys.Tally, elsewhere).heard == ("five",)
    assert other.partition.failure is None

    overwrite(world, 2, good)
    await asyncio.sleep(20)
    assert world.read(toys.counter, toys.Tally, second).heard == ("three",)
    assert world.read(toys.counter, toys.Tally, first).heard == ("one", "two", "four")
    assert process.partition.failure is None
    assert world.topics.all(toys.LETTERS) == []


async def test_what_was_never_good_is_buried_and_the_others_go_on(toys: SimpleNamespace, world: World) -> None:
    (order_id,) = toys.orders_on(world, 0, 1)
    for reason in ("one", "two", "three"):
        world.send(toys.ask(order_id, reason))
    overwrite(world, 1, Unread(b"nobody can read its batch: too large"))
    world.start(toys.counter)
    await asyncio.sleep(20)

    assert world.read(toys.counter, toys.Tally, order_id).heard == ("one", "three")
    (letter,) = world.topics.all(toys.LETTERS)
    assert (letter.key, letter.value) == (None, None)
    (reason,) = json.loads(dict(letter.headers)["dead_letter_reasons"])
    assert (reason["code"], reason["message"]) == ("unreadable", "nobody can read its batch: too large")


async def test_nothing_that_a_channel_writes_passes_for_a_damaged_batch(toys: SimpleNamespace, world: World) -> None:
    (order_id,) = toys.orders_on(world, 0, 1)
    world.send(toys.ask(order_id, "one"))
    overwrite(world, 0, bytes(Damaged(b"the checksum of its batch is wrong")))
    world.send(toys.ask(order_id, "two"))
    process = world.start(toys.counter)
    await asyncio.sleep(20)
    assert world.read(toys.counter, toys.Tally, order_id).heard == ("two",)
    assert process.partition.failure is None
