"""Wires the order service."""

from dataclasses import replace
from datetime import timedelta

from chassis.run import run
from chassis.service import Index, Overdue, Service
from contracts.topics import topics_read_by

from order.api import router
from order.decide import decider, needs
from order.definition import Policy
from order.live import Live
from order.settings import Settings
from order.state import DOCUMENTS, Order
from order.validation import salvage
from order.view import StatusView


def service(policy: Policy) -> Service:
    """The service, wherever it runs, but for its view and for what counts as stuck."""
    return Service(
        name="order",
        topics=topics_read_by("order"),
        documents=DOCUMENTS,
        needs=needs,
        decide=decider(policy),
        salvage=salvage,
        indexes=(
            Index(Order.kind, (("received_ms", -1), ("id", 1))),
            Index(Order.kind, (("changed_ms", 1), ("id", 1))),
            Index(Order.kind, (("status", 1), ("received_ms", -1), ("id", 1))),
            Index(Order.kind, (("placed.channel", 1), ("received_ms", -1), ("id", 1))),
            Index(Order.kind, (("placed.customer.id", 1), ("received_ms", -1), ("id", 1))),
            Index(Order.kind, (("unanswered_since_ms", 1), ("id", 1))),
        ),
    )


def main() -> None:
    settings = Settings.from_environment()
    stuck_after = timedelta(seconds=settings.stuck_after_s)
    shown = replace(
        service(settings.policy),
        view=StatusView(settings.redis_url),
        overdue=Overdue(Order.kind, "saga", since_ms="unanswered_since_ms", why="status", after=stuck_after),
    )
    run(shown, settings, lambda reader, publisher: router(reader, publisher, Live(settings.redis_url), stuck_after))
