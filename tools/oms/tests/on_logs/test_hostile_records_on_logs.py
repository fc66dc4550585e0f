"""Hostile records on every topic that a service reads, its own ones too: none stops a partition, or makes it fail."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from chassis.entry import Outgoing
from contracts.message import Reason
from contracts.order import OrderPlaced
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF
from contracts.wire import link_of
from order.state import Order

from tests.fuzz.battery import battery, names_what_is_wrong

RECORDS = 3000
READ = tuple(model for model in MESSAGES.values() if TOPIC_OF[model].readers)


async def test_no_hostile_record_stops_a_partition_or_makes_decide_fail(
    stage: Callable[[int], Any], placed: Callable[..., OrderPlaced]
) -> None:
    at_work = stage(1)
    at_work.stock("LON", 10, "MUG")
    await at_work.settle()
    hostile = [
        Outgoing(record.topic, record.partition % 2, record.key, record.value, tuple(record.headers))
        for record in islice(battery(READ, seed=2), RECORDS)
        if BY_NAME[record.topic].open or link_of(record) is None  # who may write as one of us may stop us
    ]
    at_work.world.topics.write(hostile)
    at_work.send(placed("1"))
    await at_work.settle()

    letters = [record for record in at_work.log if record.topic not in BY_NAME]
    assert len(letters) > RECORDS / 2
    for letter in letters:
        reasons = [Reason.model_validate(it) for it in json.loads(dict(letter.headers)["dead_letter_reasons"])]
        assert names_what_is_wrong(reasons), reasons
    for process in at_work.processes:
        assert process.partition.state == "running"
        assert process.steps.count("claim") == 1
        assert process.count("throughline_bugs_total") == 0
    assert at_work.documents["order"][Order.key_of("web:1")].status == "completed"
