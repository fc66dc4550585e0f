"""The JSON Schema of a message, with the topic and the key that it goes by."""

import json
from collections.abc import Iterator
from typing import Any

from contracts.message import Message
from contracts.topics import TOPIC_OF

Schema = dict[str, Any]

FOLLOWED = {"$defs", "anyOf", "items", "properties"}
"""The keywords that hold other schemas, and are followed when an old schema is compared with a new one."""
VALUES = {"const", "default", "enum", "examples"}
"""The keywords that hold values, which may be objects, but are no schemas."""


def schema_of(model: type[Message]) -> Schema:
    """JSON Schema 2020-12. `x-topic` and `x-key` say where the message goes: that is promised like its fields.

    Raises TypeError, with every field concerned, where a later change of the model could not be seen in its schema.
    """
    topic = TOPIC_OF[model]
    schema = model.model_json_schema()
    if found := [*_incomparable(schema, model.__name__)]:
        raise TypeError(f"changes of these could not be seen later: {'; '.join(found)}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-topic": topic.name,
        "x-key": "/".join(topic.key),
        **schema,
    }


def _incomparable(node: Schema, path: str) -> Iterator[str]:
    """What `contracts.compatibility` would not see a change of, and what to write in its place."""
    if node.get("type") == "object" and "properties" not in node:
        yield f"{path} is a dict: make it a tuple of models that name the key and the value"
        return
    for keyword, value in node.items():
        parts = value if isinstance(value, list) else [value]
        if keyword not in FOLLOWED | VALUES and any(isinstance(part, dict) for part in parts):
            yield f"{path} has the keyword {keyword}: make it of models, tuples of one type, and unions without it"
    for name, part in node.get("properties", {}).items():
        if name not in node.get("required", ()) and "default" not in part:
            yield f"{path}.{name} has a default that its schema does not show: write it as a value"
        yield from _incomparable(part, f"{path}.{name}")
    for name, part in node.get("$defs", {}).items():
        yield from _incomparable(part, name)
    for part in [*node.get("anyOf", ()), *([node["items"]] if "items" in node else ())]:
        yield from _incomparable(part, path)


def as_text(document: object) -> str:
    """JSON as it is kept in the repository."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
