"""Wires the payment service."""

from chassis.run import run
from chassis.service import Index, Outside, Service
from contracts.topics import topics_read_by

from payment.api import router
from payment.decide import decider, needs
from payment.settings import Settings
from payment.state import DOCUMENTS, Payment


def main() -> None:
    settings = Settings.from_environment()
    service = Service(
        name="payment",
        topics=topics_read_by("payment"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(settings.retry),
        outside=Outside(settings.simulator, timeout_s=settings.call_timeout_s, at_once=settings.calls_at_once),
        indexes=(
            Index(Payment.kind, (("order_id", 1), ("revision", 1))),
            Index(Payment.kind, (("state", 1), ("id", 1))),
            Index(Payment.kind, (("trouble.times", 1),)),
        ),
    )
    run(service, settings, router)
