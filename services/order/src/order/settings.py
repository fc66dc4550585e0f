"""What the order service must be told beyond what all services are."""

from datetime import timedelta
from typing import Annotated

from chassis.settings import SHORTEST_S, ViewSettings
from contracts.message import CountryAlpha2, Location
from pydantic import AfterValidator, Field, field_validator

from order.definition import Policy
from order.saga import DEFINITIONS
from order.sourcing import Routes


def _each_once(route: tuple[Location, ...]) -> tuple[Location, ...]:
    if len(set(route)) < len(route):
        raise ValueError("it names a location twice")
    return route


Route = Annotated[tuple[Location, ...], Field(min_length=1, max_length=20), AfterValidator(_each_once)]
Seconds = Annotated[float, Field(ge=SHORTEST_S, le=31_536_000)]


class Settings(ViewSettings):
    """Read from environment variables; each name's ending says its unit."""

    saga_definition: int = max(DEFINITIONS)
    """The number of the saga's definition that new orders begin with; by default the newest that this version knows."""
    default_route: Route = ("LON", "MAN", "ROT")
    """The locations that are asked for stock, each once, the first one first, as a JSON array."""
    routes_by_country: dict[CountryAlpha2, Route] = Field(default_factory=dict)
    """Other routes for some destinations, as a JSON object from ISO 3166-1 alpha-2 codes to routes."""
    reserve_deadline_s: Seconds = 600.0
    """How long one location may take to answer whether it has the stock."""
    authorize_deadline_s: Seconds = 600.0
    """How long payment may take to be authorized."""
    fulfill_deadline_s: Seconds = 86_400.0
    """How long picking and packing may take."""
    ship_deadline_s: Seconds = 3600.0
    """How long the carrier may take to accept the parcels."""
    backorder_deadline_s: Seconds = 432_000.0
    """How long an order waits for stock to arrive; card authorizations seldom last longer than a week."""
    undo_resend_s: Seconds = 60.0
    """After how long without an answer an undo is sent again; the time doubles up to an hour, without end."""
    forward_resend_s: Seconds = 60.0
    """After how long without an answer capture and issue, which only go forward, are sent again, just so."""
    stuck_after_s: Seconds = 300.0
    """After how long without an answer to what must be done, an undo, capture or issue, an order counts as stuck."""

    @field_validator("saga_definition")
    @classmethod
    def _must_be_known(cls, number: int) -> int:
        if number not in DEFINITIONS:
            raise ValueError(f"this version knows the definitions {', '.join(map(str, DEFINITIONS))}")
        return number

    @property
    def policy(self) -> Policy:
        return Policy(
            definition=self.saga_definition,
            routes=Routes(
                self.default_route, {str(country): route for country, route in self.routes_by_country.items()}
            ),
            reserve_within=timedelta(seconds=self.reserve_deadline_s),
            authorize_within=timedelta(seconds=self.authorize_deadline_s),
            fulfill_within=timedelta(seconds=self.fulfill_deadline_s),
            ship_within=timedelta(seconds=self.ship_deadline_s),
            backorder_within=timedelta(seconds=self.backorder_deadline_s),
            undo_again_after=timedelta(seconds=self.undo_resend_s),
            forward_again_after=timedelta(seconds=self.forward_resend_s),
        )
