"""When the outside world is asked again for what it has not done, ever more seldom."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from chassis.decision import CONFIG, C


class Failing(BaseModel):
    """The outside world has not done what it must do, and is asked again and again."""

    model_config = CONFIG | ConfigDict(use_attribute_docstrings=True)

    call: str
    """The id of the call, which the other side knows as the idempotency key."""
    since: datetime
    """When it first failed."""
    times: int
    """How often it failed since then."""
    why: str
    """What went wrong last."""
    again_at: datetime
    """When it will be asked again."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """When the outside world is asked again: after `first`, then twice as long each time, up to `longest`."""

    first: timedelta
    longest: timedelta

    def later(self, call: C, failing: Failing | None, why: str, now: datetime) -> tuple[C, Failing]:
        """The call, waiting for its time, and since when and how often it fails, this time among them."""
        since, times = (failing.since, failing.times + 1) if failing is not None else (now, 1)
        again_at = now + min(self.first * (1 << min(times - 1, 30)), self.longest)
        waiting = call.model_copy(update={"not_before": again_at})
        return waiting, Failing(call=call.id, since=since, times=times, why=why[:300], again_at=again_at)


def at_once(calls: tuple[C, ...], failing: Failing | None, now: datetime) -> tuple[tuple[C, ...], Failing | None]:
    """The calls, and how they fail: what waits for its time waits no longer, for somebody asks again."""
    if failing is None or failing.again_at <= now:
        return calls, failing
    # It has waited since it first failed, and goes before what is wanted since then.
    waiting = tuple(call.model_copy(update={"not_before": failing.since}) for call in calls)
    return waiting, failing.model_copy(update={"again_at": now})
