"""What broken and hostile senders write: a good record, damaged in ways that have names, the same for the same seed."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from chassis.kafka.partitioner import home_of
from contracts.message import Message
from contracts.reasons import path_of
from contracts.topics import PARTITIONS, TOPIC_OF, TOPICS

Json = Any
Place = tuple[str | int, ...]
EXAMPLES = Path(__file__).parents[2] / "shared" / "contracts" / "examples"
HERE = "@here@"
"""Stands where raw bytes are put in, which no JSON writer would write."""
RARELY = 0.002


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a Kafka client writes it, and as one reads it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_767_614_400_000
    damage: str = ""
    """What was done to it."""
    path: str | None = None
    """The one field that was damaged, which a refusal must name; None where it was not one field."""


def good_record(body: Mapping[str, Json], model: type[Message], message_id: str) -> Record:
    """The message as a channel writes it, in the partition where it belongs."""
    topic = TOPIC_OF[model]
    named = {
        "order_id": f"{body.get('channel')}:{body.get('number')}"
    } | body  # an order says by two fields which it is
    key = "/".join(str(named[field]) for field in topic.key)
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", model.__name__.encode()),
        ("ce_id", message_id.encode()),
        ("ce_source", b"fuzz"),
        ("ce_time", b"2026-01-05T12:00:00+00:00"),
        ("content-type", b"application/json"),
    ]
    home = int(body["partition"]) % PARTITIONS if topic.addressed else home_of(key, PARTITIONS)
    return Record(topic.name, key.encode(), json.dumps(body).encode(), headers, home)


# Values.

VALUES: Sequence[bytes] = (
    *(b"null", b"true", b"[]", b"{}", b"0", b"-1", b"0.5", b"1.0", b"1e999", b"-0", b"NaN", b"Infinity", b"-Infinity"),
    *(b"9223372036854775808", b"9" * 400, b"9" * 5000, b"1" + b"0" * 12, b"01", b"+1", b"0x1", b"1_000"),
    *(b'""', b'"3"', b'" "', b'"\\u0000"', b'"\\u001b[31m"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\uffff"'),
    *(b'"\xff\xfe"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"tab\t"', b'"\xe2\x80\xae"', b'"\xd9\xa3"', b"'x'", b"x"),
    *(b'{"$gt": ""}', b'{"$where": "1"}', b'"$ne"', b'{"a.b": {"c.d": 1}}', b'{"__proto__": {}}', b'{"": 1}'),
    *(b'"${jndi:ldap://x}"', b'"\'; DROP TABLE orders; --"', b'"../../etc/passwd"', b'"<script>"', b'"=1+1"'),
    *(b'"0000-00-00T00:00:00Z"', b'"9999-12-31T23:59:59.999999999Z"', b'"2026-02-30T12:00:00Z"', b'"+275760-09-13"'),
    *(b'"2026-01-05T12:00:00"', b'"2026-01-05T12:00:00+14:00"', b'"1e10"', b'"4111 1111 1111 1111"', b"/* */ 1", b"1,"),
    b'{"a": 1, "a": 2}',
)
KEYS: Sequence[bytes] = (
    *(b'"$set"', b'"$where"', b'"a.b"', b'""', b'"\\u0000"', b'"__class__"', b'"\\ud800"', b'"\xff"', b'"\\u202e"'),
    *(b'"' + b"k" * 400 + b'"', b"name", b"1", b"null", b'"Channel"', b'" channel"', b'"channel\\u0000"'),
)
HEADER_VALUES: Sequence[bytes | None] = (
    *(None, b"", b" ", b"\xff\xfe", b"\x00", b"a\r\nb", b"\x1b[31m", b"x" * 513, b"x" * 20_000, b"0.3", b"null", b"{}"),
    *(b"OrderPlaced", b"StockReserved", b"orderplaced", b"OrderPlaced ", b"../OrderPlaced", b"object"),
    *(b"order/0@0", b"inventory/1@zz", b"inventory/00@a", b"order/9999999999@a", b"payment/-1@a", b"order/0@\xff"),
    *(b"0", b"-1", b"1", b"7", b"999999999999999999", b"1234567890123456789012", b"1e3", b"\xd9\xa3", b"1.0"),
    *(b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"2026-01-05T12:00:00", b"2026-W01", b"1767614400"),
    *(b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-ff-more", b"00-g"),
)
READ_HEADERS = (
    *("ce_specversion", "ce_type", "ce_id", "ce_source", "ce_time", "ce_correlationid", "ce_causationid"),
    *("ce_sequence", "traceparent", "content-type"),
)
OTHER_HEADERS = (
    *("forwarded_from", "dead_letter_reasons", "dead_letter_from", "dead_letter_service", "CE_TYPE", "ce_id\x00"),
    *("", "note", "ce_", "Ünïcode", "x" * 300),
)
TIMESTAMPS = (-1, 0, 1, 2**63 - 1, 253_402_300_800_000, 10**17)


def _value(random: Random) -> bytes:
    if random.random() < RARELY:
        return random.choice((_deep, _long, _wide))(random)
    return random.choice(VALUES)


def _deep(random: Random) -> bytes:
    depth = random.choice((100, 199, 201, 900, 990, 5000, 100_000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * depth + (b"1" + closing * depth if random.random() < 0.7 else b"")


def _long(random: Random) -> bytes:
    return b'"' + random.choice((b"x", b"\\u0041", "é".encode())) * random.choice((201, 5000, 200_000)) + b'"'


def _wide(random: Random) -> bytes:
    return b"[" + b",".join([random.choice((b"1", b"{}", b"[]", b'"x"'))] * random.choice((300, 3000, 60_000))) + b"]"


# Damage to one field.


def _places(tree: Json, here: Place = ()) -> Iterator[Place]:
    """Every value in the tree, but not the tree itself."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in inside:
        place = (*here, name)
        yield place
        yield from _places(value, place)


def _at(tree: Json, place: Place) -> Json:
    for part in place:
        tree = tree[part]
    return tree


def _written(tree: Json, raw: bytes) -> bytes:
    return json.dumps(tree).encode().replace(f'"{HERE}"'.encode(), raw, 1)


def _exchange(tree: Json, place: Place, random: Random) -> tuple[bytes, Place]:
    _at(tree, place[:-1])[place[-1]] = HERE
    return _written(tree, _value(random)), place


def _leave_out(tree: Json, place: Place, _: Random) -> tuple[bytes, Place]:
    del _at(tree, place[:-1])[place[-1]]
    return json.dumps(tree).encode(), place


def _repeat(tree: Json, place: Place, random: Random) -> tuple[bytes, Place]:
    """The value again and again where one was: in a list, or as one."""
    inside, times = _at(tree, place[:-1]), random.choice((2, 3, 50))
    if isinstance(inside, list):
        inside.extend([inside[-1]] * times)
        return json.dumps(tree).encode(), place[:-1]
    inside[place[-1]] = [inside[place[-1]]] * times
    return json.dumps(tree).encode(), place


def _add_unknown(tree: Json, place: Place, random: Random) -> tuple[bytes, Place]:
    """A field that nobody knows, beside this one."""
    inside = _at(tree, place[:-1])
    if isinstance(inside, list):
        inside.append(HERE)
        return _written(tree, _value(random)), (*place[:-1], len(inside) - 1)
    inside[HERE] = 1
    return _written(tree, random.choice(KEYS)), place[:-1]


def _say_twice(tree: Json, place: Place, random: Random) -> tuple[bytes, Place]:
    """The same field a second time, with another value."""
    inside, name = _at(tree, place[:-1]), place[-1]
    if isinstance(inside, list):
        return _exchange(tree, place, random)
    value = json.dumps(inside[name])
    inside[name] = HERE
    return _written(tree, f"{value}, {json.dumps(name)}: {value}".encode()), place


def _rename(tree: Json, place: Place, random: Random) -> tuple[bytes, Place]:
    inside = _at(tree, place[:-1])
    if isinstance(inside, list):
        return _exchange(tree, place, random)
    inside[HERE] = inside.pop(place[-1])
    return _written(tree, random.choice(KEYS)), place[:-1]


FIELD_DAMAGE: Mapping[str, Callable[[Json, Place, Random], tuple[bytes, Place]]] = {
    "a value exchanged": _exchange,
    "a value exchanged again": _exchange,  # twice, for there are the most ways of it
    "a field left out": _leave_out,
    "a value repeated": _repeat,
    "something unknown added": _add_unknown,
    "a field that stands twice": _say_twice,
    "a field renamed": _rename,
}


def _damage_field(record: Record, random: Random) -> Record:
    tree = json.loads(record.value or b"{}")
    places = list(_places(tree))
    name = random.choice(tuple(FIELD_DAMAGE))
    value, place = FIELD_DAMAGE[name](tree, random.choice(places), random)
    return replace(record, value=value, damage=name, path=path_of(place))


# Damage to the rest.


def _cut(body: bytes, random: Random) -> bytes:
    return body[: random.randrange(len(body))]


def _flip(body: bytes, random: Random) -> bytes:
    flipped = bytearray(body)
    for _ in range(random.choice((1, 1, 1, 8))):
        flipped[random.randrange(len(flipped))] = random.randrange(256)
    return bytes(flipped)


def _splice(body: bytes, random: Random) -> bytes:
    place = random.randrange(len(body) + 1)
    return body[:place] + random.choice((random.randbytes(3), b"\x00", b",", b"}", b'"', b"\\")) + body[place:]


BODY_DAMAGE: Mapping[str, Callable[[bytes, Random], bytes | None]] = {
    "cut off": _cut,
    "bytes changed": _flip,
    "bytes put in": _splice,
    "noise": lambda _, random: random.randbytes(random.choice((1, 20, 500))),
    "no body": lambda _, __: None,
    "an empty body": lambda _, __: b"",
    "a body of another type": lambda _, random: _value(random),
    "UTF-16": lambda body, _: body.decode(errors="replace").encode("utf-16"),
    "a byte order mark": lambda body, _: b"\xef\xbb\xbf" + body,
    "two bodies": lambda body, _: body + body,
    "packed by its sender": lambda body, _: gzip.compress(body, 1),
}


def _damage_body(record: Record, random: Random) -> Record:
    name = random.choice(tuple(BODY_DAMAGE))
    return replace(record, value=BODY_DAMAGE[name](record.value or b"{}", random), damage=name, path=None)


def _damage_headers(record: Record, random: Random) -> Record:
    headers = list(record.headers)
    name = random.choice(READ_HEADERS + OTHER_HEADERS if random.random() < 0.3 else READ_HEADERS)
    value = random.choice(HEADER_VALUES)
    match random.randrange(4):
        case 0:
            kept, damage = [header for header in headers if header[0] != name], "a header left out"
        case 1:
            kept, damage = [(key, value if key == name else old) for key, old in headers], "a header exchanged"
        case 2:
            kept, damage = [*headers, (name, value)], "a header added"
        case _:
            kept, damage = random.choice(([], headers[::-1], headers * 2, headers * 40)), "all headers changed"
    if damage != "all headers changed" and random.random() < 0.3:
        # What only our own services write: the number of a message on a link.
        source = random.choice((b"order/0@0", b"inventory/1@a1b2", b"fulfillment/2@f0"))
        kept = [*(header for header in kept if header[0] != "ce_source"), ("ce_source", source)]
        kept.append(("ce_sequence", random.choice((b"1", b"2", b"7", b"999999999999999999"))))
        damage = "a link forged"
    return replace(record, headers=kept, damage=damage, path=None)


def _misplace(record: Record, random: Random) -> Record:
    key = random.choice((None, b"", b"\xff", b"x" * 5000, b"order/1", record.key, record.key))
    match random.randrange(3):
        case 0:
            return replace(record, partition=random.randrange(PARTITIONS), key=key, damage="another partition")
        case 1:
            topic = random.choice([topic.name for topic in TOPICS if topic.open])
            return replace(record, topic=topic, key=key, damage="another topic")
        case _:
            return replace(record, timestamp=random.choice(TIMESTAMPS), key=key, damage="another time")


def damaged(good: Record, random: Random) -> Record:
    """The record, damaged in one way or, seldom, in two."""
    harm = random.choices((_damage_field, _damage_body, _damage_headers, _misplace), (50, 20, 23, 7))[0]
    once = harm(good, random)
    if random.random() < 0.1:
        twice = random.choice((_damage_body, _damage_headers, _misplace))(once, random)
        return replace(twice, damage=f"{once.damage}, and {twice.damage}", path=None)
    return once


def example(model: type[Message]) -> dict[str, Json]:
    """The body of the golden example of a message."""
    body: dict[str, Json] = json.loads((EXAMPLES / f"{model.__name__}.json").read_text())["body"]
    return body
