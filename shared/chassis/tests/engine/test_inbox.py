"""What waits in memory is bounded in number and in bytes, and so is what is decided on at once."""

from collections.abc import Collection, Mapping, Sequence

import pytest
from chassis.engine.inbox import MOST_WAITING_BYTES, Inbox
from chassis.limits import MOST_TAKEN_BYTES
from chassis.testing.virtual_time import VirtualClock
from contracts.record import Record
from contracts.topics import topics_read_by

TOPICS = ("order.intake", "payment.events")
MOST = 100


class PausedFeed:
    """A feed of which only is known what is paused."""

    def __init__(self) -> None:
        self.paused: set[str] = set()

    async def ends(self, topics: Collection[str]) -> Mapping[str, int]:
        raise NotImplementedError

    async def start_at(self, positions: Mapping[str, int]) -> Mapping[str, int]:
        return positions

    def pause(self, topics: Collection[str]) -> None:
        self.paused.update(topics)

    def resume(self, topics: Collection[str]) -> None:
        self.paused.difference_update(topics)

    def commit(self, positions: Mapping[str, int]) -> None: ...


def opened(topics: Sequence[str] = TOPICS) -> tuple[Inbox, PausedFeed]:
    feed = PausedFeed()
    inbox = Inbox(feed, VirtualClock(), topics, MOST)
    inbox.open(topics)
    feed.resume(topics)
    return inbox, feed


def records(count: int, body_bytes: int = 1, header_bytes: int = 1, topic: str = "order.intake") -> list[Record]:
    headers = [("note", b"n" * header_bytes)]
    return [Record(topic, 0, offset, 0, b"k", b"x" * body_bytes, headers) for offset in range(count)]


async def test_a_topic_is_paused_while_too_many_records_wait() -> None:
    inbox, feed = opened()
    inbox.offer(records(MOST))
    assert feed.paused == set()
    inbox.offer(records(1))
    assert feed.paused == {"order.intake"}
    inbox.take((), MOST // 2, MOST)
    assert feed.paused == {"order.intake"}
    inbox.take((), 1, MOST)
    assert feed.paused == set()


async def test_a_topic_is_paused_while_too_many_bytes_wait() -> None:
    for body, header in ((MOST_WAITING_BYTES // 4, 0), (0, MOST_WAITING_BYTES // 4)):
        inbox, feed = opened()
        inbox.offer(records(4, body, header))
        assert feed.paused == {"order.intake"}
        for _ in range(4):
            assert inbox.take((), MOST, MOST)
        assert feed.paused == set()


async def test_no_more_is_taken_at_once_than_is_soon_decided_on() -> None:
    inbox, _ = opened()
    inbox.offer(records(30, MOST_TAKEN_BYTES // 10))
    assert 9 <= len(inbox.take((), MOST, MOST)) <= 10


async def test_what_is_too_large_for_a_batch_is_taken_alone() -> None:
    inbox, _ = opened()
    inbox.offer(records(2, 3 * MOST_TAKEN_BYTES))
    inbox.offer(records(2, 3 * MOST_TAKEN_BYTES, topic="payment.events"))
    assert [[one.topic for one in inbox.take((), MOST, MOST) if isinstance(one, Record)] for _ in range(4)] == [
        ["payment.events"],
        ["payment.events"],
        ["order.intake"],
        ["order.intake"],
    ]
    assert inbox.take((), MOST, MOST) == []


async def test_what_is_put_back_waits_in_its_old_place() -> None:
    inbox, _ = opened()
    inbox.offer(records(5, MOST_TAKEN_BYTES // 4))
    taken = inbox.take((), MOST, MOST)
    inbox.put_back(taken)
    assert inbox.take((), 2, MOST) == taken[:2]
    assert len(inbox) == 3


async def test_what_is_put_back_counts_among_the_bytes_that_wait() -> None:
    inbox, feed = opened()
    inbox.offer(records(4, MOST_WAITING_BYTES // 8))
    inbox.put_back(inbox.take((), MOST, MOST))
    inbox.offer(records(3, MOST_WAITING_BYTES // 8))
    assert feed.paused == set()
    inbox.offer(records(1, MOST_WAITING_BYTES // 8))
    assert feed.paused == {"order.intake"}


@pytest.mark.parametrize(
    ("service", "topic"),
    [("order", "order.repairs"), ("order", "repair.requests"), ("fulfillment", "fulfillment.work")],
)
async def test_what_people_say_of_what_was_begun_is_heard_while_there_is_no_room(service: str, topic: str) -> None:
    inbox, _ = opened(topics_read_by(service))
    said = records(1, topic=topic)
    inbox.offer(said)
    assert inbox.take((), MOST, room=0) == said


@pytest.mark.parametrize(("service", "topic"), [("order", "order.intake"), ("inventory", "inventory.movements")])
async def test_what_is_new_waits_while_there_is_no_room(service: str, topic: str) -> None:
    inbox, _ = opened(topics_read_by(service))
    new = records(2, topic=topic)
    inbox.offer(new)
    assert inbox.take((), MOST, room=0) == []
    assert inbox.take((), MOST, room=1) == new[:1]


async def test_a_repair_is_heard_while_more_orders_wait_than_are_held() -> None:
    inbox, feed = opened(topics_read_by("order"))
    inbox.offer(records(MOST + 1))
    assert feed.paused == {"order.intake"}
    repair = records(1, topic="order.repairs")
    inbox.offer(repair)
    assert inbox.take((), MOST, room=0) == repair
