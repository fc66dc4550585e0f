"""What no one can read: it is refused with a reason that names the field, and what comes after it goes on."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.record.util import calc_crc32c
from chassis.kafka.partitioner import home_of
from contracts.order import CancellationRefused, OrderCompleted, OrderPlaced, OrderRejected
from contracts.topics import PARTITIONS, TOPICS, Topic
from oms.fleet import Addresses
from oms.placing.sending import letter

from tests.integration.shop import CHANNEL, Headers, Shop, headers_of
from tests.integration.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

INTAKE = "order.intake"
CARD_NUMBER = "4111111111111111"
HUGE = 10**400
LONG = "x" * 20_000_000
Fields = dict[str, Any]


def without(name: str) -> Callable[[Fields], Fields]:
    return lambda fields: {key: value for key, value in fields.items() if key != name}


def having(**changes: object) -> Callable[[Fields], Fields]:
    return lambda fields: fields | changes


def in_line(**changes: object) -> Callable[[Fields], Fields]:
    return lambda fields: fields | {"lines": [fields["lines"][0] | changes]}


# An order of which it can be read which order it is: it is rejected, and the channel hears of it with every reason.

REJECTED: dict[str, tuple[Callable[[Fields], Fields], str, str]] = {
    "a missing field": (without("customer"), "customer", "missing"),
    "no lines at all": (having(lines=[]), "lines", "nothing_to_ship"),
    "lines of another type": (having(lines="one mug"), "lines", "tuple_type"),
    "an unknown field": (having(colour="red"), "colour", "extra_forbidden"),
    "an unknown field in a line": (in_line(colour="red"), "lines[0].colour", "extra_forbidden"),
    "a number as text": (in_line(quantity="2"), "lines[0].quantity", "int_type"),
    "a fraction of a unit": (in_line(quantity=1.5), "lines[0].quantity", "int_type"),
    "nothing of an item": (in_line(quantity=0), "lines[0].quantity", "greater_than_equal"),
    "fewer than nothing": (in_line(quantity=-3), "lines[0].quantity", "greater_than_equal"),
    "a negative price": (in_line(unit_price=-1), "lines[0].unit_price", "greater_than_equal"),
    "a huge integer": (having(total=HUGE), "total", "less_than_equal"),
    "a huge quantity": (in_line(quantity=HUGE), "lines[0].quantity", "less_than_equal"),
    "an exponent": (having(total=1e300), "total", "int_type"),
    "a total that does not add up": (having(total=1), "total", "total_mismatch"),
    "an unknown currency": (having(currency="XXL"), "currency", "invalidcurrency"),
    "an unknown country": (
        lambda fields: fields | {"shipping_address": fields["shipping_address"] | {"country": "ZZ"}},
        "shipping_address.country",
        "country_alpha2",
    ),
    "a control character": (
        lambda fields: fields | {"customer": {"id": "c-1", "name": "Ann\u0000\u001b[31m"}},
        "customer.name",
        "string_pattern_mismatch",
    ),
    "null": (having(payment_token=None), "payment_token", "string_type"),
    "a card number for a token": (having(payment_token=CARD_NUMBER), "payment_token", "card_number"),
    "a name that is far too long": (having(special_instructions="x" * 3000), "special_instructions", "string_too_long"),
    "a time without its offset": (having(placed_at="2026-01-05T12:00:00"), "placed_at", "timezone_aware"),
}


@pytest.mark.parametrize(("change", "path", "code"), REJECTED.values(), ids=REJECTED.keys())
async def test_an_order_that_makes_no_sense_is_rejected_with_the_field_named(
    shop: Shop, witness: Witness, change: Callable[[Fields], Fields], path: str, code: str
) -> None:
    fields = change(shop.fields({shop.item(): 2}))
    order_id = f"{fields['channel']}:{fields['number']}"

    await among_good_orders(shop, order_id.encode(), json.dumps(fields).encode(), headers_of("OrderPlaced"))

    rejected = await witness.hears(order_id, OrderRejected)
    assert (path, code) in {(reason.path, reason.code) for reason in rejected.reasons}


async def test_an_order_is_rejected_with_all_of_its_reasons_at_once(shop: Shop, witness: Witness) -> None:
    fields = shop.fields({shop.item(): 2}) | {"currency": "XXL", "colour": "red", "total": 1}
    del fields["customer"]

    await among_good_orders(shop, KEY, json.dumps(fields).encode(), headers_of("OrderPlaced"))

    rejected = await witness.hears(f"{fields['channel']}:{fields['number']}", OrderRejected)
    assert {reason.path for reason in rejected.reasons} == {"currency", "colour", "total", "customer"}


# A cancellation of which it can be read which order it is about: it is refused, and the order goes on.


@pytest.mark.parametrize(
    ("changes", "path", "code", "asked"),
    [
        ({"reason": "x" * 201}, "reason", "string_too_long", "Ann"),
        ({"reason": "wrong\nsize"}, "reason", "string_pattern_mismatch", "Ann"),
        ({"requested_by": None}, "requested_by", "string_type", CHANNEL),
    ],
    ids=["a reason that is too long", "two lines", "nobody"],
)
async def test_a_cancellation_that_makes_no_sense_is_refused_with_the_field_named(
    shop: Shop, witness: Witness, changes: Fields, path: str, code: str, asked: str
) -> None:
    order = await shop.place({await shop.stocked(LON=1): 1})
    wish = {"order_id": order, "reason": "wrong size", "requested_by": "Ann"} | changes

    await among_good_orders(shop, order.encode(), json.dumps(wish).encode(), headers_of("CancelOrder"))

    refused = await witness.hears(order, CancellationRefused)
    assert (refused.reason.path, refused.reason.code, refused.requested_by) == (path, code, asked)
    await witness.hears(order, OrderCompleted)


# JSON that pydantic never sees as such: written by hand.


@pytest.mark.parametrize(
    ("old", "new", "path", "code"),
    [
        ('"currency": "GBP"', '"currency": "GBP", "currency": "USD"', "currency", "duplicate_key"),
        ('"total": 800', '"total": NaN', "total", "int_type"),
        ('"total": 800', '"total": -Infinity', "total", "int_type"),
    ],
    ids=["a field that stands twice", "not a number", "infinity"],
)
async def test_json_that_can_be_read_in_two_ways_is_rejected_with_the_field_named(
    shop: Shop, witness: Witness, old: str, new: str, path: str, code: str
) -> None:
    fields = shop.fields({shop.item(): 2})
    order_id = f"{fields['channel']}:{fields['number']}"
    body = json.dumps(fields)
    assert old in body

    await among_good_orders(shop, order_id.encode(), body.replace(old, new).encode(), headers_of("OrderPlaced"))

    rejected = await witness.hears(order_id, OrderRejected)
    assert (path, code) in {(reason.path, reason.code) for reason in rejected.reasons}, rejected.reasons


# What does not even say which order it is: a dead letter.

KEY = b"tests:unread"
GOOD = headers_of("OrderPlaced")


@dataclass(frozen=True)
class Unread:
    """A record that nobody can read, and what is said of it."""

    body: bytes | None
    headers: Headers
    path: str
    code: str


def replaced(name: str, value: bytes | None) -> Headers:
    return [(key, before if key != name else value or b"") for key, before in GOOD if key != name or value is not None]


UNREAD = {
    "no body": Unread(None, GOOD, "", "json_invalid"),
    "an empty body": Unread(b"", GOOD, "", "json_invalid"),
    "no JSON": Unread(b"<order/>", GOOD, "", "json_invalid"),
    "JSON that breaks off": Unread(b'{"channel": "tests", "number":', GOOD, "", "json_invalid"),
    "bytes that are no text": Unread(b'{"channel": "\xff\xfe"}', GOOD, "", "json_invalid"),
    "a list": Unread(b"[]", GOOD, "", "model_type"),
    "a number": Unread(b"12", GOOD, "", "model_type"),
    "brackets without end": Unread(b"[" * 500_000, GOOD, "", "json_invalid"),
    "no number": Unread(b'{"channel": "tests"}', GOOD, "number", "missing"),
    "a channel that is none": Unread(
        b'{"channel": "T E S T", "number": "1"}', GOOD, "channel", "string_pattern_mismatch"
    ),
    "two numbers": Unread(b'{"channel": "tests", "number": "1", "number": "2"}', GOOD, "customer", "missing"),
    "twenty megabytes": Unread(json.dumps({"channel": "tests", "note": LONG}).encode(), GOOD, "", "too_large"),
    "no ce_type": Unread(b"{}", replaced("ce_type", None), "ce_type", "missing"),
    "an unknown ce_type": Unread(b"{}", replaced("ce_type", b"OrderDreamed"), "ce_type", "unknown_type"),
    "the ce_type of another topic": Unread(b"{}", replaced("ce_type", b"StockReserved"), "ce_type", "unknown_type"),
    "a ce_type that is no text": Unread(b"{}", replaced("ce_type", b"\xff\xfe"), "ce_type", "unknown_type"),
    "no ce_id": Unread(b"{}", replaced("ce_id", None), "ce_id", "missing"),
    "no ce_source": Unread(b"{}", replaced("ce_source", None), "ce_source", "missing"),
    "no headers at all": Unread(b"{}", [], "ce_specversion", "missing"),
    "another specversion": Unread(b"{}", replaced("ce_specversion", b"0.3"), "ce_specversion", "unknown_version"),
}


@pytest.mark.parametrize("unread", UNREAD.values(), ids=UNREAD.keys())
async def test_what_no_one_can_read_becomes_a_dead_letter_with_the_reason_and_the_rest_goes_on(
    shop: Shop, witness: Witness, unread: Unread
) -> None:
    place = await among_good_orders(shop, KEY, unread.body, unread.headers)

    buried = await witness.buried(place)
    assert (unread.path, unread.code) in {(reason.path, reason.code) for reason in buried.reasons}, buried.reasons
    assert buried.key == KEY
    assert (buried.value or b"") == (unread.body or b"" if unread.code != "too_large" else b"")
    assert dict(unread.headers).items() <= buried.headers.items()
    assert buried.headers["dead_letter_service"] == b"order"


# Around the message.


async def test_a_record_that_is_too_large_for_kafka_is_refused_to_its_sender(shop: Shop) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        await shop.send_raw(INTAKE, os.urandom(20_000_000), key=KEY, headers=GOOD)


@pytest.mark.parametrize(
    "extra",
    [
        ("note", None),
        ("note", b"\xff\xfe"),
        ("ce_sequence", b"12345678901234567890"),
        ("ce_sequence", b"7"),
        ("traceparent", b"00-nonsense"),
    ],
    ids=["null", "binary", "a huge sequence", "a sequence of its own", "a broken trace"],
)
async def test_an_order_with_strange_headers_is_taken_like_any_other(
    shop: Shop, witness: Witness, extra: tuple[str, bytes | None]
) -> None:
    order = shop.order({await shop.stocked(LON=1): 1})
    one = letter(order)

    headers: Headers = [*one.headers, extra]
    await among_good_orders(shop, one.key, one.value, headers)

    await witness.hears(order.order_id, OrderCompleted)


async def test_a_header_whose_name_is_no_text_harms_nobody(stack: Addresses, shop: Shop, witness: Witness) -> None:
    mug = await shop.stocked(LON=3)
    orders = [order_that_lives_in(shop, 0, mug) for _ in range(3)]

    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as careless:
        batch = careless.create_batch()
        for order in orders:
            one = letter(order)
            batch.append(timestamp=None, key=one.key, value=one.value, headers=[*one.headers, ("shop", b"x")])
        good = bytes(batch._build())
        bad = good.replace(b"shop", b"sh\xff\xfe")
        batch._buffer = bytearray(bad[:17] + struct.pack(">I", calc_crc32c(bad[21:])) + bad[21:])
        await (await careless.send_batch(batch, INTAKE, partition=0))

    assert bad != good
    for order in orders:
        await witness.hears(order.order_id, OrderCompleted)


@pytest.mark.parametrize("packed", ["gzip", "lz4", "zstd"])
async def test_a_record_that_would_fill_the_memory_when_it_is_unpacked_is_buried_unread(
    stack: Addresses, shop: Shop, witness: Witness, packed: str
) -> None:
    """Kafka counts a hundred megabytes of zeros as they are packed, and takes them."""
    order = shop.order({await shop.stocked(LON=1): 1})
    partition = home_of(order.order_id, PARTITIONS)

    async with AIOKafkaProducer(
        bootstrap_servers=stack.kafka, compression_type=packed, max_request_size=200_000_000
    ) as hostile:
        there = await hostile.send_and_wait(INTAKE, bytes(100_000_000), partition=partition)
    await shop.send(order)

    buried = await witness.buried(f"{INTAKE}/{partition}/{there.offset}")
    assert [reason.code for reason in buried.reasons] == ["unreadable"]
    assert "unpacked" in buried.reasons[0].message
    await witness.hears(order.order_id, OrderCompleted)


@pytest.mark.parametrize(
    "filler", [os.urandom(1_000_000), os.urandom(1000) * 20_000], ids=["one megabyte", "twenty megabytes compressed"]
)
@pytest.mark.parametrize("elsewhere", [0, 1], ids=["where it lives", "elsewhere"])
async def test_headers_that_are_far_too_large_harm_nobody_else(
    shop: Shop, witness: Witness, filler: bytes, elsewhere: int
) -> None:
    """Kafka takes them; what is sent on, or buried, must not grow too large for it."""
    order = shop.order({await shop.stocked(LON=1): 1})
    one = letter(order)
    partition = (home_of(order.order_id, PARTITIONS) + elsewhere) % PARTITIONS

    headers = [*one.headers, ("filler", filler)]
    place = await shop.send_raw(one.topic, one.value, key=one.key, headers=headers, partition=partition)

    await a_good_order_goes_through(shop, partition)
    await witness.until(
        lambda: next(witness.said(order.order_id, OrderCompleted), None) or witness.buried_at(place),
        lambda: f"an answer to {place}",
    )


# Every other topic.


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.readers], ids=lambda topic: topic.name)
async def test_every_service_buries_what_it_cannot_read_on_each_of_its_topics_and_goes_on(
    shop: Shop, witness: Witness, topic: Topic
) -> None:
    order = shop.order({await shop.stocked(LON=1): 1})
    partition = home_of(order.order_id, PARTITIONS)
    known = topic.messages[0].__name__

    places = [
        await shop.send_raw(topic.name, body, key=b"any", headers=headers, partition=partition)
        for body, headers in [
            (b"{", headers_of(known)),
            (b"{}", headers_of(known)),
            (b'{"order_id": NaN}', headers_of(known)),
            (None, headers_of(known)),
            (b"{}", headers_of("Unheard")),
            (b"{}", []),
        ]
    ]
    await shop.send(order)

    for place in places:
        buried = await witness.buried(place)
        assert buried.reasons
        assert buried.headers["dead_letter_service"].decode() in topic.readers
    await witness.hears(order.order_id, OrderCompleted)


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"lines": []}, "lines", "too_short"),
        ({"lines": [{"sku": "MUG", "quantity": 0}]}, "lines[0].quantity", "greater_than_equal"),
        ({"lines": [{"sku": "MUG", "quantity": HUGE}]}, "lines[0].quantity", "less_than_equal"),
        ({"lines": [{"sku": "a mug", "quantity": 1}]}, "lines[0].sku", "string_pattern_mismatch"),
        ({"location": "nowhere at all"}, "location", "string_pattern_mismatch"),
        ({"colour": "red"}, "colour", "extra_forbidden"),
        ({"lines": [{"sku": "MUG", "quantity": 1, "bin": "A-01"}]}, "lines[0].bin", "extra_forbidden"),
    ],
)
async def test_goods_that_make_no_sense_never_arrive(
    shop: Shop, witness: Witness, change: Fields, path: str, code: str
) -> None:
    mug = shop.item()
    delivery = {"movement_id": f"bad-{mug}", "location": "LON", "lines": [{"sku": mug, "quantity": 1}]} | change

    place = await shop.send_raw(
        "inventory.movements", json.dumps(delivery).encode(), key=b"LON", headers=headers_of("ReceiveStock")
    )

    buried = await witness.buried(place)
    assert (path, code) in {(reason.path, reason.code) for reason in buried.reasons}
    await shop.deliver(mug, LON=2)
    await witness.stands("LON", mug, available=2)


async def among_good_orders(shop: Shop, key: bytes | None, body: bytes | None, headers: Headers) -> str:
    """Send a record between two good orders on the same partition, and wait for these; says where the record is."""
    partition = home_of((key or b"").decode(), PARTITIONS)
    mug = await shop.stocked(LON=2)
    before, after = (order_that_lives_in(shop, partition, mug) for _ in range(2))
    await shop.send(before)
    place = await shop.send_raw(INTAKE, body, key=key, headers=headers, partition=partition)
    await shop.send(after)
    for order in (before, after):
        await shop.witness.hears(order.order_id, OrderCompleted)
    return place


async def a_good_order_goes_through(shop: Shop, partition: int) -> None:
    order = order_that_lives_in(shop, partition, await shop.stocked(LON=1))
    await shop.send(order)
    await shop.witness.hears(order.order_id, OrderCompleted)


def order_that_lives_in(shop: Shop, partition: int, sku: str) -> OrderPlaced:
    return next(order for _ in count() if home_of((order := shop.order({sku: 1})).order_id, PARTITIONS) == partition)
