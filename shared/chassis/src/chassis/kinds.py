"""Every kind of document that a service keeps: its own, and the engine's."""

from collections.abc import Iterable

from chassis.dead_letter import DeadLetter
from chassis.decision import Document
from chassis.gap import Gap
from chassis.parking import Parked
from chassis.repair import Repair
from chassis.stuck import Stuck

STUCK: tuple[type[Stuck], ...] = (Gap, Parked, DeadLetter)
"""The kinds of what waits for a person, the one of which there may be the most last."""
OF_THE_ENGINE: tuple[type[Document], ...] = (*STUCK, Repair)


def kinds_of(documents: Iterable[type[Document]]) -> dict[str, type[Document]]:
    """The models by the names of their kinds."""
    return {model.kind: model for model in (*OF_THE_ENGINE, *documents)}
