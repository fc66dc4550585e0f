"""What the payment service must be told beyond what all services are."""

from datetime import timedelta
from typing import Annotated

from chassis.settings import CallingSettings
from pydantic import Field

from payment.gateway import Simulator


class Settings(CallingSettings):
    """Read from environment variables; each name's ending says its unit."""

    simulator_slow_s: Annotated[float, Field(ge=0, le=300)] = 2.0
    """How long the simulated provider takes with `tok_slow` and `tok_timeout`."""
    simulator_capture_failures: Annotated[int, Field(ge=0, le=1000)] = 2
    """How often the simulated provider refuses to capture with `tok_capture_fails` before it does."""

    @property
    def simulator(self) -> Simulator:
        return Simulator(timedelta(seconds=self.simulator_slow_s), self.simulator_capture_failures)
