"""Finds an order of an order's inputs that explains every message on the log.

The log says what the order service wrote, in which order, and what caused each message. It does not say when the
service took an input that it answered with silence, such as the first of two answers it waits for; only that it took
the inputs of one topic in their order. So the inputs are tried in every order that this leaves, beginning with the one
in which they were written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile

from chassis.decision import AlarmRang, Decision, Document, Input
from chassis.service import Decide, needed
from contracts.message import Message
from order.decide import needs
from order.state import Order

from oms.history.logged import Logged

ALARM = "alarm:"
EVER = datetime.min.replace(tzinfo=UTC)
MOST_TRIES = 5000
"""The most decisions tried before the log is called inexplicable. An order rarely has twenty inputs, a few of them
silent."""

Inputs = Sequence[Logged]
Fits = Callable[[Document | None], bool]
"""Whether an explanation ends as it should."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One input that the order service took, and what it made of it."""

    cause: Logged | None
    """The message; None when a deadline passed."""
    at: datetime
    """When the service took it; of a silent input not before this."""
    said: tuple[Message, ...]
    document: Document | None
    """The order afterwards."""
    difference: str = ""
    """How the log differs from it; empty as it should be."""
    place: str = ""
    """Where on the log, if it differs."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a replay has come."""

    taken: tuple[int, ...]
    """Of each topic's inputs, how many were taken."""
    said: int
    """How many of the messages on the log are explained."""
    now: datetime
    documents: Mapping[str, Document]
    last: Transition | None = None
    before: "State | None" = None

    @property
    def timeless(self) -> Document | None:
        """The order without its history: two ways that lead here with the same one go on in the same way."""
        order = self.last.document if self.last is not None else None
        return order.but(timeline=()) if isinstance(order, Order) else order

    def transitions(self) -> tuple[Transition, ...]:
        steps: list[Transition] = []
        state: State | None = self
        while state is not None and state.last is not None:
            steps.append(state.last)
            state = state.before
        return tuple(reversed(steps))


class Search:
    """Looks for an order of the inputs in which `decide` says what is on the log."""

    def __init__(self, decide: Decide, order_id: str, queues: Sequence[Inputs], said: Inputs, fits: Fits) -> None:
        self._decider = decide
        self._order_id = order_id
        self._queues = queues
        self._said = said
        self._fits = fits
        self._tries = 0

    def run(self) -> State:
        """The end of the first explanation that fits, or of the likeliest if none does.

        Where there is none, the log is followed to its next message, and the transition says how the two differ.
        """
        state, dead_ends = self._explain(State(tuple(0 for _ in self._queues), 0, EVER, {}))
        while state is None:
            parted = min(map(self._part_ways, dead_ends), key=lambda way: way.rank).state
            state, dead_ends = (parted, []) if parted.said == len(self._said) else self._explain(parted)
        return state

    def _explain(self, start: State) -> tuple[State | None, list[State]]:
        """Go on for as long as the log can be explained: depth first, the likeliest input first.

        The state in which all of it is explained; or None, and the states in which most of it is.
        """
        misfit: State | None = None
        dead_ends = [start]
        visited: dict[tuple[tuple[int, ...], int], list[Document | None]] = {}
        self._tries = MOST_TRIES
        path = [(start, self._moves(start))]
        while path:
            state, moves = path[-1]
            following = next(moves, None)
            if following is not None:
                been_here = visited.setdefault((following.taken, following.said), [])
                if (order := following.timeless) in been_here:
                    continue
                been_here.append(order)
                path.append((following, self._moves(following)))
                if following.said > dead_ends[0].said:
                    dead_ends = [following]
                elif following.said == dead_ends[0].said:
                    dead_ends.append(following)
                continue
            if state.said == len(self._said):
                if self._fits(state.last.document if state.last else None):
                    return state, []
                misfit = misfit or state
            path.pop()
        return misfit, dead_ends

    def _moves(self, state: State) -> Iterator[State]:
        """Every input that may have come next, the likeliest first: those to which `decide` says what the log says."""
        expected = self._said[state.said] if state.said < len(self._said) else None
        moves = [*self._messages(state, expected), *self._alarms(state, expected)]
        for move in sorted(moves, key=lambda move: move.when):
            if not self._tries:
                return
            self._tries -= 1
            following = self._take(state, move)
            if following is not None:
                yield following

    def _messages(self, state: State, expected: Logged | None) -> Iterator["_Move"]:
        for place, (queue, taken) in enumerate(zip(self._queues, state.taken, strict=True)):
            if taken < len(queue):
                cause = queue[taken]
                when = now = max(state.now, _written(cause))
                if expected is not None and expected.envelope.causation_id == cause.envelope.id:
                    now = expected.envelope.time
                yield _Move(cause.message, cause.envelope.id, when, now, place)

    @staticmethod
    def _alarms(state: State, expected: Logged | None) -> Iterator["_Move"]:
        for key, document in state.documents.items():
            if expected is None or document.alarm is None:
                continue
            when, cause_id = expected.envelope.time, f"{ALARM}{key}"
            if document.alarm <= when:
                yield _Move(AlarmRang(key), cause_id, when, when)
            if expected.envelope.causation_id == cause_id:
                # The deadline may be set otherwise today; that it had come, and was the first to come, the log says.
                yield _Move(AlarmRang(key), cause_id, when, document.alarm)

    def _take(self, state: State, move: "_Move") -> State | None:
        """The state after this input, or None if the log does not say what `decide` says to it."""
        try:
            decision = self._decide(state.documents, move.message, move.now)
        except Exception:  # noqa: BLE001 - a bug in `decide` is for `_part_ways` to report, if nothing else explains the log
            return None
        logged = self._said[state.said : state.said + len(decision.messages)]
        if _difference(decision.messages, logged, move.cause_id):
            return None
        cause = self._queues[move.place][state.taken[move.place]] if move.place is not None else None
        when = logged[0].envelope.time if logged else move.when
        taken = tuple(count + (number == move.place) for number, count in enumerate(state.taken))
        return self._after(state, Transition(cause, when, decision.messages, None), decision, taken, len(logged))

    def _part_ways(self, state: State) -> "_Parting":
        """Follow the log where `decide` says something else, and write down how they differ."""
        expected = self._said[state.said]
        cause_id, when = expected.envelope.causation_id, expected.envelope.time
        place, taken = self._find(state, cause_id)
        cause = self._queues[place][taken[place] - 1] if place is not None else None
        logged = tuple(takewhile(lambda m: m.envelope.causation_id == cause_id, self._said[state.said :]))
        decision = Decision()
        unlike = True
        if cause is None and not cause_id.startswith(ALARM):
            difference = f"{_names(m.message for m in logged)} was caused by {cause_id}, which is not on the log"
        else:
            document = cause_id.removeprefix(ALARM)
            try:
                decision = self._decide(state.documents, cause.message if cause else AlarmRang(document), when)
                difference = _difference(decision.messages, logged, cause_id) or "no order of the inputs explains this"
                unlike = list(map(type, decision.messages)) != [type(m.message) for m in logged]
            except Exception as bug:  # noqa: BLE001 - the bug is what is reported
                difference = f"decide raises {type(bug).__name__}: {bug}"
        step = Transition(cause, when, decision.messages, None, difference, logged[0].place)
        after = self._after(state, step, decision, taken, len(logged))
        return _Parting((cause is None, unlike, sum(state.taken)), after)

    def _find(self, state: State, cause_id: str) -> tuple[int | None, tuple[int, ...]]:
        """The topic that has the input, and how far the topics are taken when it is."""
        for place, (queue, taken) in enumerate(zip(self._queues, state.taken, strict=True)):
            for number in range(taken, len(queue)):
                if queue[number].envelope.id == cause_id:
                    return place, (*state.taken[:place], number + 1, *state.taken[place + 1 :])
        return None, state.taken

    def _decide(self, documents: Mapping[str, Document], message: Input, now: datetime) -> Decision:
        return self._decider(needed(needs, message, documents), message, now)

    def _after(self, state: State, step: Transition, decision: Decision, taken: tuple[int, ...], said: int) -> State:
        documents = {**state.documents, **{document.key: document for document in decision.documents}}
        order = next((document for document in documents.values() if document.id == self._order_id), None)
        return State(taken, state.said + said, step.at, documents, replace(step, document=order), state)


@dataclass(frozen=True, slots=True)
class _Move:
    """An input that may have come next."""

    message: Input
    cause_id: str
    when: datetime
    """When it will have been taken, for all that the log says."""
    now: datetime
    """The time that `decide` is told."""
    place: int | None = None
    """The topic that has it; None for an alarm."""


@dataclass(frozen=True, slots=True)
class _Parting:
    """A way to follow the log where it cannot be explained."""

    rank: tuple[bool, bool, int]
    """Low if little is unlike: the cause is there, it says messages of these types, and nothing was taken too early."""
    state: State


def _written(message: Logged) -> datetime:
    """When Kafka got it; what a channel says about its own time may be anything."""
    return datetime.fromtimestamp(message.record.timestamp / 1000, UTC)


def _difference(decided: Sequence[Message], logged: Sequence[Logged], cause_id: str) -> str:
    """How what is on the log differs from what was decided; empty if it does not."""
    written = [message.message for message in logged]
    if [type(message) for message in decided] != [type(message) for message in written]:
        return f"the log says {_names(written)}, decide says {_names(decided)}"
    for one, other in zip(decided, written, strict=True):
        if one != other:
            return f"the log says {other!r}, decide says {one!r}"[:1000]
    if any(message.envelope.causation_id != cause_id for message in logged):
        return f"the log names another cause than {cause_id}"
    return ""


def _names(messages: Iterable[Message]) -> str:
    return ", ".join(type(message).__name__ for message in messages) or "nothing"
