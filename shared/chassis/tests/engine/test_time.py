"""The time that a partition goes by, whatever its clock does."""

from datetime import UTC, datetime, timedelta

from chassis.engine.time import Time

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Clock:
    """Shows what it is set to."""

    def __init__(self, shows: datetime) -> None:
        self.shows = shows

    def now(self) -> datetime:
        return self.shows


def test_where_the_clock_is_set_back_time_goes_at_half_the_pace_until_the_clock_has_caught_up() -> None:
    minute = timedelta(minutes=1)
    clock = Clock(NOON + 60 * minute)
    time = Time(clock)
    ahead = time.now()

    clock.shows = NOON
    assert time.now() == ahead
    for minutes in range(1, 121):
        clock.shows = NOON + minutes * minute
        assert time.now() == ahead + minutes * minute / 2

    assert time.now() == clock.shows
    clock.shows += minute
    assert time.now() == clock.shows
