"""Reads what the log has about one order, from the partition where it lives."""

from collections.abc import Callable
from contextlib import suppress

from chassis.kafka.partitioner import home_of
from contracts.reasons import Unreadable
from contracts.record import Record
from contracts.topics import BY_NAME
from order.validation import salvage

from oms.history.lives import Lives, settled
from oms.history.logged import History, logged
from oms.history.repairs import Repairs
from oms.history.replay import SERVICE
from oms.log import LogReader, Spans

COMMANDS_TO_BOOKS = "inventory.commands"
"""Lies where the book is, not where the order is."""
OF_REPAIRS = "repair.results"
"""Says which records were taken out of their turn."""


async def gather(
    log: LogReader,
    order_id: str,
    *,
    begin: Callable[[int], None] = lambda _: None,
    on_read: Callable[[int], None] = lambda _: None,
) -> tuple[History, Repairs, int]:
    """The history of the order, what people put right, and how many partitions each topic has.

    `begin` hears how many offsets are to be read, `on_read` how many were. Raises Unreachable and NoLog.
    """
    spans = await log.spans(BY_NAME)
    partitions = 1 + max(partition for _, partition in spans)
    home = home_of(order_id, partitions)
    wanted: Spans = {
        (topic, partition): span
        for (topic, partition), span in spans.items()
        if topic == COMMANDS_TO_BOOKS
        or (topic, partition) == (OF_REPAIRS, home)
        or (BY_NAME[topic].key == ("order_id",) and partition == home)
    }
    begin(sum(end - start for start, end in wanted.values()))
    history, repairs, lives = History(order_id), Repairs(), Lives()
    async for records in log.read(wanted, on_read):
        for record in records:
            lives.take(record)
            _take(history, repairs, record)
    return settled(history, lives)[0], repairs, partitions


def _take(history: History, repairs: Repairs, record: Record) -> None:
    topic = BY_NAME[record.topic]
    if topic.name == OF_REPAIRS:
        with suppress(Unreadable):  # what a stranger wrote there `oms audit` finds
            repairs.take(logged(record))
        return
    named = dict(record.headers).get("ce_correlationid") if record.topic == COMMANDS_TO_BOOKS else record.key
    # Where channels write, only the body says which order it is about.
    if not topic.open and named != history.order_id.encode():
        return
    try:
        message = logged(record, salvage) if topic.owner == SERVICE else logged(record)
    except Unreadable:
        return
    if not topic.open or topic.key_of(message.message) == history.order_id:
        history.add(message)
