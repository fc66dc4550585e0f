"""Wires the fulfillment service."""

from chassis.run import run
from chassis.service import Index, Service
from contracts.topics import topics_read_by

from fulfillment.api import router
from fulfillment.decide import SimulatedPickers, decider, needs
from fulfillment.settings import Settings
from fulfillment.state import DOCUMENTS, Fulfillment


def service(pickers: SimulatedPickers | None) -> Service:
    """The service, wherever it runs."""
    return Service(
        name="fulfillment",
        topics=topics_read_by("fulfillment"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(pickers),
        indexes=(
            Index(Fulfillment.kind, (("order_id", 1),)),
            Index(Fulfillment.kind, (("lists.state", 1), ("requested_at", 1), ("id", 1))),
        ),
    )


def main() -> None:
    settings = Settings.from_environment()
    run(service(settings.simulated_pickers), settings, router)
