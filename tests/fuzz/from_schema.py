"""Messages as a stranger would make them, who knows nothing of us but the JSON Schemas that we publish."""

from collections.abc import Callable, Mapping
from typing import Any

from contracts.message import Message
from contracts.schema import Schema, schema_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Json = Any
Make = Callable[[Schema, Schema], st.SearchStrategy[Json]]

MOST_ITEMS = 3
FEW_CHARACTERS = 40
"""Long enough for what is to be damaged; how long a text may be is tried by the damage."""


def from_schema(model: type[Message]) -> st.SearchStrategy[dict[str, Json]]:
    """Bodies that fit the schema of the message. Raises KeyError for what no schema of ours has had so far."""
    schema = schema_of(model)
    return _of(schema, schema)


def bodies(model: type[Message], many: int) -> list[dict[str, Json]]:
    """So many bodies that fit the schema of the message, the same in every run."""
    made: list[dict[str, Json]] = []

    @settings(
        max_examples=many,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(from_schema(model))
    def keep(body: dict[str, Json]) -> None:
        made.append(body)

    keep()
    return made


def _of(part: Schema, whole: Schema) -> st.SearchStrategy[Json]:
    if "$ref" in part:
        return _of(whole["$defs"][part["$ref"].removeprefix("#/$defs/")], whole)
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "anyOf" in part:
        return st.one_of([_of(choice, whole) for choice in part["anyOf"]])
    return MAKERS[part["type"]](part, whole)


def _object(part: Schema, whole: Schema) -> st.SearchStrategy[Json]:
    fields = {name: _of(field, whole) for name, field in part["properties"].items()}
    required = set(part.get("required", ()))
    return st.fixed_dictionaries(
        {name: made for name, made in fields.items() if name in required},
        optional={name: made for name, made in fields.items() if name not in required},
    )


def _array(part: Schema, whole: Schema) -> st.SearchStrategy[Json]:
    fewest = part.get("minItems", 0)
    return st.lists(_of(part["items"], whole), min_size=fewest, max_size=max(fewest, MOST_ITEMS))


def _string(part: Schema, _: Schema) -> st.SearchStrategy[Json]:
    if "format" in part:
        return FORMATS[part["format"]]
    fewest, most = part.get("minLength", 0), part.get("maxLength", FEW_CHARACTERS)
    if "pattern" not in part:
        return st.text(min_size=fewest, max_size=min(most, FEW_CHARACTERS))
    # Python's `$` lets a line's end follow, JSON Schema's does not.
    made = st.from_regex(part["pattern"].removesuffix("$") + r"\Z", alphabet=st.characters(codec="utf-8"))
    return made.filter(lambda text: fewest <= len(text) <= most)


def _integer(part: Schema, _: Schema) -> st.SearchStrategy[Json]:
    return st.integers(part.get("minimum"), part.get("maximum"))


MAKERS: Mapping[str, Make] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "boolean": lambda _, __: st.booleans(),
    "null": lambda _, __: st.none(),
}

FORMATS: Mapping[str, st.SearchStrategy[str]] = {
    "date": st.dates().map(lambda day: day.isoformat()),
    "date-time": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
}
