"""JSON from outside, read so that no two readers can understand it differently, and so that nobody is held up by it."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

from contracts.reasons import path_of, refuse

MOST_OPEN_BODY_BYTES = 1_048_576
"""The longest body that is read from channels and people: a thousand times an ordinary order."""
MOST_OPEN_VALUES = 20_000
"""The most values that such a body may have, counted by its commas: twice as many as the longest order has. Saying what
is wrong with each of hundreds of thousands would take seconds in which nobody else is served."""
TOO_LARGE = "too_large"
"""The code of the reason that a body was not looked at."""


def refuse_oversized(body: bytes | bytearray) -> None:
    """Refuse a body from outside that is larger than any good one, without looking into it. Raises Unreadable."""
    if len(body) > MOST_OPEN_BODY_BYTES:
        refuse("", TOO_LARGE, f"the body has {len(body)} bytes; at most {MOST_OPEN_BODY_BYTES} are read here")
    if (values := body.count(b",")) > MOST_OPEN_VALUES:
        refuse("", TOO_LARGE, f"the body has {values} values; at most {MOST_OPEN_VALUES} are read here")


def refuse_ambiguous(body: bytes | bytearray) -> None:
    """Refuse JSON that two readers could understand differently (RFC 8259): duplicate names, NaN, other than UTF-8.

    Raises Unreadable, also where the body is no JSON at all.
    """
    try:
        text = body.decode()
        try:
            STRICT.decode(text)
        except _StandsTwice:
            refuse(_what_stands_twice(text), "duplicate_key", "this field stands twice in the same object")
    except ValueError as error:
        refuse("", "malformed_json", f"the body is no JSON: {error}")
    except RecursionError:
        refuse("", "malformed_json", "the body is nested too deeply")


class _StandsTwice(Exception):  # noqa: N818 - named for what is there
    """A name stands twice in one object."""


class _Object(list[tuple[str, Any]]):
    """A JSON object as it is written, with names that stand there twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _StandsTwice
    return read


def _what_stands_twice(text: str) -> str:
    """The path of the field. Places are not kept while JSON is read, so it is read again for this one."""
    whole = json.loads(text, object_pairs_hook=_Object, parse_constant=_no_constant, parse_int=str, parse_float=str)
    return path_of(_twice_in(whole)).encode(errors="replace").decode()


def _twice_in(value: Any) -> tuple[str | int, ...]:  # noqa: ANN401 - JSON
    """Where the first field is that stands twice in its object; nothing where there is none."""
    if not isinstance(value, list):
        return ()
    parts: Sequence[tuple[str | int, Any]] = value if isinstance(value, _Object) else [*enumerate(value)]
    counted = Counter(name for name, _ in parts)
    for name, inner in parts:
        if counted[name] > 1:
            return (name,)
        if found := _twice_in(inner):
            return (name, *found)
    return ()


def _no_constant(name: str) -> NoReturn:
    refuse("", "malformed_json", f"{name} is no JSON number")


# Numbers are left as they are written: how large one may be is for its field to say.
STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=str, parse_float=str)
"""Made once: making it takes as long as reading a small body with it."""
