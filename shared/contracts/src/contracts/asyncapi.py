"""An AsyncAPI 3 document for each service, derived from the table of topics and the models."""

from importlib.metadata import version
from typing import Any

from contracts.dead_letter import FROM, REASONS, SERVICE, TIME, TRACEBACK
from contracts.message import Message
from contracts.topics import EVERY_SERVICE, PARTITIONS, TOPIC_OF, TOPICS, Topic
from contracts.wire import FORWARDED, REQUIRED_HEADERS

SCHEMAS = "../../shared/contracts/schemas"
"""Where the schemas of the messages are, as seen from the documents."""

HEADERS = {
    "ce_specversion": "The version of CloudEvents: `1.0`.",
    "ce_type": "The name of the message; it says how the body is to be read.",
    "ce_id": "Unique within the source.",
    "ce_source": (
        "Who wrote it: `<service>/<partition>@<incarnation>`; `<service>/api` where it came over HTTP; `oms`; or a "
        "channel's own name."
    ),
    "ce_time": "When it was written, RFC 3339 with an offset.",
    "ce_correlationid": "What it belongs to: the order, where there is one.",
    "ce_causationid": (
        "What it follows from: the id of a message; `call:<id>` for the answer to a call, as "
        "`call:web:1001/1/1/authorize`; or `alarm:<document>`. Left out where nothing on the log caused it."
    ),
    "ce_sequence": "Counts along the link from the source to this partition of the topic; channels leave it out.",
    "traceparent": "W3C trace context.",
    FORWARDED: "`<partition>/<offset>` of the record that this copies, such as `2/117`; on open topics only.",
}
ON_STRAYS = (
    "Its reader copies a record that is in the wrong partition to that of its key, with the same `ce_id` and a header "
    f"`{FORWARDED}`."
)
DEAD_LETTER_HEADERS = {
    REASONS: "Why it could not be handled: a JSON list of `{path, code, message}`.",
    FROM: "Where it was: `<topic>/<partition>/<offset>`.",
    SERVICE: "The service that could not handle it.",
    TIME: "When, RFC 3339.",
    TRACEBACK: "Where the service failed, if it was a bug.",
}


def document_of(service: str) -> dict[str, Any]:
    """What a service receives and sends. Payloads refer to the schemas in the repository."""
    receives = [topic for topic in TOPICS if service in topic.readers]
    sends = [topic for topic in TOPICS if service in topic.writers]
    topics = [topic for topic in TOPICS if topic in receives or topic in sends]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Throughline: {service}",
            "version": version("throughline-contracts"),
            "description": "Every message is a CloudEvents 1.0 Kafka message in binary mode with a JSON body.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            **{topic.name: _channel(topic) for topic in topics},
            **{topic.dead_letter: _dead_letter_channel(topic) for topic in receives},
        },
        "operations": {
            **{f"receive.{topic.name}": _operation("receive", topic.name) for topic in receives},
            **{f"send.{topic.name}": _operation("send", topic.name) for topic in sends},
            **{f"send.{topic.dead_letter}": _operation("send", topic.dead_letter) for topic in receives},
        },
        "components": {
            "messages": {
                **{model.__name__: _message(model) for topic in topics for model in topic.messages},
                "DeadLetter": {
                    "summary": "A record as it came, and why it could not be handled.",
                    "headers": _headers(DEAD_LETTER_HEADERS, list(DEAD_LETTER_HEADERS)[:4]),
                    "payload": {
                        "description": "The body as it came; left out when it is very long or holds card data."
                    },
                },
            },
            "messageTraits": {
                "CloudEvent": {
                    "contentType": "application/json",
                    "headers": _headers(HEADERS, [*REQUIRED_HEADERS]),
                    "correlationId": {"location": "$message.header#/ce_correlationid"},
                }
            },
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    owner = "every service" if topic.owner == EVERY_SERVICE else topic.owner
    writers = f"Written by {owner}{', and by channels and people' if topic.open else ''}."
    place = ", and the message names its partition itself" if topic.addressed else ""
    strays = f" {ON_STRAYS}" if topic.open and not topic.addressed else ""
    configuration: dict[str, Any] = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if not topic.compacted:
        configuration["retention.ms"] = -1
    return {
        "address": topic.name,
        "description": f"{writers} The key is {'/'.join(topic.key)}{place}.{strays}",
        "messages": {model.__name__: _reference("components/messages", model.__name__) for model in topic.messages},
        "bindings": {"kafka": {"partitions": PARTITIONS, "topicConfiguration": configuration}},
    }


def _dead_letter_channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.dead_letter,
        "description": f"Records of {topic.name} that could not be handled.",
        "messages": {"DeadLetter": _reference("components/messages", "DeadLetter")},
        "bindings": {"kafka": {"partitions": PARTITIONS}},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": _reference("channels", channel)}


def _message(model: type[Message]) -> dict[str, Any]:
    key = "/".join(TOPIC_OF[model].key)
    return {
        "name": model.__name__,
        "summary": model.__doc__,
        "traits": [_reference("components/messageTraits", "CloudEvent")],
        "payload": {"$ref": f"{SCHEMAS}/{model.__name__}.json"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
    }


def _headers(descriptions: dict[str, str], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": said} for name, said in descriptions.items()},
        "required": required,
    }


def _reference(place: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/{place}/{name}"}
