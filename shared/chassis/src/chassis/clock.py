"""The time of this machine."""

from datetime import UTC, datetime


class WallClock:
    """The system's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)
