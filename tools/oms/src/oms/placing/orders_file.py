"""Files of orders: NDJSON, one message a line, as a channel would send it."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.message import Revision
from pydantic import TypeAdapter, ValidationError

REVISION = TypeAdapter[int](Revision)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds a JSON object; whether it makes sense is for the order service to say."""

    number: int
    """Where it stands, from 1."""
    body: bytes
    """The line as it came."""
    fields: dict[str, Any]
    """The same, read."""

    @property
    def order_id(self) -> str | None:
        """Which order it is about, if it says so."""
        channel, number, order_id = (self.fields.get(name) for name in ("channel", "number", "order_id"))
        if isinstance(channel, str) and isinstance(number, str):
            return f"{channel}:{number}"
        return order_id if isinstance(order_id, str) else None

    @property
    def revision(self) -> int:
        """Which placing of the order it is; what is none the order service takes for the first."""
        try:
            return REVISION.validate_python(self.fields.get("revision", 1), strict=True)
        except ValidationError:
            return 1


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be sent."""

    number: int
    reason: str


def read(lines: Iterable[bytes]) -> Iterator[Line | BadLine]:
    """Each line that is not blank, without reading ahead, so that it can come from a pipe."""
    for number, raw in enumerate(lines, start=1):
        body = (raw.removeprefix(BOM_UTF8) if number == 1 else raw).strip()  # as some programs begin every text
        if not body:
            continue
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            yield BadLine(number, f"no JSON: {error}")
            continue
        if isinstance(fields, dict):
            yield Line(number, body, fields)
        else:
            yield BadLine(number, "expected a JSON object, one order a line")
