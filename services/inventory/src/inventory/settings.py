"""What the inventory service must be told beyond what all services are."""

from typing import Annotated

from chassis.settings import ViewSettings
from pydantic import Field

from inventory.decide import Policy


class Settings(ViewSettings):
    """Read from environment variables; each name's ending says its unit."""

    documents_in_memory: Annotated[int, Field(ge=0, le=10_000_000)] = 2000
    """How many documents a partition keeps in memory beyond those in flight; the items of a location are small, and
    every order asks for some."""
    backorder_queue_max_orders: Annotated[int, Field(ge=0, le=10_000)] = 2000
    """How many orders may wait for one item in one location; those after them are rejected as short."""
    availability_refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """How long the copy of the levels in Redis is trusted before it is compared with the store and made whole again."""

    @property
    def policy(self) -> Policy:
        return Policy(self.backorder_queue_max_orders)
