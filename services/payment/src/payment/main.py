"""Wires the payment service."""

from dataclasses import replace

from chassis.backoff import Backoff
from chassis.run import run
from chassis.service import Index, Outside, Service
from contracts.topics import topics_read_by

from payment.api import router
from payment.decide import decider, needs
from payment.settings import Settings
from payment.state import DOCUMENTS, Payment


def service(backoff: Backoff) -> Service:
    """The service, wherever it runs, but for whom it calls."""
    return Service(
        name="payment",
        topics=topics_read_by("payment"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(backoff),
        indexes=(
            Index(Payment.kind, (("order_id", 1), ("revision", 1))),
            Index(Payment.kind, (("state", 1), ("id", 1))),
            Index(Payment.kind, (("failing.times", 1),)),
        ),
    )


def main() -> None:
    settings = Settings.from_environment()
    calling = replace(
        service(settings.backoff),
        outside=Outside(settings.simulator, timeout_s=settings.call_timeout_s, at_once=settings.calls_at_once),
    )
    run(calling, settings, router)
