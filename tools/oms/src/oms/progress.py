"""Who hears how far something is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Hears what is done, and how much of it."""

    begin: Callable[[str, int], None]
    """What is done next, and how much of it there is."""
    advance: Callable[[int], None]


UNHEARD = Progress(lambda *_: None, lambda _: None)
"""For when nobody wants to hear."""
