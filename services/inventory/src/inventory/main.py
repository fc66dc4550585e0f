"""Wires the inventory service."""

from dataclasses import replace

from chassis.limits import LONGEST_PAUSE_S
from chassis.run import run
from chassis.service import Index, Service
from contracts.topics import topics_read_by

from inventory.api import router
from inventory.decide import Policy, decider, needs
from inventory.settings import Settings
from inventory.state import DOCUMENTS, LedgerEntry, Reservation, Stock
from inventory.view import Availability


def service(policy: Policy) -> Service:
    """The service, wherever it runs, but for its view."""
    return Service(
        name="inventory",
        topics=topics_read_by("inventory"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(policy),
        indexes=(
            Index(Stock.kind, (("sku", 1),)),
            Index(Reservation.kind, (("location", 1), ("state", 1), ("number", 1))),
            Index(Reservation.kind, (("order_id", 1),)),
            Index(LedgerEntry.kind, (("location", 1), ("changes.sku", 1), ("number", -1))),
        ),
    )


def main() -> None:
    settings = Settings.from_environment()
    availability = Availability(
        settings.redis_url,
        settle_s=2 * (settings.checkpoint_interval_s + LONGEST_PAUSE_S),
        refresh_s=settings.availability_refresh_s,
    )
    shown = replace(service(settings.policy), view=availability)
    run(shown, settings, lambda reader, publisher: router(reader, publisher, availability))
