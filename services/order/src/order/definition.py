"""What a saga is made of: the words that the table in `saga` is written in."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from contracts.message import Message, Reason, SagaStep

from order.sourcing import Routes
from order.state import Order, Status, Task

Answer = Any
"""A message of the type that stands beside it in the table."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an installation decides for itself."""

    definition: int
    """The number of the saga's definition that new orders begin with."""
    routes: Routes
    reserve_within: timedelta
    authorize_within: timedelta
    fulfill_within: timedelta
    ship_within: timedelta
    backorder_within: timedelta
    undo_again_after: timedelta
    forward_again_after: timedelta


Span = Callable[[Policy], timedelta]


@dataclass(frozen=True, slots=True)
class Do:
    """What a step asks for."""

    commands: Callable[[Order], tuple[SagaStep, ...]]
    within: Span
    """The deadline. A step that can be undone has failed then; one that cannot is asked for again."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer that means success."""

    answer: type[SagaStep]
    fits: Callable[[Order, Answer], bool] = lambda _order, _answer: True
    """Whether it answers what was asked; if not, it is passed over, and the deadline decides."""
    partly: Callable[[Answer], bool] = lambda _answer: False
    """Whether it is only a part of what was asked: there is something to undo, and somebody else to ask."""
    remember: Callable[[Order, Answer], Order] = lambda order, _answer: order
    """What the order keeps of it."""


@dataclass(frozen=True, slots=True)
class Waits:
    """The answer that asks for patience."""

    answer: type[SagaStep]
    event: Callable[[Order, Answer, datetime], Message]
    """What is said of it, with the new deadline."""
    within: Span
    expired: Reason
    """Why the order is cancelled then."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer that means that nothing was done."""

    answer: type[SagaStep]
    why: Callable[[Order, Answer], tuple[Reason, ...]]
    """The reasons, when that is the end of it."""
    remember: Callable[[Order, Answer], Order] = lambda order, _answer: order
    """What the order keeps of it."""
    otherwise: Callable[[Order], tuple[SagaStep, ...]] = lambda _order: ()
    """Who else is asked; if nobody, the step has failed."""
    counts_late: bool = False
    """Whether the order keeps it even while it is being undone, or where a person has taken the step as done, because
    the undo of another step passes it on.
    """


@dataclass(frozen=True, slots=True)
class Undo:
    """How a step is undone, whether it was done, is under way, or has yet to arrive."""

    command: Callable[..., SagaStep]
    """It names the order, the revision, and the attempt and the location of what it undoes."""
    answer: type[SagaStep]
    told: Callable[[Order, Task], Mapping[str, object]] = lambda _order, _task: {}
    """What it says beside that, by its fields."""
    confirmed: Callable[[Answer], bool] = lambda _answer: True
    """Whether the answer means that it is undone; if not, it answers what a skip has called off, and is only noted."""
    too_late: tuple[type[SagaStep], ...] = ()
    """What is told when it cannot be undone any more: the step counts as done then, and the saga goes forward again.

    This requires that all else is still held; if it is not, a person must decide. At any other time it is only noted.
    """


@dataclass(frozen=True, slots=True)
class Skip:
    """How a step is taken as done by a person, who has made sure that it is."""

    command: Callable[..., SagaStep] | None = None
    """It calls off what was asked for, so that whoever is still at it does not do it as well; names as in Undo."""


Part = Literal["done", "waits", "refused", "undone", "too late", "noted"]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table."""

    name: str
    do: Do
    done: Done
    refused: Refused | None = None
    undo: Undo | None = None
    waits: Waits | None = None
    notes: tuple[type[SagaStep], ...] = ()
    """What is told on the way, and only noted."""
    skip: Skip | None = None
    """Whether a person may take it as done though nobody said so: only where nothing is built on its answer."""

    @property
    def answers(self) -> Iterator[tuple[type[Message], Part]]:
        """Each message that belongs to it, and as what."""
        yield self.done.answer, "done"
        yield from ((note, "noted") for note in self.notes)
        if self.waits:
            yield self.waits.answer, "waits"
        if self.refused:
            yield self.refused.answer, "refused"
        if self.undo:
            yield self.undo.answer, "undone"
            yield from ((late, "too late") for late in self.undo.too_late)


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that run side by side; the next stage begins when all of them are done."""

    status: Status
    """The order's, meanwhile."""
    steps: tuple[Step, ...]
    then: Callable[[Order], tuple[Message, ...]] = lambda _order: ()
    """What is said at the end of it."""
    failed: Literal["rejected", "cancelled"] = "cancelled"
    """What the order comes to when one of the steps fails."""


@dataclass(frozen=True)
class Definition:
    """One version of the saga."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where one message would answer twice, and only the last were heard."""
        answers = Counter(answer.__name__ for step in self.steps.values() for answer, _ in step.answers)
        if ambiguous := [name for name, count in answers.items() if count > 1]:
            raise ValueError(f"only one step can be answered, and in one way, by {', '.join(ambiguous)}")

    @cached_property
    def steps(self) -> dict[str, Step]:
        return {step.name: step for stage in self.stages for step in stage.steps}

    @cached_property
    def pivot(self) -> int:
        """The first stage that nothing undoes: from there on the saga only goes forward."""
        return next(place for place, stage in enumerate(self.stages) if any(step.undo is None for step in stage.steps))

    @cached_property
    def answers(self) -> dict[type[Message], tuple[Step, Part]]:
        """Which step a message belongs to, and as what."""
        return {answer: (step, part) for step in self.steps.values() for answer, part in step.answers}
