"""Wires the shipping service."""

from dataclasses import replace

from chassis.run import run
from chassis.service import Index, Outside, Service
from contracts.topics import topics_read_by

from shipping.api import router
from shipping.decide import Policy, decider, needs
from shipping.settings import Settings
from shipping.state import DOCUMENTS, Shipment


def service(policy: Policy) -> Service:
    """The service, wherever it runs, but for whom it calls."""
    return Service(
        name="shipping",
        topics=topics_read_by("shipping"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(policy),
        indexes=(
            Index(Shipment.kind, (("order_id", 1), ("revision", 1), ("attempt", 1))),
            Index(Shipment.kind, (("state", 1), ("id", 1))),
            Index(Shipment.kind, (("failing.times", 1),)),
        ),
    )


def main() -> None:
    settings = Settings.from_environment()
    calling = replace(
        service(settings.policy),
        outside=Outside(settings.simulator, timeout_s=settings.call_timeout_s, at_once=settings.calls_at_once),
    )
    run(calling, settings, router)
