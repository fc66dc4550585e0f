"""Shows that the simulator can fail: each bug planted in the engine or in a service is found by an early seed."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import chassis.engine.reading
import chassis.mongo.store
import inventory.decide
import order.sourcing
import payment.decide
import pytest
import shipping.decide
from chassis.decision import Call
from chassis.engine.partition import FAILED, Partition
from chassis.engine.tail import Tail
from chassis.entry import Change, Checkpoint, Entry, Progress
from chassis.mongo.store import MongoStore
from chassis.testing.topics import MemoryFeed
from contracts.message import Reason, names_of
from contracts.payment import PaymentCaptured, PaymentVoided, VoidPayment
from contracts.reasons import Unreadable
from contracts.record import Received
from contracts.shipping import ShipmentCancelled
from contracts.wire import Envelope
from oms.audit.finding import Check, Finding
from oms.simulate.database import Collection
from oms.simulate.game import Outcome, play
from oms.simulate.plan import plan_of
from order.definition import Policy
from order.interpreter import Turn
from order.saga import DEFINITIONS
from order.state import Order
from payment.state import Payment
from pymongo import UpdateOne
from shipping.state import Shipment

MOST_SEEDS = 150
STALE = re.compile(r"\b(Attribute|Index|Key|Name|NotImplemented|Type|Value)Error\b")
"""What a mutant raises that does not fit the code any more, as the engine logs it."""
Mutate = Callable[[pytest.MonkeyPatch], None]


def publishes_before_the_journal(patch: pytest.MonkeyPatch) -> None:
    right = Tail.append

    async def append(self: Tail, entry: Entry, *rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        await self._log.publish(entry.outbox)
        await right(self, entry, *rest)

    patch.setattr(Tail, "append", append)


def does_not_publish_again_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    right = Tail.__init__

    def begin(self: Tail, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever it takes
        right(self, *args, **kwargs)
        self._unpublished.clear()

    patch.setattr(Tail, "__init__", begin)


def forgets_what_it_heard(patch: pytest.MonkeyPatch) -> None:
    right = Progress.since
    patch.setattr(Progress, "since", lambda self, before: Progress(*_without_heard(right(self, before))))


def _without_heard(progress: Progress) -> tuple[dict[str, int], dict[tuple[str, str], int], dict[tuple[str, int], int]]:
    return progress.positions, {}, progress.sent


def goes_on_where_kafka_says(patch: pytest.MonkeyPatch) -> None:
    """What was delivered counts as done, as with every client that commits by itself."""
    committed: dict[tuple[object, str, int], int] = {}
    offer, start_at = Partition.offer, MemoryFeed.start_at

    def commit_and_offer(self: Partition, records: Sequence[Any]) -> None:
        for record in records:
            committed[self._log._topics, record.topic, record.partition] = record.offset + 1  # type: ignore[attr-defined] # the simulator's log
        offer(self, records)

    async def start(self: MemoryFeed, positions: Mapping[str, int], *rest: Any) -> Mapping[str, int]:  # noqa: ANN401 - whatever it takes
        known = {name: committed.get((self._topics, name, self._number), 0) for name in positions}
        return await start_at(self, known, *rest)

    patch.setattr(Partition, "offer", commit_and_offer)
    patch.setattr(MemoryFeed, "start_at", start)


def writes_documents_over_newer_ones(patch: pytest.MonkeyPatch) -> None:
    def unguarded(row: Mapping[str, Any]) -> UpdateOne:
        always = {"$cond": [{"$lt": ["$entry", math.inf]}, {"$literal": row}, "$$ROOT"]}
        return UpdateOne({"_id": row["_id"]}, [{"$replaceWith": always}], upsert=True)

    patch.setattr(chassis.mongo.store, "_guarded", unguarded)


def writes_a_checkpoint_whoever_owns_the_partition(patch: pytest.MonkeyPatch) -> None:
    right = Collection.update_one

    async def update_one(self: Collection, query: Mapping[str, Any], update: Mapping[str, Any]) -> object:
        return await right(self, {"_id": query["_id"]}, update)

    patch.setattr(Collection, "update_one", update_one)


def writes_the_checkpoint_before_the_documents(patch: pytest.MonkeyPatch) -> None:
    right = MongoStore.checkpoint

    async def checkpoint(self: MongoStore, checkpoint: Checkpoint, changes: Sequence[Change]) -> None:
        await right(self, checkpoint, ())
        await right(self, checkpoint, changes)

    patch.setattr(MongoStore, "checkpoint", checkpoint)


def undoes_a_payment_without_a_tombstone(patch: pytest.MonkeyPatch) -> None:
    right = payment.decide._void

    def void(known: Payment, command: VoidPayment, now: datetime) -> tuple[Payment, tuple[Any, ...]]:
        if known.state == "authorizing":  # nothing is held yet, so there seems to be nothing to undo or to wait for
            undone = known.but(state="voided", voided=command.attempt, calls=())
            return undone, (PaymentVoided(**known.names(command.attempt)),)
        return right(known, command, now)

    patch.setattr(payment.decide, "_void", void)


def undoes_a_shipment_without_a_tombstone(patch: pytest.MonkeyPatch) -> None:
    right = shipping.decide._cancel

    def cancel(known: Shipment) -> tuple[Shipment, tuple[Any, ...]]:
        if known.state == "booking":  # nothing is booked yet, so there seems to be nothing to call off or to wait for
            return known.but(state="cancelled", calls=()), (ShipmentCancelled(**names_of(known)),)
        return right(known)

    patch.setattr(shipping.decide, "_cancel", cancel)


def charges_anew_after_a_time_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Call, "same_again", property(lambda self: self.anew.model_copy(update={"tries": self.tries + 1})))


def takes_the_definition_that_new_orders_begin_with(patch: pytest.MonkeyPatch) -> None:
    right = Turn.__init__

    def begin(self: Turn, order: Order, policy: Policy, now: datetime) -> None:
        right(self, order, policy, now)
        self._definition = DEFINITIONS[policy.definition]

    patch.setattr(Turn, "__init__", begin)


def takes_the_newest_definition(patch: pytest.MonkeyPatch) -> None:
    """The audit, which replays with the same saga, takes it, too."""
    right = Turn.__init__

    def begin(self: Turn, order: Order, policy: Policy, now: datetime) -> None:
        right(self, order, policy, now)
        self._definition = DEFINITIONS[max(DEFINITIONS)]

    patch.setattr(Turn, "__init__", begin)


def refuses_what_an_older_version_did_not_name(patch: pytest.MonkeyPatch) -> None:
    right = chassis.engine.reading.decode

    def decode(record: Received) -> Envelope:
        envelope = right(record)
        if isinstance(envelope.message, PaymentCaptured) and not envelope.message.capture_id:
            raise Unreadable((Reason(path="capture_id", code="missing", message="which capture is it?"),))
        return envelope

    patch.setattr(chassis.engine.reading, "decode", decode)


def reserves_as_many_units_of_one_item(patch: pytest.MonkeyPatch) -> None:
    """The order service, and the audit with it, counts the units and goes on."""
    right = inventory.decide.added_up

    def of_one(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
        units = right(lines)
        return {sku: sum(units.values()) for sku in [*units][:1]}

    patch.setattr(inventory.decide, "added_up", of_one)
    patch.setattr(order.sourcing, "_units", lambda lines: Counter(units=sum(line.quantity for line in lines)))


MUTANTS: dict[Mutate, set[Check]] = {
    publishes_before_the_journal: {"links"},
    does_not_publish_again_after_a_crash: {"links"},
    forgets_what_it_heard: {"links"},
    goes_on_where_kafka_says: {"links"},
    writes_documents_over_newer_ones: {"store"},
    writes_a_checkpoint_whoever_owns_the_partition: {"store"},
    writes_the_checkpoint_before_the_documents: {"store"},
    undoes_a_payment_without_a_tombstone: {"money"},
    undoes_a_shipment_without_a_tombstone: {"once"},
    charges_anew_after_a_time_out: {"money", "once"},
    takes_the_definition_that_new_orders_begin_with: {"decisions", "endings"},
    takes_the_newest_definition: {"endings"},
    refuses_what_an_older_version_did_not_name: {"dead letters"},
    reserves_as_many_units_of_one_item: {"stock"},
}
"""Each bug, and the checks that may find it."""


def proof(outcome: Outcome, checks: set[Check]) -> Finding | None:
    """What these checks found of the bug.

    A mutant that does not fit the code any more raises. That is found, too, and proves nothing.
    """
    if any(map(STALE.search, outcome.story)):
        return None
    found = (finding for finding in outcome.findings if finding.check in checks)
    return next((finding for finding in found if not finding.what.startswith(FAILED)), None)


@pytest.mark.parametrize(("mutate", "checks"), MUTANTS.items(), ids=[mutate.__name__ for mutate in MUTANTS])
def test_a_planted_bug_is_found(
    mutate: Mutate,
    checks: set[Check],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    mutate(monkeypatch)
    for seed in range(MOST_SEEDS):
        if finding := proof(play(plan_of(seed)), checks):
            print(f"{mutate.__name__}: seed {seed}: {finding.what}")  # noqa: T201 - what `pytest -rP` shows
            record_property("seed", seed)
            return
    pytest.fail(f"none of {MOST_SEEDS} seeds found it")
