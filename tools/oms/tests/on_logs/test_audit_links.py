from collections.abc import Callable
from dataclasses import replace

import pytest
from contracts.inventory import StockLevel
from contracts.message import Message
from contracts.payment import PaymentVoided
from contracts.record import Record
from contracts.repair import GapAccepted
from oms.audit.links import Links
from oms.history.logged import Logged
from oms.history.repairs import Repairs

Write = Callable[[Message], Logged]


@pytest.fixture
def three(pen: Write) -> list[Record]:
    return [pen(PaymentVoided(order_id="web:1", revision=1, attempt=attempt)).record for attempt in (1, 2, 3)]


def found_in(records: list[Record], *accepted: Logged) -> list[tuple[str, str]]:
    links, repairs = Links(), Repairs()
    for record in records:
        links.take(record)
    for answer in accepted:
        repairs.take(answer)
    return [(found.place, found.what) for found in links.findings(repairs)]


def at(record: Record, offset: int, **changes: object) -> Record:
    return replace(record, offset=offset, **changes)


def test_finds_nothing_on_a_link_that_counts_without_a_gap(three: list[Record]) -> None:
    assert found_in(three) == []


def test_names_the_record_before_which_a_message_was_lost(three: list[Record]) -> None:
    first, _, third = three

    [(place, what)] = found_in([first, third])

    assert place == third.place
    assert what == "the message here carries number 3, but number 2 never came"


def test_sees_that_the_first_messages_of_a_link_were_lost(three: list[Record]) -> None:
    [(place, what)] = found_in(three[2:])

    assert place == three[2].place
    assert "numbers 1 to 2 never came" in what


def test_takes_the_same_messages_published_again_for_what_they_are(three: list[Record]) -> None:
    again = [at(record, 3 + place) for place, record in enumerate(three)]
    links = Links()
    for record in [*three, *again]:
        links.take(record)

    assert list(links.findings(Repairs())) == []
    assert (links.count, links.messages, links.repeated) == (1, 3, 3)


def test_finds_a_number_that_comes_again_with_another_message(three: list[Record]) -> None:
    [(place, what)] = found_in([*three, at(three[1], 3, value=b"{}")])

    assert place.endswith("/3")
    assert what == "the message here repeats number 2 with another message"


def test_finds_a_number_that_comes_again_under_another_id(three: list[Record]) -> None:
    headers = [(name, b"payment/0@a1/9/9" if name == "ce_id" else value) for name, value in three[1].headers]

    [(_, what)] = found_in([*three, at(three[1], 3, headers=headers)])

    assert "repeats number 2" in what


def test_reports_only_the_first_gap_of_a_link(pen: Write) -> None:
    records = [pen(PaymentVoided(order_id="web:1", revision=1, attempt=attempt)).record for attempt in range(1, 8)]

    assert len(found_in([records[0], records[2], records[6]])) == 1


def test_goes_on_after_a_gap_that_somebody_accepted(pen: Write) -> None:
    records = [pen(PaymentVoided(order_id="web:1", revision=1, attempt=attempt)).record for attempt in range(1, 8)]
    first, third, last = records[0], records[2], records[6]
    loss = {"topic": first.topic, "source": "payment/0@a1", "first": 2, "last": 2}
    who = {"service": "order", "partition": first.partition, "by": "kim", "reason": "the disk is gone"}
    accepted = pen(GapAccepted.model_validate({"repair_id": "r-1", **who, **loss}))

    assert found_in([first, third], accepted) == []
    assert [place for place, _ in found_in([first, third, last], accepted)] == [last.place]


def test_does_not_look_beyond_a_number_that_nobody_can_have_reached(pen: Write, three: list[Record]) -> None:
    headers = [(name, b"1" + b"0" * 15 if name == "ce_sequence" else value) for name, value in three[1].headers]

    [(place, _)] = found_in([three[0], at(three[1], 1, headers=headers), three[2]])

    assert place == three[1].place


def test_lets_compaction_remove_what_was_overtaken(pen: Write) -> None:
    levels = [
        pen(StockLevel(location="LON", sku="MUG", available=units, reserved=0, shipped=0, received=units)).record
        for units in (1, 2, 3)
    ]

    assert found_in([levels[0], levels[2]]) == []


def test_lets_compaction_remove_however_many_were_overtaken(pen: Write) -> None:
    def level(units: int, sequence: int) -> Record:
        said = StockLevel(location="LON", sku="MUG", available=units, reserved=0, shipped=0, received=units)
        record = pen(said).record
        headers = [(n, str(sequence).encode() if n == "ce_sequence" else value) for n, value in record.headers]
        return replace(record, headers=headers)

    levels = [level(1, 1), level(2, 2_000_000), level(3, 2_000_001)]
    assert found_in(levels) == []
    [(_, what)] = found_in([*levels, level(4, 2_000_001)])
    assert what == "the message here repeats number 2000001 with another message"


def test_does_not_count_what_channels_number(three: list[Record]) -> None:
    by_a_channel = [
        at(record, 7, headers=[(name, b"web" if name == "ce_source" else value) for name, value in record.headers])
        for record in three[2:]
    ]

    assert found_in(by_a_channel) == []
