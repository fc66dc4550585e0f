"""The JSON Schema of a message, with the topic and the key that it goes by."""

import json
from typing import Any

from contracts.message import Message
from contracts.topics import TOPIC_OF

Schema = dict[str, Any]


def schema_of(model: type[Message]) -> Schema:
    """JSON Schema 2020-12. `x-topic` and `x-key` say where the message goes: that is promised like its fields."""
    topic = TOPIC_OF[model]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-topic": topic.name,
        "x-key": "/".join(topic.key),
        **model.model_json_schema(),
    }


def as_text(document: object) -> str:
    """JSON as it is kept in the repository."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
