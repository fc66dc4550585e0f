"""Rebuilds an order from the topics alone, by the order service's own `decide`: at any moment, each transition with the
message that caused it. Where the log and `decide` part ways, it says how.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from chassis.decision import Decision, Document, Documents, Input
from chassis.kafka.partitioner import home_of
from chassis.service import Decide
from contracts.order import OrderBackordered, OrderValidated
from contracts.topics import BY_NAME, topics_read_by
from order.decide import decider
from order.definition import Policy
from order.sourcing import Routes

from oms.history.explanation import Fits, Search, Transition
from oms.history.logged import History, Logged

SERVICE = "order"
INPUTS = topics_read_by(SERVICE)


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


class Replayer:
    """Rebuilds orders with the order service's own `decide`."""

    def __init__(self, policy: Policy, partitions: int, retried: Collection[str] = ()) -> None:
        self._policy = policy
        self._partitions = partitions
        self._retried = retried
        """Where the records are that the order service took once more, at any time after their turn."""

    def replay(self, history: History, fits: Fits = lambda _document: True) -> Replay:
        """Rebuild the order; of several explanations of the log, the first whose outcome fits, if one does."""
        home = home_of(history.order_id, self._partitions)
        inputs = [message for message in history.messages if message.record.partition == home]
        in_turn = [message for message in inputs if message.place not in self._retried]
        queues = [[message for message in in_turn if message.record.topic == topic] for topic in INPUTS]
        queues += [[message] for message in inputs if message.place in self._retried]
        said = _said(history)
        end = Search(_decider(history, self._policy), history.order_id, queues, said, fits).run()
        untaken = tuple(m for queue, taken in zip(queues, end.taken, strict=True) for m in queue[taken:])
        return Replay(history.order_id, end.transitions(), untaken, said)


def _decider(history: History, policy: Policy) -> Decide:
    """`decide` under the policy with what the log tells of the one under which each revision was handled: it may have
    changed since, and revisions may go to different countries.
    """
    policies: dict[int, Policy] = {}
    for _, validated in history.of(OrderValidated):
        routes = Routes(default=validated.route, by_country={})
        policies[validated.revision] = replace(policy, definition=validated.definition, routes=routes)
    for logged, waits in history.of(OrderBackordered):
        within = waits.deadline - logged.envelope.time
        policies[waits.revision] = replace(policies.get(waits.revision, policy), backorder_within=within)
    today = decider(policy)
    deciders = {revision: decider(of_it) for revision, of_it in policies.items()}

    def decide(documents: Documents, message: Input, now: datetime) -> Decision:
        return deciders.get(getattr(message, "revision", 0), today)(documents, message, now)

    return decide


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
