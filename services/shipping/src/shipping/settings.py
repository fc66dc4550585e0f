"""What the shipping service must be told beyond what all services are."""

from datetime import timedelta
from typing import Annotated

from chassis.settings import SHORTEST_S, CallingSettings
from contracts.message import CountryAlpha2, Currency
from pydantic import AfterValidator, Field, TypeAdapter

from shipping.decide import Policy
from shipping.gateway import Simulator


class Settings(CallingSettings):
    """Read from environment variables; each name's ending says its unit."""

    dispatch_after_s: Annotated[float, Field(ge=SHORTEST_S, le=86_400)] = 5.0
    """After how long from its booking a simulated van leaves with the parcels; until then it can be called off."""
    deliver_after_s: Annotated[float, Field(ge=SHORTEST_S, le=86_400)] = 10.0
    """After how long from there the last parcel is handed over."""
    home_country: Annotated[str, AfterValidator(TypeAdapter(CountryAlpha2).validate_python)] = "GB"
    """Where parcels leave from, as ISO 3166-1 alpha-2 code: parcels to any other country go abroad."""
    carrier_currency: Annotated[str, AfterValidator(TypeAdapter(Currency).validate_python)] = "GBP"
    """What the simulated carrier's rates are in, as ISO 4217 code."""
    simulator_slow_s: Annotated[float, Field(ge=0, le=300)] = 2.0
    """How long the simulated carrier takes for an address in a Slow Lane, and to lose an answer in a Lost Lane."""

    @property
    def policy(self) -> Policy:
        return Policy(self.backoff, timedelta(seconds=self.dispatch_after_s), timedelta(seconds=self.deliver_after_s))

    @property
    def simulator(self) -> Simulator:
        return Simulator(self.home_country, Currency(self.carrier_currency), timedelta(seconds=self.simulator_slow_s))
