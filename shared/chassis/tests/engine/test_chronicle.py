"""The order in which a restored partition takes what it lives again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from chassis.engine.chronicle import Chronicle
from chassis.engine.inbox import MOST_WAITING_BYTES
from chassis.entry import Past
from chassis.limits import MOST_TAKEN_BYTES
from chassis.ports import Hole
from contracts.record import Received, Record

NOON_MS = 1_767_614_400_000
NOON = datetime.fromtimestamp(NOON_MS / 1000, UTC)
ENDS = {"payment.events": 3, "shipping.events": 1, "order.intake": 0}


class Feed:
    """Remembers what is paused."""

    def __init__(self) -> None:
        self.paused: set[str] = set()

    async def ends(self, topics: Collection[str]) -> Mapping[str, int]:
        raise NotImplementedError

    async def start_at(self, positions: Mapping[str, int], topics: Collection[str]) -> Mapping[str, tuple[int, int]]:
        raise NotImplementedError

    def pause(self, topics: Collection[str]) -> None:
        self.paused.update(topics)

    def resume(self, topics: Collection[str]) -> None:
        self.paused.difference_update(topics)

    def commit(self, positions: Mapping[str, int]) -> None:
        raise NotImplementedError


@pytest.fixture
def feed() -> Feed:
    return Feed()


def chronicle(feed: Feed, most: int = 10) -> Chronicle:
    return Chronicle(feed, [*ENDS], Past(NOON, ENDS), {}, most)


def record(topic: str, offset: int, ms: int, decided: str = "", value: bytes | None = None) -> Record:
    headers = (("ce_time", decided.encode()),)
    return Record(topic, 0, offset, NOON_MS + ms, None, value, headers)


def places(records: Sequence[Received]) -> list[tuple[str, int]]:
    return [(one.topic, one.offset) for one in records]


def test_takes_records_in_the_order_in_which_they_were_written(feed: Feed) -> None:
    past = chronicle(feed)
    past.offer([record("payment.events", offset, ms) for offset, ms in enumerate((1, 3, 90))])
    assert past.moment() is None  # what the other topic has may be older
    past.offer([record("shipping.events", 0, 2)])

    assert past.moment() == NOON + timedelta(milliseconds=1)
    taken = past.take(NOON + timedelta(milliseconds=50), most=9)
    assert places(taken) == [("payment.events", 0), ("shipping.events", 0), ("payment.events", 1)]
    assert places(past.take(NOON, most=9)) == [("payment.events", 2)]
    assert past.is_over


def test_of_what_was_written_at_once_takes_first_what_was_decided_first(feed: Feed) -> None:
    past = chronicle(feed)
    past.offer([record("payment.events", offset, 1, "12:00:00.002") for offset in range(3)])
    past.offer([record("shipping.events", 0, 1, "12:00:00.001")])

    assert places(past.take(NOON, most=1)) == [("shipping.events", 0)]


def test_fetches_nothing_that_is_no_past(feed: Feed) -> None:
    past = chronicle(feed)
    assert feed.paused == {"order.intake"}

    past.offer([record("shipping.events", offset, offset) for offset in range(5)])

    assert feed.paused == {"order.intake", "shipping.events"}
    assert len(past) == 1


def test_fetches_no_more_than_it_may_hold(feed: Feed) -> None:
    past = chronicle(feed, most=1)
    past.offer([record("payment.events", offset, offset) for offset in range(2)])
    assert "payment.events" in feed.paused
    past.offer([record("shipping.events", 0, 9)])

    past.take(NOON + timedelta(seconds=1), most=2)

    assert "payment.events" not in feed.paused


def test_fetches_no_more_bytes_than_it_may_hold(feed: Feed) -> None:
    past = chronicle(feed, most=1000)
    past.offer([record("payment.events", 0, 0, value=bytes(MOST_WAITING_BYTES // 2))])
    assert "payment.events" not in feed.paused
    past.offer([record("payment.events", 1, 1, value=bytes(MOST_WAITING_BYTES // 2))])
    assert "payment.events" in feed.paused
    past.offer([record("shipping.events", 0, 9)])

    for _ in range(2):
        assert "payment.events" in feed.paused
        past.take(NOON + timedelta(seconds=1), most=9)

    assert "payment.events" not in feed.paused


def test_takes_no_more_bytes_at_once_than_are_decided_on_at_once(feed: Feed) -> None:
    past = chronicle(feed)
    large, small = bytes(MOST_TAKEN_BYTES * 2), bytes(MOST_TAKEN_BYTES // 3)
    past.offer([record("payment.events", offset, offset, value=small) for offset in range(2)])
    past.offer([record("payment.events", 2, 2, value=large)])
    past.offer([record("shipping.events", 0, 3)])
    soon = NOON + timedelta(seconds=1)

    first = past.take(soon, most=9)
    assert places(first) == [("payment.events", 0), ("payment.events", 1)]
    past.put_back(first)
    assert past.take(soon, most=9) == first
    assert places(past.take(soon, most=9)) == [("payment.events", 2)]
    assert places(past.take(soon, most=9)) == [("shipping.events", 0)]
    assert past.is_over


def test_is_over_where_the_last_that_was_there_was_no_record(feed: Feed) -> None:
    past = chronicle(feed)
    past.offer([record("shipping.events", 0, 1)])
    past.offer([record("payment.events", 0, 2)])
    past.offer([Hole("payment.events", 0, 2)])

    taken = [one for _ in range(3) for one in past.take(NOON + timedelta(seconds=1), most=9)]

    assert places(taken) == [("shipping.events", 0), ("payment.events", 0), ("payment.events", 2)]
    assert past.is_over


@pytest.mark.parametrize(
    "later", [Hole("payment.events", 0, 7), Record("payment.events", 0, 7, NOON_MS, None, None, ())]
)
def test_is_over_when_what_comes_next_is_no_past_any_more(feed: Feed, later: Received) -> None:
    past = chronicle(feed)
    past.offer([record("shipping.events", 0, 1)])
    past.offer([record("payment.events", 0, 2), later])

    taken = [one for _ in range(3) for one in past.take(NOON + timedelta(seconds=1), most=9)]

    assert places(taken) == [("shipping.events", 0), ("payment.events", 0), ("payment.events", 2)]
    assert past.is_over


def test_takes_again_what_was_put_back(feed: Feed) -> None:
    past = chronicle(feed)
    past.offer([record("payment.events", offset, 1) for offset in range(3)])
    past.offer([record("shipping.events", 0, 2)])
    taken = past.take(NOON + timedelta(seconds=1), most=9)
    assert past.is_over

    past.put_back(taken)

    assert not past.is_over
    assert past.take(NOON + timedelta(seconds=1), most=9) == taken
    assert past.is_over
