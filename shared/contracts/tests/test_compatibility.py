"""A change that would break somebody is found and named; one that breaks nobody is let through."""

import re
from typing import Annotated, Any, Literal

import pytest
from contracts.compatibility import breaks
from contracts.message import FromOutside, Message, Value
from contracts.schema import Schema, schema_of
from contracts.topics import BY_NAME, MESSAGES, TOPIC_OF
from pydantic import Field, create_model

Fields = dict[str, Any]


def lines(base: type[Value] = Value, **changes: object) -> Any:  # noqa: ANN401 - definitions of fields
    fields: Fields = {
        "sku": (Annotated[str, Field(pattern=r"^[A-Z]+$", max_length=10)], ...),
        "quantity": (Annotated[int, Field(ge=1, le=100)], ...),
    }
    line = create_model("Line", __base__=base, **(fields | changes))
    return Annotated[tuple[line, ...], Field(min_length=1, max_length=50)], ...


FIELDS: Fields = {
    "order_id": (str, ...),
    "amount": (Annotated[int, Field(ge=0, le=1000)], ...),
    "mode": (Literal["fast", "slow"], "slow"),
    "sort": (Literal["a"], "a"),
    "note": (str, ""),
    "at": (Annotated[str, Field(max_length=30)] | None, None),
    "lines": lines(),
}


def sent(
    base: type[Value] = Value, without: str = "", topic: str = "t", key: str = "order_id", **changes: object
) -> Schema:
    """The schema of a message as it is today, but for these changes."""
    fields: Fields = {name: field for name, field in (FIELDS | changes).items() if name != without}
    return {"x-topic": topic, "x-key": key, **create_model("Sent", __base__=base, **fields).model_json_schema()}


def broken(new: Schema | None, *, old: Schema | None = None, open_topic: bool = False, held: bool = False) -> list[str]:
    """What breaks, as `field: change`."""
    return [
        str(one).removeprefix("Sent").lstrip(".: ").partition(" (")[0]
        for one in breaks("Sent", old or sent(), new, open_topic=open_topic, held=held)
    ]


NARROWED = {
    "note: the field was removed": sent(without="note"),
    "order_id: the field was removed": sent(without="order_id"),
    "customer: a required field was added": sent(customer=(str, ...)),
    "note: the field is now required": sent(note=(str, ...)),
    "amount: type was 'integer', is 'string'": sent(amount=(str, ...)),
    "amount: maximum was 1000, is 999": sent(amount=(Annotated[int, Field(ge=0, le=999)], ...)),
    "amount: minimum was 0, is 1": sent(amount=(Annotated[int, Field(ge=1, le=1000)], ...)),
    "note: maxLength was not limited, is 200": sent(note=(Annotated[str, Field(max_length=200)], "")),
    "note: pattern was not limited, is '^[a-z]*$'": sent(note=(Annotated[str, Field(pattern="^[a-z]*$")], "")),
    "mode: enum lost ['fast'] and gained []": sent(mode=(Literal["slow"], "slow")),
    "note: enum was not limited, is one of 2 values": sent(note=(Literal["", "gift"], "")),
    "mode: default was 'slow', is 'fast'": sent(mode=(Literal["fast", "slow"], "fast")),
    "at: type was 'string or null', is 'string'": sent(at=(Annotated[str, Field(max_length=30)], "")),
    "at: maxLength was 30, is 29": sent(at=(Annotated[str, Field(max_length=29)] | None, None)),
    "lines[].sku: pattern was '^[A-Z]+$', is '^[A-Z]*$'": sent(
        lines=lines(sku=(Annotated[str, Field(pattern=r"^[A-Z]*$", max_length=10)], ...))
    ),
    "lines[].quantity: maximum was 100, is 10": sent(lines=lines(quantity=(Annotated[int, Field(ge=1, le=10)], ...))),
    "lines[].price: a required field was added": sent(lines=lines(price=(int, ...))),
    "unknown fields are now refused": sent(FromOutside),
    "lines[]: unknown fields are now refused": sent(lines=lines(FromOutside)),
    "the topic was t, is u": sent(topic="u"),
    "the key was order_id, is order_id/at": sent(key="order_id/at"),
    "the message was removed": None,
}

WIDENED = {
    "amount: maximum was 1000, is 1001": sent(amount=(Annotated[int, Field(ge=0, le=1001)], ...)),
    "amount: maximum was 1000, is not limited": sent(amount=(Annotated[int, Field(ge=0)], ...)),
    "mode: enum lost [] and gained ['airborne']": sent(mode=(Literal["fast", "slow", "airborne"], "slow")),
    "sort: enum lost [] and gained ['b']": sent(sort=(Literal["a", "b"], "a")),
    "amount: type was 'integer', is 'integer or null'": sent(amount=(Annotated[int, Field(ge=0, le=1000)] | None, ...)),
    "order_id: the field is no longer required": sent(order_id=(str, "")),
}

HARMLESS = {
    "an optional field was added": sent(gift=(bool, False)),
    "an optional field was added in a line": sent(lines=lines(gift=(bool, False))),
    "another order of fields": {**sent(), "properties": dict(reversed(sent()["properties"].items()))},
    "another description": sent(note=(Annotated[str, Field(description="What the customer says")], "")),
    "one value, said differently": sent(sort=(Annotated[str, Field(json_schema_extra={"const": "a"})], "a")),
}


@pytest.mark.parametrize(("change", "new"), NARROWED.items(), ids=NARROWED)
@pytest.mark.parametrize("open_topic", [True, False], ids=["open", "ours"])
def test_what_was_once_written_must_remain_readable(change: str, new: Schema | None, open_topic: bool) -> None:
    assert change in broken(new, open_topic=open_topic)


@pytest.mark.parametrize(("change", "new"), WIDENED.items(), ids=WIDENED)
def test_what_an_older_reader_would_refuse_breaks_only_where_others_read(change: str, new: Schema) -> None:
    assert broken(new) == [change]
    assert broken(new, open_topic=True) == []


@pytest.mark.parametrize(("change", "new"), WIDENED.items(), ids=WIDENED)
def test_what_an_older_instance_could_not_read_in_a_document_breaks_on_open_topics_too(
    change: str, new: Schema
) -> None:
    assert broken(new, open_topic=True, held=True) == [change]


def test_a_new_field_is_no_break_in_documents_whose_readers_pass_over_what_they_do_not_know() -> None:
    old = sent(FromOutside, lines=lines(FromOutside))
    new = sent(FromOutside, lines=lines(FromOutside, gift=(bool, False)), gift=(bool, False))
    assert broken(new, old=old, open_topic=True, held=True) == []


@pytest.mark.parametrize("new", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("open_topic", [True, False], ids=["open", "ours"])
def test_a_change_that_breaks_nobody_is_let_through(new: Schema, open_topic: bool) -> None:
    assert broken(new, open_topic=open_topic) == []


def test_a_renamed_field_is_a_field_removed_and_another_added() -> None:
    renamed = sent(without="order_id", order=(str, ...))
    assert broken(renamed) == ["order: a required field was added", "order_id: the field was removed"]


def test_older_readers_that_refuse_unknown_fields_are_broken_by_a_new_one() -> None:
    old, new = sent(lines=lines(base=FromOutside)), sent(lines=lines(base=FromOutside, gift=(bool, False)))
    assert broken(new, old=old) == ["lines[].gift: a field was added where unknown fields are refused"]
    assert broken(new, old=old, open_topic=True) == []


def test_every_break_is_found_at_once() -> None:
    new = sent(without="note", amount=(str, ...), lines=lines(sku=(int, ...)))
    assert broken(new, open_topic=True) == [
        "amount: type was 'integer', is 'string'",
        "lines[].sku: type was 'string', is 'integer'",
        "note: the field was removed",
    ]


def test_a_break_says_who_is_harmed() -> None:
    (removed,) = breaks("Sent", sent(), sent(without="note"), open_topic=True)
    (widened,) = breaks("Sent", sent(), sent(order_id=(str, "")), open_topic=False)
    (held,) = breaks("Sent", sent(), sent(order_id=(str, "")), open_topic=True, held=True)
    assert str(removed) == "Sent.note: the field was removed (a new reader refuses or loses what is on the log)"
    assert str(widened) == "Sent.order_id: the field is no longer required (a reader that is not upgraded refuses it)"
    assert str(held).endswith("no longer required (an older instance cannot read documents that hold it)")


def test_a_message_may_be_added_where_its_readers_can_be_upgraded_before_its_writers() -> None:
    assert breaks("Sent", None, sent(), open_topic=True) == ()
    (added,) = breaks("Sent", None, sent(), open_topic=False)
    assert str(added) == "Sent: the message was added (a reader that is not upgraded refuses it)"


class Cash(Value):
    by: Literal["cash"] = "cash"


class Card(Value):
    by: Literal["card"] = "card"


@pytest.mark.parametrize(
    ("field", "refusal"),
    [
        ((dict[str, int], {}), "Sent.what is a dict: "),
        ((tuple[dict[str, object], ...] | None, None), "Sent.what is a dict: "),
        ((tuple[int, str], (1, "")), "Sent.what has the keyword prefixItems: "),
        ((Annotated[Cash | Card, Field(discriminator="by")], ...), "Sent.what has the keyword oneOf: "),
        ((int, Field(default_factory=int)), "Sent.what has a default that its schema does not show: "),
        ((create_model("Inner", __base__=Value, prices=(dict[str, int], {})), ...), "Inner.prices is a dict: "),
    ],
)
def test_a_model_is_refused_whose_changes_could_not_be_seen(
    monkeypatch: pytest.MonkeyPatch,
    field: Any,  # noqa: ANN401 - the definition of a field
    refusal: str,
) -> None:
    model = create_model("Sent", __base__=Message, what=field)
    monkeypatch.setitem(TOPIC_OF, model, BY_NAME["order.events"])
    with pytest.raises(TypeError, match=re.escape(refusal)):
        schema_of(model)


def test_a_model_is_refused_with_all_that_could_not_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("Sent", __base__=Message, one=(dict[str, int], {}), other=(tuple[int, str], (1, "")))
    monkeypatch.setitem(TOPIC_OF, model, BY_NAME["order.events"])
    with pytest.raises(TypeError, match=r"Sent\.one is a dict.*; Sent\.other has the keyword prefixItems"):
        schema_of(model)


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_breaks_itself(name: str) -> None:
    schema = schema_of(MESSAGES[name])
    assert breaks(name, schema, schema, open_topic=TOPIC_OF[MESSAGES[name]].open) == ()
