"""A hundred ways to be wrong, combined at random: a record is read as what it says, or refused by name."""

import os
from itertools import islice

from contracts.reasons import Unreadable
from contracts.topics import MESSAGES, TOPIC_OF
from contracts.wire import Envelope, decode, encode
from order.validation import salvage

from tests.fuzz.battery import battery, names_what_is_wrong
from tests.fuzz.hostile import Record

RECORDS = int(os.environ.get("THROUGHLINE_FUZZ_READ", "20000"))


def test_a_hostile_record_is_read_as_what_it_says_or_refused_by_name() -> None:
    refused = 0
    for record in islice(battery(tuple(MESSAGES.values()), seed=1), RECORDS):
        outcome = read(record)
        if isinstance(outcome, Unreadable):
            refused += 1
            assert is_refused_by_name(record, outcome), (record, outcome)
        else:
            assert decode(written(outcome)).message == outcome.message, record
    assert RECORDS / 2 < refused < RECORDS


def read(record: Record) -> Envelope | Unreadable:
    try:
        return decode(record)
    except Unreadable as unreadable:
        return unreadable


def is_refused_by_name(record: Record, unreadable: Unreadable) -> bool:
    if not names_what_is_wrong(unreadable.reasons):
        return False
    rejected = salvage(record, unreadable.reasons) if record.topic == "order.intake" else None
    if rejected is not None and not names_what_is_wrong(rejected.reasons):
        return False
    return record.path is None or any(
        not reason.path or reason.path.startswith(record.path) or record.path.startswith(reason.path)
        for reason in unreadable.reasons
    )


def written(envelope: Envelope) -> Record:
    """The message as one of our own services would write it."""
    body, headers = encode(envelope)
    return Record(TOPIC_OF[type(envelope.message)].name, None, body, headers)
