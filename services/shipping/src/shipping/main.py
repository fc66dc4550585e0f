"""Wires the shipping service."""

from chassis.run import run
from chassis.service import Index, Outside, Service
from contracts.topics import topics_read_by

from shipping.api import router
from shipping.decide import decider, needs
from shipping.settings import Settings
from shipping.state import DOCUMENTS, Shipment


def main() -> None:
    settings = Settings.from_environment()
    service = Service(
        name="shipping",
        topics=topics_read_by("shipping"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(settings.policy),
        outside=Outside(settings.simulator, timeout_s=settings.call_timeout_s, at_once=settings.calls_at_once),
        indexes=(
            Index(Shipment.kind, (("order_id", 1), ("revision", 1), ("attempt", 1))),
            Index(Shipment.kind, (("state", 1), ("id", 1))),
            Index(Shipment.kind, (("trouble.times", 1),)),
        ),
    )
    run(service, settings, router)
