"""What the audit says."""

from dataclasses import dataclass
from typing import Literal

Check = Literal[
    "links",
    "lives",
    "messages",
    "stock",
    "money",
    "once",
    "endings",
    "decisions",
    "delivery",
    "dead letters",
    "store",
]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that must not be."""

    check: Check
    """The invariant that does not hold."""
    place: str
    """Where it shows first: `topic/partition/offset`, or a document as `database/kind/id`."""
    about: str
    """The order, the item in its location, or the link."""
    what: str
    """What is wrong, in a sentence."""


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """Something that has yet to come to its end."""

    about: str
    """The order, or whatever waits."""
    state: str
    """How far it is, in a word or two."""
    why: str
    """What it waits for."""
