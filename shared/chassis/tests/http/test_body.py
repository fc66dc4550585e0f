"""A request's body is read as strictly as a message, and its errors keep their paths."""

import json
from datetime import datetime
from typing import Annotated

import pytest
from chassis.http.body import AsJson
from contracts.message import Moment, Quantity, Value
from pydantic import TypeAdapter, ValidationError


class Line(Value):
    quantity: Quantity


class Basket(Value):
    lines: tuple[Line, ...]
    at: Moment


BODY: TypeAdapter[Basket] = TypeAdapter(Annotated[Basket, AsJson])


def read(**fields: object) -> Basket:
    body = {"lines": [{"quantity": 2}], "at": "2026-01-05T12:00:00Z"} | fields
    return BODY.validate_python(json.dumps(body).encode())


def test_arrays_and_times_are_read_as_in_json() -> None:
    basket = read()
    assert basket.lines == (Line(quantity=2),)
    assert basket.at == datetime.fromisoformat("2026-01-05T12:00:00+00:00")


def test_a_number_in_quotes_is_refused_with_its_path() -> None:
    with pytest.raises(ValidationError) as caught:
        read(lines=[{"quantity": "2"}])
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("lines", 0, "quantity"), "int_type")
    ]


def test_half_a_character_is_refused_as_bad_json() -> None:
    with pytest.raises(ValidationError) as caught:
        read(at="\ud800")
    assert [error["type"] for error in caught.value.errors()] == ["json_invalid"]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        BODY.validate_python(b"no JSON")
    assert [error["type"] for error in caught.value.errors()] == ["json_invalid"]
