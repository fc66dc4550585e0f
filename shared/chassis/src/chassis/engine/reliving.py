"""How a restored partition comes through its past: input after input, each at its time.

Alarms ring when they rang, between the records that came before and after. What the outside world answered then nobody
wrote down, so each call is made again, with the key that it had, and its answer waited for before anything else comes.
"""

from collections.abc import Sequence

from contracts.record import Received

from chassis.decision import AlarmRang, CallAnswered
from chassis.engine.alarms import Alarms
from chassis.engine.calls import Calls
from chassis.engine.chronicle import WITHIN_A_BATCH, Chronicle
from chassis.engine.inbox import Inbox, Taken
from chassis.engine.time import Time


class Reliving:
    """Stands in for the inbox until the past is over; answers of calls still come through that."""

    def __init__(self, chronicle: Chronicle, time: Time, alarms: Alarms, calls: Calls, inbox: Inbox) -> None:
        self._chronicle = chronicle
        self._time = time
        self._alarms = alarms
        self._calls = calls
        self._inbox = inbox
        self._knows_when = False
        """Whether the time is known at which the past goes on: somebody else may have lived a part of it already."""

    @property
    def is_over(self) -> bool:
        return self._chronicle.is_over

    def __len__(self) -> int:
        return len(self._chronicle) + len(self._inbox)

    def offer(self, records: Sequence[Received]) -> None:
        """Take in records of one topic, in the order of their offsets."""
        self._chronicle.offer(records)
        self._inbox.wake()

    async def take(self, most: int) -> list[Taken]:
        """The next inputs; none if something must come first, which was waited for."""
        self._knows_when = self._knows_when or self._find_out_when()
        if answers := self._inbox.take((), most if self._knows_when else 0, room=0):
            return answers
        moment, call = self._chronicle.moment(), self._calls.next()
        if moment is None or (call is not None and call <= self._time.now()):
            await self._inbox.wait(None)
            return []
        alarm = self._alarms.next()
        others = [when for when in (alarm, call) if when is not None]
        self._time.stand(min([moment, *others]))
        self._calls.wake()
        # It may be later already, where the partition was behind at the backup: what it had not taken still goes first.
        if rung := [AlarmRang(key) for key in self._alarms.due(min(self._time.now(), moment), most)]:
            return [*rung]
        if call is not None and call <= self._time.now():
            return []
        return [*self._chronicle.take(min([moment + WITHIN_A_BATCH, *others]), most)]

    def _find_out_when(self) -> bool:
        """Stand where the past goes on: what was decided last was decided before what comes next, and perhaps long
        after the backup. Whether that is known.
        """
        moment = self._chronicle.moment()
        if moment is None:
            return False
        alarm, call = self._alarms.next(), self._calls.next()
        if call is not None and call <= self._time.now():
            call = None  # it was asked for at some time before, which nobody knows
        self._time.stand(min(when for when in (moment, alarm, call) if when is not None))
        self._calls.wake()
        return True

    def put_back(self, taken: Sequence[Taken]) -> None:
        """These were taken, and are to be taken again, in smaller portions."""
        self._chronicle.put_back([one for one in taken if not isinstance(one, AlarmRang | CallAnswered)])
        self._inbox.put_back([one for one in taken if isinstance(one, AlarmRang | CallAnswered)])
