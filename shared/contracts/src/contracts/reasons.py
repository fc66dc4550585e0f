"""Why something cannot be read: every field that is wrong, by its path, in words that are the same everywhere."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from contracts.message import Reason

CARD_NUMBER = "card_number"
"""The code of the reason that somebody sent card data; it is never left out, for others must know not to copy it."""
MOST_REASONS_TOLD = 100


class Unreadable(Exception):  # noqa: N818 - named for what the record is
    """A record that is no message of its topic; `reasons` names every field that is wrong."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__(
            "; ".join(f"{reason.path}: {reason.message}" if reason.path else reason.message for reason in reasons)
        )
        self.reasons = reasons


def refuse(path: str, code: str, message: str) -> NoReturn:
    raise Unreadable((Reason(path=path, code=code, message=message[:1000]),)) from None


def path_of(location: Iterable[str | int]) -> str:
    """A field's path as people write it: `lines[2].quantity`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:300]


def reasons_of(error: ValidationError) -> tuple[Reason, ...]:
    """Why a body did not fit its type, each reason with the path of the field."""
    return reasons_from(error.errors(include_url=False, include_input=False, include_context=False))


def reasons_from(problems: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """Pydantic's problems in our words; of very many, the first hundred."""
    problems = [problem for problem in problems if not _is_echo(problem, problems)]
    reasons = [
        Reason(path=path_of(problem["loc"]), code=_code(problem["type"]), message=problem["msg"][:1000])
        for problem in sorted(problems, key=lambda problem: problem["type"] != CARD_NUMBER)[:MOST_REASONS_TOLD]
    ]
    if len(problems) > MOST_REASONS_TOLD:
        left_out = f"and {len(problems) - MOST_REASONS_TOLD} more fields are wrong"
        reasons.append(Reason(path="", code="more", message=left_out))
    return tuple(reasons)


def _code(type_: str) -> str:
    return re.sub("[^a-z0-9_]", "_", type_.lower()[:64])


def _is_echo(problem: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list counts as too short only because its elements are wrong, which is said already."""
    if problem["type"] != "too_short":
        return False
    place = problem["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in problems)
