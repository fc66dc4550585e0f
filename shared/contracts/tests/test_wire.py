"""A message on Kafka: what is written is read back, and what cannot be read says which field is wrong."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from contracts.inventory import ReceiveTransfer
from contracts.message import Message, SkuQuantity
from contracts.order import CancelOrder, OrderPlaced
from contracts.reasons import MOST_REASONS_TOLD, Unreadable
from contracts.record import Headers
from contracts.shipping import CancelShipment
from contracts.strict_json import MOST_OPEN_BODY_BYTES, refuse_ambiguous
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF, TOPICS, Topic
from contracts.wire import MOST_HEADER_CHARACTERS, Envelope, decode, encode, link_of, salvaged
from hypothesis import given, settings
from hypothesis import strategies as st

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HEADERS = {
    "ce_specversion": b"1.0",
    "ce_type": b"CancelOrder",
    "ce_id": b"7f3a",
    "ce_source": b"webshop",
    "ce_time": b"2026-01-05T12:00:00+00:00",
    "content-type": b"application/json",
}
CANCEL = {"order_id": "webshop:1001", "reason": "Ordered twice", "requested_by": "Ann"}
ADDRESS = {"name": "Ann", "street": "High Street 1", "city": "Leeds", "country": "GB"}
PLACED: dict[str, Any] = {
    "channel": "webshop",
    "number": "1001",
    "customer": {"id": "c-1", "name": "Ann"},
    "shipping_address": ADDRESS,
    "billing_address": ADDRESS,
    "lines": [{"sku": "mug", "quantity": 2, "unit_price": 250}],
    "total": 500,
    "currency": "GBP",
    "payment_token": "tok_ok",
}


@dataclass(frozen=True, slots=True)
class Record:
    topic: str = "order.intake"
    value: bytes | None = json.dumps(CANCEL).encode()
    headers: Headers = tuple(HEADERS.items())
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_767_614_400_000
    key: bytes | None = None

    def but(self, **headers: bytes | None) -> "Record":
        """The record with these headers changed, or gone where there is None."""
        changed = dict(self.headers) | headers
        return replace(self, headers=tuple((name, value) for name, value in changed.items() if value is not None))


def placed(**changes: object) -> Record:
    return Record(value=json.dumps(PLACED | changes).encode()).but(ce_type=b"OrderPlaced")


def shipment(body: bytes) -> Record:
    """On a topic that only our own services write."""
    return Record(topic="shipping.commands", value=body).but(ce_type=b"CancelShipment")


def refused(record: Record) -> list[tuple[str, str]]:
    """Path and code of every reason."""
    with pytest.raises(Unreadable) as caught:
        decode(record)
    assert str(caught.value)
    return [(reason.path, reason.code) for reason in caught.value.reasons]


# What is written is read back.


def json_of(  # noqa: C901, PLR0911 - one case for each thing that a schema can say
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> st.SearchStrategy[Any]:
    """JSON that a schema of ours describes."""

    def described(part: Mapping[str, Any]) -> st.SearchStrategy[Any]:
        return json_of(part, definitions)

    match schema:
        case {"$ref": str(name)}:
            return described(definitions[name.removeprefix("#/$defs/")])
        case {"anyOf": parts}:
            return st.one_of([described(part) for part in parts])
        case {"enum": values}:
            return st.sampled_from(values)
        case {"const": value}:
            return st.just(value)
        case {"type": "null"}:
            return st.none()
        case {"type": "boolean"}:
            return st.booleans()
        case {"type": "integer"}:
            return st.integers(schema["minimum"], schema["maximum"])
        case {"type": "array"}:
            return st.lists(described(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case {"type": "object"}:
            fields = {name: described(part) for name, part in schema["properties"].items()}
            required = {name: fields.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=fields)
        case {"type": "string"}:
            return text_of(schema)
        case _:
            msg = f"nothing is known to generate for {schema}"
            raise NotImplementedError(msg)


def text_of(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    match schema.get("format"), schema.get("pattern"):
        case "date-time", _:
            return st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
        case "date", _:
            return st.dates().map(str)
        case _, r"^\w{2}$":
            return st.sampled_from(["DE", "GB", "NO"])  # the countries' list is not in the schema
        case _, None:
            return st.text(st.characters(codec="utf-8"), max_size=schema["maxLength"])
        case _, pattern:
            least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
            return st.from_regex(pattern, fullmatch=True).filter(lambda text: least <= len(text) <= most)


def messages(model: type[Message]) -> st.SearchStrategy[Message]:
    schema = model.model_json_schema()
    described = json_of(schema, schema.get("$defs", {}))
    return described.map(lambda body: model.model_validate_json(json.dumps(body)))


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
TIMES = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize("model", MESSAGES.values(), ids=lambda model: model.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back(model: type[Message], data: st.DataObject) -> None:
    topic = TOPIC_OF[model]
    written = Envelope(
        message=data.draw(messages(model)),
        id=data.draw(TEXT),
        source=f"{topic.writers[0]}/3@5a5a",
        time=data.draw(TIMES),
        correlation_id=data.draw(st.just("") | TEXT),
        causation_id=data.draw(st.just("") | TEXT),
        sequence=None if topic.open else data.draw(st.none() | st.integers(0, 10**18 - 1)),
        traceparent=data.draw(st.sampled_from([None, f"00-{'1' * 32}-{'2' * 16}-01"])),
    )
    body, headers = encode(written)
    record = Record(topic.name, body, headers)
    assert decode(record) == written
    assert link_of(record) == (None if written.sequence is None else (written.source, written.sequence))
    assert encode(decode(record)) == (body, headers)
    assert topic.key_of(written.message) != ""


def test_a_default_is_left_out_where_an_older_reader_might_not_know_the_field() -> None:
    body, _ = encode(decode(placed()))
    assert json.loads(body) == PLACED


def test_unknown_fields_of_our_own_services_are_passed_over() -> None:
    body = {"order_id": "webshop:1001", "revision": 1, "attempt": 1, "learned_later": True}
    assert decode(shipment(json.dumps(body).encode())).message == CancelShipment(
        order_id="webshop:1001", revision=1, attempt=1
    )


# Headers.


@pytest.mark.parametrize("name", ["ce_specversion", "ce_type", "ce_id", "ce_source"])
@pytest.mark.parametrize("value", [None, b""])
def test_a_missing_header_is_named(name: str, value: bytes | None) -> None:
    assert refused(Record().but(**{name: value})) == [(name, "missing")]


def test_all_missing_headers_are_named_at_once() -> None:
    assert refused(Record(headers=())) == [
        ("ce_specversion", "missing"),
        ("ce_type", "missing"),
        ("ce_id", "missing"),
        ("ce_source", "missing"),
    ]


def test_a_header_without_a_value_counts_as_missing() -> None:
    nothing: Any = None  # what aiokafka makes of a null
    headers = {**HEADERS, "ce_id": nothing}
    assert refused(Record(headers=tuple(headers.items()))) == [("ce_id", "missing")]
    assert decode(Record(headers=[*HEADERS.items(), ("ce_correlationid", nothing)])).correlation_id == ""


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ce_specversion", b"0.3", "unknown_version"),
        ("ce_specversion", b"1.0 ", "unknown_version"),
        ("ce_type", b"OrderInvented", "unknown_type"),
        ("ce_type", b"ReserveStock", "unknown_type"),
        ("ce_type", b"orderplaced", "unknown_type"),
        ("ce_type", b"\xff" * 10_000, "unknown_type"),
        ("ce_id", b"\xff\xfe", "malformed_header"),
        ("ce_id", b"x" * 513, "malformed_header"),
        ("ce_source", b"web\nshop", "malformed_header"),
        ("ce_source", b"\x00", "malformed_header"),
        ("ce_correlationid", b"\xc3", "malformed_header"),
        ("ce_causationid", b"a\tb", "malformed_header"),
        ("ce_time", b"yesterday", "malformed_header"),
        ("ce_time", b"2026-01-05T12:00:00", "malformed_header"),
        ("ce_time", b"0001-01-01T00:00:00+14:00", "malformed_header"),
        ("ce_time", b"\xff", "malformed_header"),
    ],
)
def test_a_malformed_header_is_named(name: str, value: bytes, code: str) -> None:
    assert refused(Record().but(**{name: value})) == [(name, code)]


def test_malformed_headers_are_named_beside_what_is_wrong_with_the_body() -> None:
    record = replace(Record().but(ce_id=b"x" * 513, ce_time=b"yesterday"), value=json.dumps(CANCEL | {"x": 1}).encode())
    assert refused(record) == [
        ("ce_id", "malformed_header"),
        ("ce_time", "malformed_header"),
        ("x", "extra_forbidden"),
    ]


def test_all_malformed_headers_are_named_at_once() -> None:
    record = Record().but(ce_id=b"x" * 513, ce_source=b"web\nshop", ce_time=b"yesterday")
    assert refused(record) == [
        ("ce_id", "malformed_header"),
        ("ce_source", "malformed_header"),
        ("ce_time", "malformed_header"),
    ]
    assert refused(record.but(ce_type=b"OrderInvented")) == [*refused(record), ("ce_type", "unknown_type")]


def test_an_unknown_type_is_told_what_its_topic_carries() -> None:
    with pytest.raises(Unreadable, match=r"'ReserveStock' is not carried by order\.intake, which carries Order"):
        decode(Record().but(ce_type=b"ReserveStock"))


def test_a_time_may_have_any_offset_and_is_read_as_utc() -> None:
    assert decode(Record().but(ce_time=b"2026-01-05T13:00:00+01:00")).time == NOON
    assert decode(Record().but(ce_time=b"2026-01-05T12:00:00Z")).time == NOON


def test_a_time_may_be_written_as_rfc_3339_allows() -> None:
    for text in ("2026-01-05T12:00:00Z", "2026-01-05t12:00:00z", "2026-01-05 12:00:00.000+00:00"):
        assert decode(Record().but(ce_time=text.encode())).time == NOON
        order = decode(placed(placed_at=text)).message
        assert isinstance(order, OrderPlaced)
        assert order.placed_at == NOON


def test_without_a_time_it_happened_when_kafka_got_it() -> None:
    assert decode(Record().but(ce_time=None)).time == NOON


@pytest.mark.parametrize("timestamp", [2**63 - 1, -(2**63), 10**15])
def test_a_timestamp_beyond_all_calendars_is_refused(timestamp: int) -> None:
    assert refused(replace(Record().but(ce_time=None), timestamp=timestamp)) == [("ce_time", "malformed_header")]


@pytest.mark.parametrize("value", [b"", b"00", b"00-" + b"g" * 32 + b"-" + b"2" * 16 + b"-01", b"\xff" * 55])
def test_a_malformed_traceparent_is_taken_for_none(value: bytes) -> None:
    assert decode(Record().but(traceparent=value)).traceparent is None


@pytest.mark.parametrize(
    ("source", "sequence"),
    [
        (b"webshop", b"7"),
        (b"payment/0@5a5a", b"7"),
        (b"order/0", b"7"),
        (b"order/0@5a5a", b"-7"),
        (b"order/0@5a5a", b"7.0"),
        (b"order/0@5a5a", b"9" * 19),
        (b"order/0@5a5a", b"9" * 5000),
        (b"order/0@5a5a", b""),
        (b"order/\xff@5a5a", b"7"),
    ],
)
def test_a_number_counts_only_when_a_partition_of_the_owner_gave_it(source: bytes, sequence: bytes) -> None:
    command = shipment(b"{}")
    assert link_of(command.but(ce_source=source, ce_sequence=sequence)) is None
    assert link_of(command.but(ce_source=b"order/0@5a5a", ce_sequence=b"7")) == ("order/0@5a5a", 7)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.open], ids=lambda topic: topic.name)
def test_where_anybody_may_write_nobody_is_believed_to_count(topic: Topic) -> None:
    for service in topic.writers:
        signed = Record(topic=topic.name).but(ce_source=f"{service}/0@5a5a".encode(), ce_sequence=b"7")
        assert link_of(signed) is None


def test_a_header_that_stands_twice_is_refused_by_its_name() -> None:
    twice = replace(Record(), headers=(*Record().headers, ("ce_id", b"8"), ("ce_type", b"CancelOrder")))
    assert refused(twice) == [("ce_type", "duplicate_header"), ("ce_id", "duplicate_header")]


def test_a_header_that_is_nobodys_business_may_stand_twice() -> None:
    assert decode(replace(Record(), headers=(*Record().headers, ("note", b"a"), ("note", b"b"))))


# What is understood of a record that is no message.


def test_what_is_salvaged_keeps_all_that_its_headers_say_but_its_number() -> None:
    long = b"i" * MOST_HEADER_CHARACTERS
    good = shipment(b'{"order_id": "webshop:1001", "revision": 1, "attempt": 1}').but(
        ce_id=long, ce_source=b"order/0@5a5a", ce_sequence=b"7", ce_correlationid=b"webshop:1001", ce_causationid=long
    )
    read = decode(good)
    assert read.sequence == 7
    assert salvaged(replace(good, value=b"{"), read.message) == replace(read, sequence=None)


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_time", "ce_correlationid", "ce_causationid"])
def test_nothing_is_salvaged_of_what_cannot_be_named_as_a_cause(name: str) -> None:
    with pytest.raises(Unreadable) as caught:
        salvaged(Record(value=b"{").but(**{name: b"\xff"}), decode(Record()).message)
    assert [reason.path for reason in caught.value.reasons] == [name]


# Bodies.


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b'{"order_id": ', b"\xff\xfe", b"<order/>", b"\xef\xbb\xbf{}", b"'a'"]
)
@pytest.mark.parametrize("record", [Record(), shipment(b"")], ids=["open", "ours"])
def test_a_body_that_is_no_json_is_refused(record: Record, body: bytes | None) -> None:
    assert refused(replace(record, value=body)) == [("", "json_invalid")]


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"order"', b"true"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert refused(Record(value=body)) == [("", "model_type")]


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"total": "500"}, "total", "int_type"),
        ({"total": 500.0}, "total", "int_type"),
        ({"total": True}, "total", "int_type"),
        ({"total": None}, "total", "int_type"),
        ({"total": -1}, "total", "greater_than_equal"),
        ({"total": 10**12 + 1}, "total", "less_than_equal"),
        ({"total": 10**400}, "total", "less_than_equal"),
        ({"total": float("nan")}, "total", "int_type"),
        ({"total": float("inf")}, "total", "int_type"),
        ({"total": float("-inf")}, "total", "int_type"),
        ({"gift_wrap": True}, "gift_wrap", "extra_forbidden"),
        ({"number": "10 01"}, "number", "string_pattern_mismatch"),
        ({"number": "1001\n"}, "number", "string_pattern_mismatch"),
        ({"special_instructions": "ring\x00twice"}, "special_instructions", "string_pattern_mismatch"),
        ({"special_instructions": "x" * 2001}, "special_instructions", "string_too_long"),
        ({"currency": "XYZ"}, "currency", "invalidcurrency"),
        ({"placed_at": "2026-01-05T12:00:00+01:00"}, "placed_at", "value_error"),
        ({"placed_at": "2026-01-05T12:00:00"}, "placed_at", "timezone_aware"),
        ({"placed_at": 1767614400}, "placed_at", "datetime_type"),
        ({"placed_at": "20240101"}, "placed_at", "datetime_type"),
        ({"placed_at": "2024"}, "placed_at", "datetime_type"),
        ({"placed_at": "1767614400.5"}, "placed_at", "datetime_type"),
        ({"placed_at": "2026-01-05"}, "placed_at", "datetime_type"),
        ({"shipping_method": "drone"}, "shipping_method", "literal_error"),
        ({"lines": []}, "lines", "too_short"),
        ({"lines": {"0": {}}}, "lines", "tuple_type"),
        ({"lines": [{"sku": "mug", "quantity": 0, "unit_price": 1}]}, "lines[0].quantity", "greater_than_equal"),
        ({"lines": [{"sku": "mug", "quantity": 1, "unit_price": 1, "vat": 2}]}, "lines[0].vat", "extra_forbidden"),
        ({"shipping_address": ADDRESS | {"country": "ZZ"}}, "shipping_address.country", "country_alpha2"),
        ({"customer": {"id": "c-1"}}, "customer.name", "missing"),
    ],
)
def test_a_field_that_does_not_fit_is_named(changes: Mapping[str, object], path: str, code: str) -> None:
    """Programs go by these codes: they stay, also where the library that finds the mistakes gives them other ones."""
    assert refused(placed(**changes)) == [(path, code)]


@pytest.mark.parametrize(("type_", "to"), [(b"ReceiveStock", {}), (b"TransferStock", {"to_location": "MAN"})])
def test_an_unknown_field_within_a_line_of_goods_is_named(type_: bytes, to: dict[str, str]) -> None:
    lines = [{"sku": "MUG", "quantity": 1, "bin": "A-01"}]
    movement = {"movement_id": "m-1", "location": "LON", "lines": lines, **to}
    record = Record(topic="inventory.movements", value=json.dumps(movement).encode()).but(ce_type=type_)
    assert refused(record) == [("lines[0].bin", "extra_forbidden")]


def test_goods_that_one_location_sends_another_may_say_more_than_is_known() -> None:
    lines = [{"sku": "MUG", "quantity": 1, "bin": "A-01"}]
    movement = {"movement_id": "m-1", "location": "LON", "lines": lines}
    record = Record(topic="inventory.transfers", value=json.dumps(movement).encode()).but(ce_type=b"ReceiveTransfer")
    assert decode(record).message == ReceiveTransfer(
        movement_id="m-1", location="LON", lines=(SkuQuantity(sku="MUG", quantity=1),)
    )


def test_all_fields_that_do_not_fit_are_named_at_once() -> None:
    assert [path for path, _ in refused(placed(total="x", currency=3, gift=1))] == ["total", "currency", "gift"]


def test_a_body_of_hundreds_of_thousands_of_wrong_values_is_refused_before_each_is_looked_at() -> None:
    body = b'{"channel": "webshop", "number": "1", "lines": [' + b",".join([b"{}"] * 300_000) + b"]}"
    begun = time.process_time()
    assert refused(Record(value=body).but(ce_type=b"OrderPlaced")) == [("", "too_large")]
    assert time.process_time() - begun < 0.5


def test_the_longest_order_is_read() -> None:
    line = {"sku": "m" * 64, "quantity": 1, "unit_price": 1}
    texts = dict.fromkeys(("name", "street", "city", "region"), "," * 200)
    address = ADDRESS | texts
    longest = {"lines": [line] * 2000, "special_instructions": "," * 2000, "customer": {"id": "," * 128, "name": ",,,"}}
    assert decode(placed(**longest, shipping_address=address, billing_address=address)).message


def test_of_very_many_wrong_fields_the_first_hundred_are_named() -> None:
    reasons = refused(Record(value=json.dumps({f"field_{n}": n for n in range(15_000)}).encode()))
    assert len(reasons) == MOST_REASONS_TOLD + 1
    assert reasons[-1] == ("", "more")


def test_a_field_that_stands_twice_is_named() -> None:
    twice = b'{"order_id": "a:1", "reason": "r", "requested_by": "Ann", "reason": "s"}'
    assert refused(Record(value=twice)) == [("reason", "duplicate_key")]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"lines": [{"sku": "a"}, {"sku": "b", "quantity": 1, "sku": "c"}]}', "lines[1].sku"),
        (b'{"a": [[], [{"b": {"c": 1, "c": {}}}]]}', "a[1][0].b.c"),
        (b'[1, {"": 1, "": 2}]', "[1]."),
        (b'{"a": {"\\ud800": 1, "\\ud800": 1}}', "a.?"),
        (b'{"' + b"n" * 1000 + b'": 1, "' + b"n" * 1000 + b'": 2}', "n" * 300),
    ],
    ids=["in a line", "deep", "without a name", "half a character", "long"],
)
def test_a_field_that_stands_twice_is_named_by_its_path(body: bytes, path: str) -> None:
    with pytest.raises(Unreadable) as caught:
        refuse_ambiguous(body)
    assert [(reason.path, reason.code) for reason in caught.value.reasons] == [(path, "duplicate_key")]


def test_what_is_no_json_after_a_field_that_stands_twice_is_no_json() -> None:
    with pytest.raises(Unreadable) as caught:
        refuse_ambiguous(b'{"a": 1, "b": {"c": 1, "c": 2}')
    assert [(reason.path, reason.code) for reason in caught.value.reasons] == [("", "malformed_json")]


@pytest.mark.parametrize("opening", [b"[", b'{"reason": '])
@pytest.mark.parametrize("record", [Record(), shipment(b"")], ids=["open", "ours"])
def test_deep_nesting_is_refused(record: Record, opening: bytes) -> None:
    assert refused(replace(record, value=opening * 50_000)) == [("", "json_invalid")]


def test_half_a_character_is_refused() -> None:
    assert refused(Record(value=b'{"reason": "\\ud800"}')) == [("", "json_invalid")]


def test_a_very_long_body_from_outside_is_refused_unread() -> None:
    assert refused(Record(value=b" " * 20_000_000)) == [("", "too_large")]
    padded = json.dumps(CANCEL).encode().ljust(MOST_OPEN_BODY_BYTES)
    assert isinstance(decode(Record(value=padded)).message, CancelOrder)


def test_json_is_checked_for_ambiguity_whatever_its_type() -> None:
    for body in (
        b'{"a": {"b": 1, "b": 2}}',
        b"NaN",
        b"[-Infinity]",
        b"{",
        b"[" * 100_000,
        b'{"\\ud800": 1, "\\ud800": 1}',
    ):
        with pytest.raises(Unreadable):
            refuse_ambiguous(body)
    refuse_ambiguous(b'{"a": {"b": 1}, "b": ' + b"9" * 10_000 + b"}")


# Anything at all.

ODD = st.binary(max_size=40) | st.sampled_from([b"NaN", b"9" * 5000, b"\x00", b"\xed\xa0\x80", b"1e999", b"[" * 5000])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CANCEL, *PLACED]) | st.text(), inner),
    max_leaves=8,
)


def reads_or_refuses(record: Record) -> None:
    try:
        envelope = decode(record)
    except Unreadable as unreadable:
        if not unreadable.reasons:
            pytest.fail("it was refused without a reason")
    else:
        assert type(envelope.message) in BY_NAME[record.topic].messages
    link_of(record)


@given(
    topic=st.sampled_from(sorted(BY_NAME)),
    headers=st.lists(st.tuples(st.sampled_from([*HEADERS, "ce_sequence", "traceparent"]) | st.text(), ODD)),
    body=st.none() | ODD,
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
def test_any_record_is_read_or_refused(
    topic: str, headers: list[tuple[str, bytes]], body: bytes | None, timestamp: int
) -> None:
    reads_or_refuses(Record(topic, body, headers, timestamp=timestamp))


@given(name=st.sampled_from([*HEADERS, "ce_sequence", "ce_correlationid", "ce_causationid", "traceparent"]), value=ODD)
def test_any_header_is_read_or_refused(name: str, value: bytes) -> None:
    reads_or_refuses(Record().but(**{name: value}))


@given(type_=st.sampled_from([*MESSAGES]), body=JSON)
def test_any_json_is_read_or_refused(type_: str, body: object) -> None:
    topic = TOPIC_OF[MESSAGES[type_]].name
    reads_or_refuses(Record(topic, json.dumps(body).encode()).but(ce_type=type_.encode()))


@given(field=st.sampled_from([*PLACED, "placed_at", "shipping_method", "special_instructions"]), value=JSON)
def test_any_value_of_any_field_is_read_or_refused(field: str, value: object) -> None:
    reads_or_refuses(placed(**{field: value}))


@given(place=st.integers(0, 400), noise=ODD)
def test_any_garbled_body_is_read_or_refused(place: int, noise: bytes) -> None:
    body = placed().value or b""
    reads_or_refuses(replace(placed(), value=body[:place] + noise + body[place + len(noise) :]))
