"""Rebuilds an order from the topics alone, by the order service's own `decide`.

The log says what the order service wrote, in which order, and what caused each message. It does not say when the
service took an input that it answered with silence, such as the first of two answers it waits for; only that it took
the inputs of one topic in their order. So the replay looks for an order of the inputs that explains every message on
the log, trying first the order in which they were written. Where there is none, it says where the log and `decide` part
ways.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile

from aiokafka.partitioner import murmur2
from chassis.decision import AlarmRang, Decision, Document, Documents, Input
from chassis.service import Decide
from contracts.message import Message
from contracts.order import OrderBackordered, OrderValidated
from contracts.topics import BY_NAME, topics_read_by
from order.decide import decider, needs
from order.definition import Policy
from order.sourcing import Routes

from oms.history import History, Logged

SERVICE = "order"
INPUTS = topics_read_by(SERVICE)
ALARM = "alarm:"
EVER = datetime.min.replace(tzinfo=UTC)
MOST_TRIES = 5000
"""So many decisions are tried for one order at the most. An order rarely has twenty inputs, a few of them silent."""


@lru_cache(maxsize=10_000)
def home_of(key: str, partitions: int) -> int:
    """The partition where everything with this key meets."""
    return (int(murmur2(key.encode())) & 0x7FFFFFFF) % partitions


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
class Replay:
    """An order, rebuilt."""

    order_id: str
    transitions: tuple[Transition, ...]
    untaken: tuple[Logged, ...]
    """Inputs that the order service has not answered yet, though it would."""
    said: tuple[Logged, ...]
    """What the order service wrote about it, in its order."""

    def at(self, moment: datetime) -> "Replay":
        """The order as it was then."""
        return replace(self, transitions=tuple(step for step in self.transitions if step.at <= moment), untaken=())

    @property
    def document(self) -> Document | None:
        """The order as the last transition left it."""
        return self.transitions[-1].document if self.transitions else None

    @property
    def differences(self) -> tuple[Transition, ...]:
        return tuple(step for step in self.transitions if step.difference)


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

    def transitions(self) -> tuple[Transition, ...]:
        steps: list[Transition] = []
        state: State | None = self
        while state is not None and state.last is not None:
            steps.append(state.last)
            state = state.before
        return tuple(reversed(steps))


Fits = Callable[[Document | None], bool]


class Replayer:
    """Rebuilds orders with the order service's own `decide`."""

    def __init__(self, policy: Policy, partitions: int) -> None:
        self._policy = policy
        self._partitions = partitions

    def replay(self, history: History, fits: Fits = lambda _document: True) -> Replay:
        """Rebuild the order; of several explanations of the log, the first whose outcome fits, if one does."""
        decide = decider(_policy_of(history, self._policy))
        return _Search(decide, history, home_of(history.order_id, self._partitions), fits).run()


def _policy_of(history: History, policy: Policy) -> Policy:
    """The policy with what the log tells of the one under which this order was handled: it may have changed since."""
    for _, validated in history.of(OrderValidated):
        policy = replace(policy, routes=Routes(default=validated.route, by_country={}))
    for logged, waits in history.of(OrderBackordered):
        policy = replace(policy, backorder_within=waits.deadline - logged.envelope.time)
    return policy


class _Search:
    def __init__(self, decide: Decide, history: History, home: int, fits: Fits) -> None:
        self._decider = decide
        self._fits = fits
        self._order_id = history.order_id
        self._said = _said(history)
        inputs = [m for m in history.messages if m.record.partition == home]
        self._queues = [[m for m in inputs if m.record.topic == topic] for topic in INPUTS]
        self._tries = MOST_TRIES

    def run(self) -> Replay:
        state = self._explain(State(tuple(0 for _ in self._queues), 0, EVER, {}))
        while state.said < len(self._said):
            state = self._explain(self._part_ways(state))
        untaken = tuple(m for queue, taken in zip(self._queues, state.taken, strict=True) for m in queue[taken:])
        return Replay(self._order_id, state.transitions(), untaken, self._said)

    def _explain(self, start: State) -> State:
        """Go on for as long as the log can be explained: depth first, the likeliest input first."""
        furthest = start
        path = [(start, self._moves(start))]
        while path:
            state, moves = path[-1]
            following = next(moves, None)
            if following is not None:
                path.append((following, self._moves(following)))
                continue
            if _reach(state) > _reach(furthest):
                furthest = state
            if state.said == len(self._said) and self._fits(state.last.document if state.last else None):
                return state
            path.pop()
        return furthest

    def _moves(self, state: State) -> Iterator[State]:
        """Every input that may have come next, the likeliest first: those to which `decide` says what the log says."""
        expected = self._said[state.said] if state.said < len(self._said) else None
        candidates: list[tuple[datetime, int | None]] = [
            (_written(queue[taken]), place)
            for place, (queue, taken) in enumerate(zip(self._queues, state.taken, strict=True))
            if taken < len(queue)
        ]
        if expected is not None and any(_rings(document, expected) for document in state.documents.values()):
            candidates.append((expected.envelope.time, None))
        for when, place in sorted(candidates, key=lambda candidate: candidate[0]):
            if not self._tries:
                return
            self._tries -= 1
            following = self._take(state, place, max(state.now, when), expected)
            if following is not None:
                yield following

    def _take(self, state: State, place: int | None, when: datetime, expected: Logged | None) -> State | None:
        """The state after this input, or None if the log does not say what `decide` says to it."""
        cause = self._queues[place][state.taken[place]] if place is not None else None
        document = next((key for key, document in state.documents.items() if document.alarm is not None), "")
        cause_id = cause.envelope.id if cause is not None else f"alarm:{document}"
        if expected is not None and expected.envelope.causation_id == cause_id:
            when = expected.envelope.time
        try:
            decision = self._decide(state.documents, cause.message if cause else AlarmRang(document), when)
        except Exception:  # noqa: BLE001 - a bug in `decide` is for `_part_ways` to report, if nothing else explains the log
            return None
        logged = self._said[state.said : state.said + len(decision.messages)]
        if _difference(decision.messages, logged, cause_id):
            return None
        taken = tuple(count + (place == number) for number, count in enumerate(state.taken))
        return self._after(state, Transition(cause, when, decision.messages, None), decision, taken, len(logged))

    def _part_ways(self, state: State) -> State:
        """Follow the log where `decide` says something else, and write down how they differ."""
        expected = self._said[state.said]
        cause_id, when = expected.envelope.causation_id, expected.envelope.time
        place, taken = self._find(state, cause_id)
        cause = self._queues[place][taken[place] - 1] if place is not None else None
        logged = tuple(takewhile(lambda m: m.envelope.causation_id == cause_id, self._said[state.said :]))
        decision = Decision()
        if cause is None and not cause_id.startswith(ALARM):
            difference = f"{_names(m.message for m in logged)} was caused by {cause_id}, which is not on the log"
        else:
            document = cause_id.removeprefix(ALARM)
            try:
                decision = self._decide(state.documents, cause.message if cause else AlarmRang(document), when)
                difference = _difference(decision.messages, logged, cause_id) or "no order of the inputs explains this"
            except Exception as bug:  # noqa: BLE001 - the bug is what is reported
                difference = f"decide raises {type(bug).__name__}: {bug}"
        step = Transition(cause, when, decision.messages, None, difference, logged[0].place)
        return self._after(state, step, decision, taken, len(logged))

    def _find(self, state: State, cause_id: str) -> tuple[int | None, tuple[int, ...]]:
        """The topic that has the input, and how far the topics are taken when it is."""
        for place, (queue, taken) in enumerate(zip(self._queues, state.taken, strict=True)):
            for number in range(taken, len(queue)):
                if queue[number].envelope.id == cause_id:
                    return place, (*state.taken[:place], number + 1, *state.taken[place + 1 :])
        return None, state.taken

    def _decide(self, documents: Mapping[str, Document], message: Input, now: datetime) -> Decision:
        known: dict[str, Document | None] = {}
        if isinstance(message, AlarmRang):
            known[message.document] = documents.get(message.document)
        while missing := [key for key in needs(message, Documents(known)) if key not in known]:
            known.update({key: documents.get(key) for key in missing})
        return self._decider(Documents(known), message, now)

    def _after(self, state: State, step: Transition, decision: Decision, taken: tuple[int, ...], said: int) -> State:
        documents = {**state.documents, **{document.key: document for document in decision.documents}}
        order = next((document for document in documents.values() if document.id == self._order_id), None)
        return State(taken, state.said + said, step.at, documents, replace(step, document=order), state)


def _reach(state: State) -> tuple[int, int]:
    return state.said, sum(state.taken)


def _said(history: History) -> tuple[Logged, ...]:
    """What the order service wrote about the order, in its order.

    A service whose database was wiped begins anew, under a new name, and goes through everything again: the last one
    counts.
    """
    by_source: dict[str, list[tuple[tuple[int, int], Logged]]] = {}
    for message in history.messages:
        turn = message.turn
        if turn is not None and BY_NAME[message.record.topic].owner == SERVICE:
            by_source.setdefault(message.envelope.source, []).append((turn, message))
    if not by_source:
        return ()
    last = max(by_source.values(), key=lambda written: min(m.envelope.time for _, m in written))
    return tuple(message for _, message in sorted(last, key=lambda entry: entry[0]))


def _written(message: Logged) -> datetime:
    """When Kafka got it; what a channel says about its own time may be anything."""
    return datetime.fromtimestamp(message.record.timestamp / 1000, UTC)


def _rings(document: Document, expected: Logged) -> bool:
    return document.alarm is not None and document.alarm <= expected.envelope.time


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
