"""Hostile records without end: what channels, people and our own services write, damaged."""

from collections.abc import Iterator, Sequence
from random import Random

from contracts.message import Message, Reason

from tests.fuzz.from_schema import bodies
from tests.fuzz.hostile import Record, damaged, example, good_record

OF_EACH = 8
"""So many bodies are made from the schema of each message; how they are damaged differs every time."""
OF_THE_WHOLE = frozenset({"json_invalid", "malformed_json", "model_type", "too_large", "more"})
"""The codes of reasons that no field could be named for."""


def battery(models: Sequence[type[Message]], seed: int) -> Iterator[Record]:
    """Damaged records of these types, the same for the same seed; orders and movements are all different ones."""
    random = Random(seed)  # noqa: S311 - a test's dice
    made = {model: [example(model), *bodies(model, OF_EACH)] for model in models}
    number = 0
    while True:
        number += 1
        model = random.choice(models)
        body = dict(random.choice(made[model]))
        for name in ("number", "movement_id"):
            if name in body:
                body[name] = f"h{number}"
        yield damaged(good_record(body, model, f"hostile-{number}"), random)


def names_what_is_wrong(reasons: Sequence[Reason]) -> bool:
    """Whether each reason names a field or a header, or says why none could be named."""
    return bool(reasons) and all(_names(reason) for reason in reasons)


def _names(reason: Reason) -> bool:
    is_named = bool(reason.path) or reason.code in OF_THE_WHOLE
    return bool(reason.message) and (is_named or reason.code == "extra_forbidden")  # a field's name may be empty
