"""What the fulfillment service must be told beyond what all services are."""

from datetime import timedelta
from typing import Annotated, Literal

from chassis.settings import ChassisSettings
from pydantic import Field

from fulfillment.decide import SimulatedPickers


class Settings(ChassisSettings):
    """Read from environment variables; each name's ending says its unit."""

    pickers: Literal["simulated", "people"] = "simulated"
    """Who picks and packs: simulated pickers at a fixed pace, or people, who tell through the HTTP API."""
    pick_after_s: Annotated[float, Field(ge=0, le=86_400)] = 0.05
    """After how long simulated pickers have everything off the shelves; 0 is at once."""
    pack_after_s: Annotated[float, Field(ge=0, le=86_400)] = 0.05
    """After how long from there simulated pickers have everything in parcels; 0 is at once."""

    @property
    def simulated_pickers(self) -> SimulatedPickers | None:
        if self.pickers == "people":
            return None
        return SimulatedPickers(timedelta(seconds=self.pick_after_s), timedelta(seconds=self.pack_after_s))
