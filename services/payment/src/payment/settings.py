"""What the payment service must be told beyond what all services are."""

from datetime import timedelta
from typing import Annotated

from chassis.settings import ChassisSettings
from pydantic import Field

from payment.decide import Retry
from payment.gateway import Simulator


class Settings(ChassisSettings):
    """Read from environment variables; each name's ending says its unit."""

    retry_first_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """After how long the provider is asked again when an outcome is unknown, or when it refused what must be done; the
    time doubles with each failure."""
    retry_longest_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """The longest time between two such requests."""
    simulator_slow_s: Annotated[float, Field(ge=0, le=300)] = 2.0
    """How long the simulated provider takes with `tok_slow` and `tok_timeout`."""
    simulator_capture_failures: Annotated[int, Field(ge=0, le=1000)] = 2
    """How often the simulated provider refuses to capture with `tok_capture_fails` before it does."""

    @property
    def retry(self) -> Retry:
        return Retry(timedelta(seconds=self.retry_first_s), timedelta(seconds=self.retry_longest_s))

    @property
    def simulator(self) -> Simulator:
        return Simulator(timedelta(seconds=self.simulator_slow_s), self.simulator_capture_failures)
