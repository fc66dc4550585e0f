"""What people had put right, as the services told it on the log: who asked, why, and what came of it."""

from collections.abc import Iterator
from datetime import datetime

from chassis.decision import id_in_partition
from contracts.order import OrderRepairRefused, OrderTurnedBack, StepRetried, StepSkipped
from contracts.record import place_on_log
from contracts.repair import (
    DeadLetterDropped,
    DeadLetterRetried,
    GapAccepted,
    ParkedReleased,
    Repair,
    RepairCommand,
    RepairEvent,
)

from oms.history.logged import Logged

Asked = tuple[str, int, str]
"""A request, by the service and the partition that are to do it, and its name."""
AnswerAboutOrder = StepRetried | StepSkipped | OrderTurnedBack | OrderRepairRefused
"""What the order service says to a request about one order's saga."""


class Repairs:
    """Takes the requests and the answers to them, in any order, then says what was dealt with."""

    def __init__(self) -> None:
        self.answered: dict[Asked, RepairEvent] = {}
        """What came of each request."""
        self.about_orders: dict[tuple[str, str], AnswerAboutOrder] = {}
        """What came of each request about an order, by the order and the name of the request."""
        self._asked: dict[Asked, Logged] = {}
        self._released: dict[tuple[str, str], datetime] = {}
        self._settled: dict[tuple[str, str], datetime] = {}
        self._retried: dict[str, set[str]] = {}
        self._accepted: set[GapAccepted] = set()

    def take(self, logged: Logged) -> None:
        message, when = logged.message, logged.envelope.time
        if isinstance(message, RepairCommand):
            self._asked.setdefault(_name_of(message), logged)
        if isinstance(message, AnswerAboutOrder):
            self.about_orders[message.order_id, message.repair_id] = message
        if not isinstance(message, RepairEvent):
            return
        self.answered[_name_of(message)] = message
        match message:
            case ParkedReleased(parked_again=False):
                self._note(self._released, (message.service, id_in_partition(message.partition, message.place)), when)
            case DeadLetterRetried() | DeadLetterDropped():
                place = place_on_log(message.topic, message.partition, message.offset)
                if isinstance(message, DeadLetterRetried):
                    self._retried.setdefault(message.service, set()).add(place)
                    if message.outcome == "dead_letter":
                        return
                self._note(self._settled, (message.service, place), when)
            case GapAccepted():
                self._accepted.add(message)

    @staticmethod
    def _note(latest: dict[tuple[str, str], datetime], what: tuple[str, str], when: datetime) -> None:
        latest[what] = max(when, latest.get(what, when))

    def released(self, service: str, partition: int, place: str, since: datetime) -> bool:
        """Whether what was parked then went on, and did not fail again."""
        what = (service, id_in_partition(partition, place))
        return self._released.get(what, datetime.min.replace(tzinfo=since.tzinfo)) >= since

    def settled(self, service: str, place: str, since: datetime) -> bool:
        """Whether the record that became a dead letter then, at `topic/partition/offset`, was taken or dropped."""
        return self._settled.get((service, place), datetime.min.replace(tzinfo=since.tzinfo)) >= since

    def retried(self, service: str) -> set[str]:
        """Where the records are that a service took once more, and so out of their turn."""
        return self._retried.setdefault(service, set())

    def accepted(self, topic: str, partition: int, source: str, first: int, last: int) -> bool:
        """Whether somebody accepted that these numbers are missing on a link."""
        return any(
            (gap.topic, gap.partition, gap.source) == (topic, partition, source)
            and gap.first <= first
            and last <= gap.last
            for gap in self._accepted
        )

    def unanswered(self) -> Iterator[Logged]:
        """The requests of which nothing came yet."""
        for name, asked in self._asked.items():
            if name not in self.answered:
                yield asked


def _name_of(message: Repair) -> Asked:
    return message.service, message.partition, message.repair_id
