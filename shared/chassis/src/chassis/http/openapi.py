"""What OpenAPI says of a route beyond what FastAPI reads off it: how it refuses, what its headers say, what its streams
are made of.
"""

from typing import Any

from contracts.message import Reason
from pydantic import BaseModel

Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a route, by their statuses."""

STREAMED = "application/x-ndjson"
EVENTS = "text/event-stream"

PROBLEM = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {"type": "array", "items": Reason.model_json_schema()},
            },
            "required": ["type", "title", "status"],
        }
    }
}
ERRORS: Responses = {
    "4XX": {
        "description": "What is wrong with the request; `errors` names each field and each unknown query parameter.",
        "content": PROBLEM,
    },
    "5XX": {"description": "What is wrong with the service; with 503, try again.", "content": PROBLEM},
}
"""How every route may fail."""

WHY = {
    400: "The body is not JSON, or JSON that two readers could understand differently, or ended too early.",
    404: "There is no such thing, or none that is readable yet.",
    409: "It does not fit what is known; `errors` says why.",
    410: "It is no longer there.",
    413: "The body is too large.",
    415: "The body is not declared to be of the media type that is read here, or is packed (`Content-Encoding`).",
    422: "`errors` names each field that is wrong, and each query parameter that is unknown.",
}
LOCATION = {
    "description": "Where to see what comes of it.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
}
UNAVAILABLE: Responses = {
    503: {
        "description": "Something that is needed does not answer; what was sent may have been taken. Try again.",
        "headers": {"Retry-After": {"description": "After how many seconds.", "schema": {"type": "integer"}}},
        "content": PROBLEM,
    }
}
"""How every route of a service's own may fail."""


def refused(*statuses: int) -> Responses:
    """The problems with these statuses, each of them in WHY."""
    return {status: {"description": WHY[status], "content": PROBLEM} for status in statuses}


def taken(*refusals: int) -> Responses:
    """Of a route that reads a body and makes a message of it: that, or how it refuses, also with these statuses."""
    said = {"description": "It is on its way.", "headers": {"Location": LOCATION}}
    return {202: said, **refused(400, *refusals, 413, 415, 422)}


def lines_of(*models: type[BaseModel]) -> dict[str, Any]:
    """The content of a body that holds one of these a line; each is to be a body or a `response_model` somewhere."""
    return {STREAMED: {"itemSchema": {"anyOf": [_named(model) for model in models]}}}


def streaming(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself, one of these a line, and bounds each line."""
    return {"requestBody": {"required": True, "content": lines_of(model)}}


def events_of(model: type[BaseModel]) -> Responses:
    """Of a route that answers with server-sent events, of which each holds one of these, and which has this as its
    `response_model`.
    """
    data = {"contentMediaType": "application/json", "contentSchema": _named(model)}
    return {200: {"content": {EVENTS: {"itemSchema": {"properties": {"data": data}, "required": ["data"]}}}}}


def _named(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
