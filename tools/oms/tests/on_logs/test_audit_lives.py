"""A service that was restored: what it said in the life that is over does not count, and what it says again does."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from chassis.entry import incarnation_after
from chassis.testing.virtual_time import EPOCH
from contracts.message import Message
from contracts.order import OrderCompleted, OrderConfirmed, OrderEvent
from contracts.payment import PaymentCaptured
from contracts.record import Record
from contracts.wire import Envelope, encode
from oms.history.lives import FOR_EVER, Life, Lives, settled
from oms.history.logged import History, Logged, logged

ORDER = "web:1"
FIRST = "order/0@a1"
SECOND = f"order/0@{incarnation_after('a1', 5, 'b2')}"
THIRD = f"order/0@{incarnation_after(SECOND.partition('@')[2], 7, 'c3')}"
BESIDE = f"order/0@{incarnation_after('a1', 3, 'd4')}"

Said = Callable[..., Logged]


@pytest.fixture
def said() -> Said:
    """A message as a source said it, in which of its entries, and when."""
    offsets: dict[str, int] = {}

    def say(message: Message, source: str, entry: int, second: int) -> Logged:
        at = EPOCH + timedelta(seconds=second)
        topic = "order.events" if isinstance(message, OrderEvent) else "payment.events"
        envelope = Envelope(message, f"{source}/{entry}/0", source, at, ORDER, "", sequence=entry)
        body, headers = encode(envelope)
        offset = offsets[topic] = offsets.get(topic, -1) + 1
        return logged(Record(topic, 0, offset, int(at.timestamp() * 1000), ORDER.encode(), body, headers))

    return say


@pytest.fixture
def confirmed() -> OrderConfirmed:
    return OrderConfirmed(order_id=ORDER, revision=1, allocations=())


def lives_of(begun: Mapping[str, int], said: Said, message: Message) -> Lives:
    lives = Lives()
    for source, second in begun.items():
        lives.take(said(message, source, 1, second).record)
    return lives


def test_a_service_that_was_never_restored_has_one_life(said: Said, confirmed: OrderConfirmed) -> None:
    lives = lives_of({FIRST: 1}, said, confirmed)
    assert lives.of(FIRST) == Life(FIRST, FOR_EVER)


def test_a_wiped_database_begins_a_life_of_its_own(said: Said, confirmed: OrderConfirmed) -> None:
    lives = lives_of({FIRST: 1, "order/0@e5": 2}, said, confirmed)
    assert lives.of(FIRST) == Life(FIRST, FOR_EVER)
    assert lives.of("order/0@e5") == Life("order/0@e5", FOR_EVER)


def test_a_life_counts_up_to_where_the_next_one_goes_on_from_it(said: Said, confirmed: OrderConfirmed) -> None:
    lives = lives_of({FIRST: 1, SECOND: 2, THIRD: 3}, said, confirmed)
    assert [lives.of(source) for source in (FIRST, SECOND, THIRD)] == [
        Life(THIRD, 5),
        Life(THIRD, 7),
        Life(THIRD, FOR_EVER),
    ]


def test_of_two_that_go_on_from_the_same_life_the_later_one_counts(said: Said, confirmed: OrderConfirmed) -> None:
    lives = lives_of({FIRST: 1, SECOND: 2, BESIDE: 3}, said, confirmed)
    assert [lives.of(source) for source in (FIRST, SECOND, BESIDE)] == [
        Life(BESIDE, 3),
        Life(BESIDE, 0),
        Life(BESIDE, FOR_EVER),
    ]


def test_another_partition_has_lives_of_its_own(said: Said, confirmed: OrderConfirmed) -> None:
    other = "order/1@a1"
    lives = lives_of({FIRST: 1, other: 1, SECOND: 2}, said, confirmed)
    assert lives.of(other) == Life(other, FOR_EVER)


def history_of(*said: Logged) -> tuple[History, Lives]:
    history, lives = History(ORDER), Lives()
    for one in said:
        history.add(one)
        lives.take(one.record)
    return history, lives


def test_nothing_changes_for_who_was_never_restored(said: Said, confirmed: OrderConfirmed) -> None:
    history, lives = history_of(said(confirmed, FIRST, 3, 1))
    assert settled(history, lives) == (history, [])


def test_what_is_said_again_counts_once(said: Said, confirmed: OrderConfirmed) -> None:
    before, after = said(confirmed, FIRST, 6, 1), said(confirmed, SECOND, 6, 9)

    living, unsaid = settled(*history_of(before, after))

    assert [one.envelope.id for one in living.messages] == [after.envelope.id]
    assert unsaid == []


def test_what_was_said_before_the_backup_counts_under_the_name_of_today(said: Said, confirmed: OrderConfirmed) -> None:
    early, late = said(confirmed, FIRST, 5, 1), said(confirmed.model_copy(update={"revision": 2}), SECOND, 6, 9)

    living, unsaid = settled(*history_of(early, late))

    assert [one.envelope.source for one in living.messages] == [SECOND, SECOND]
    assert unsaid == []


def test_names_what_was_said_and_is_not_said_again(said: Said, confirmed: OrderConfirmed) -> None:
    gone = said(OrderCompleted(order_id=ORDER, revision=1, captured=5, currency="GBP"), FIRST, 9, 2)

    living, unsaid = settled(*history_of(gone, said(confirmed, SECOND, 6, 9)))

    assert [type(one.message) for one in living.messages] == [OrderConfirmed]
    assert unsaid == [gone]


def test_what_a_restored_participant_had_said_was_heard_all_the_same(said: Said) -> None:
    captured = PaymentCaptured(order_id=ORDER, revision=1, attempt=1, amount=5, currency="GBP", capture_id="c")
    source, again = (replace_owner(name) for name in (FIRST, SECOND))
    before, after = said(captured, source, 9, 1), said(captured, again, 6, 9)

    living, unsaid = settled(*history_of(before, after))

    assert [one.envelope.id for one in living.messages] == [before.envelope.id, after.envelope.id]
    assert unsaid == []


def replace_owner(source: str) -> str:
    return source.replace("order", "payment")
