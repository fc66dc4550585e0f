"""What time it is for a partition."""

from datetime import UTC, datetime, timedelta

from chassis.ports import Clock


class Time:
    """A partition's time, to the millisecond: it never runs backwards, whatever the clock does.

    Where the clock is set back, time goes on at half the pace until the clock has caught up: if it stood still, nobody
    would be woken, and nothing asked again, for as long as the clock had been ahead.

    It stands still where it is put, while what was then is lived a second time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = datetime.min.replace(tzinfo=UTC)
        """What it was when it was last asked for."""
        self._exact = self.last
        """The same, to the microsecond."""
        self._read = clock.now()
        """What the clock said then."""
        self._stands = False

    def now(self) -> datetime:
        if not self._stands:
            before, self._read = self._read, self._clock.now()
            self._exact = max(self._read, self._exact + max(timedelta(), self._read - before) / 2)
            self.last = self._exact - timedelta(microseconds=self._exact.microsecond % 1000)
        return self.last

    def stand(self, moment: datetime) -> None:
        """Let it be this moment, or the one that it was if that is later, until told otherwise.

        What is past is never later than now, whatever clock a record was written by.
        """
        self._stands = True
        moment = min(moment, self._clock.now())
        self.last = max(self.last, moment + timedelta(microseconds=-moment.microsecond % 1000))

    def flow(self) -> None:
        """Go by the clock."""
        self._stands = False
        self._exact, self._read = max(self._exact, self.last), self._clock.now()
