"""The floor under a benchmark, one service of it: `python -m oms.bench.floor SERVICE [--without-storage]`.

Five such processes do with Kafka and MongoDB what the five services do for an order that is completed, and no more: the
same eighteen messages on the same topics, of the same size, decoded by the same models; one insert into a journal for
each batch of a partition, with all that it says, by majority and on disk; the same clients with the same settings. They
decide nothing, check nothing, keep no documents, and what they are at when they die is lost. Of an order they remember
only what a later message repeats. What the services need beyond this is the price of what they promise.
"""

import asyncio
import gc
import secrets
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import bson
import cramjam
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.producer.message_accumulator import BatchBuilder
from chassis.brokers import client_options
from chassis.entry import Outgoing
from chassis.kafka.edge import FETCH_WAIT_MS, POLL_MS
from chassis.kafka.log import BATCH_BYTES
from chassis.kafka.partitioner import home_of
from chassis.limits import LARGEST_RECORD_BYTES
from chassis.mongo.client import connect
from chassis.mongo.raw import ZSTD_LEVEL
from chassis.settings import ChassisSettings
from chassis.trace import child_of
from contracts.fulfillment import FulfillOrder, OrderPacked, OrderPicked, Pick
from contracts.inventory import BinQuantity, IssueStock, ReserveStock, StockIssued, StockReserved
from contracts.message import Currency, Message, SkuQuantity
from contracts.order import Allocation, OrderCompleted, OrderConfirmed, OrderPlaced, OrderShipped, OrderValidated
from contracts.payment import AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured
from contracts.shipping import CreateShipment, Parcel, Recipient, ShipmentCreated, TrackedParcel
from contracts.topics import TOPIC_OF, topics_read_by
from contracts.wire import Envelope, decode, encode
from pymongo import WriteConcern

READY = "ready"
"""What a process says when it reads its topics."""
WITHOUT_STORAGE = "--without-storage"
GBP = Currency("GBP")
ROUTE = ("LON", "MAN", "ROT")


class Answers:
    """What is said to each message when all goes well."""

    def __init__(self) -> None:
        self._placed: dict[str, OrderPlaced] = {}
        self._reserved: dict[str, tuple[SkuQuantity, ...]] = {}

    def to(self, message: Message) -> Iterator[Message]:
        """The answers of whichever service listens to such a message."""
        step: dict[str, Any] = {"order_id": getattr(message, "order_id", ""), "revision": 1, "attempt": 1}
        match message:
            case ReserveStock(lines=lines, location=location):
                self._reserved[message.order_id] = lines
                found = tuple(BinQuantity(sku=line.sku, quantity=line.quantity) for line in lines)
                yield StockReserved(location=location, lines=found, **step)
            case IssueStock(location=location):
                yield StockIssued(location=location, lines=self._reserved.pop(message.order_id), **step)
            case AuthorizePayment(amount=amount, currency=currency):
                yield PaymentAuthorized(amount=amount, currency=currency, authorization_id=_reference(), **step)
            case CapturePayment(amount=amount):
                yield PaymentCaptured(amount=amount, currency=GBP, capture_id=_reference(), **step)
            case FulfillOrder():
                yield OrderPicked(**step)
                yield OrderPacked(**step)
            case CreateShipment(parcels=parcels):
                yield ShipmentCreated(parcels=tuple(map(_tracked, parcels)), **step)
            case _:
                yield from self._of_order(message, step)

    def _of_order(self, message: Message, step: dict[str, Any]) -> Iterator[Message]:
        event = {"order_id": step["order_id"], "revision": 1}
        match message:
            case OrderPlaced(total=total, currency=currency, payment_token=token):
                self._placed[message.order_id] = message
                yield OrderValidated(total=total, currency=currency, route=ROUTE, **event)
                wanted = tuple(SkuQuantity(sku=line.sku, quantity=line.quantity) for line in message.lines)
                yield ReserveStock(location=ROUTE[0], lines=wanted, **step)
                yield AuthorizePayment(amount=total, currency=currency, payment_token=token, **step)
            case StockReserved(location=location, lines=lines):
                held = tuple(SkuQuantity(sku=line.sku, quantity=line.quantity) for line in lines)
                yield OrderConfirmed(allocations=(Allocation(location=location, lines=held),), **event)
                yield FulfillOrder(picks=(Pick(location=location, lines=lines),), **step)
            case OrderPacked():
                placed = self._placed[message.order_id]
                units = sum(line.quantity for line in placed.lines)
                to = Recipient.model_construct(**dict(placed.shipping_address))
                parcel = Parcel(location=ROUTE[0], units=units)
                yield CreateShipment(recipient=to, method=placed.shipping_method, parcels=(parcel,), **step)
            case ShipmentCreated(parcels=parcels):
                yield OrderShipped(parcels=parcels, **event)
                yield CapturePayment(amount=self._placed.pop(message.order_id).total, **step)
                yield IssueStock(location=ROUTE[0], **step)
            case PaymentCaptured(amount=amount, currency=currency):
                yield OrderCompleted(captured=amount, currency=currency, **event)


def _reference() -> str:
    """As long as the simulated provider's, and as hard to pack."""
    return f"sim_ok_{secrets.token_hex(12)}"


def _tracked(parcel: Parcel) -> TrackedParcel:
    return TrackedParcel(
        location=parcel.location,
        carrier="Parcel Post",
        tracking_number=f"PP{secrets.randbelow(10**17):017}GB",
        cost=395 + 10 * parcel.units,
        currency=GBP,
        estimated_delivery=date(2026, 1, 5),
    )


class Lane:
    """One partition of every topic: a batch is decoded, answered, journaled and published."""

    def __init__(
        self,
        service: str,
        partition: int,
        partitions: int,
        *,
        producer: Any,  # noqa: ANN401 - aiokafka ships no types
        journal: Any,  # noqa: ANN401 - nor does Motor, which only the chassis knows
        settings: ChassisSettings,
    ) -> None:
        self.waiting: asyncio.Queue[ConsumerRecord] = asyncio.Queue(settings.inbox_max_messages)
        self._partition = partition
        self._partitions = partitions
        self._producer = producer
        self._journal = journal
        self._most = settings.batch_max_messages
        self._source = f"{service}/{partition}@00000000"
        self._answers = Answers()
        self._positions: dict[str, int] = {}
        self._sent: Counter[tuple[str, int]] = Counter()

    async def run(self) -> None:
        for number in count(1):
            records = [await self.waiting.get()]
            while len(records) < self._most and not self.waiting.empty():
                records.append(self.waiting.get_nowait())
            said = list(self._said(records, number))
            if self._journal is not None:
                await self._insert(number, said)
            await self._publish(said)

    def _said(self, records: Iterable[ConsumerRecord], number: int) -> Iterator[Outgoing]:
        now, places = datetime.now(UTC), count()
        for record in records:
            self._positions[record.topic] = record.offset + 1
            cause = decode(record)
            for message in self._answers.to(cause.message):
                topic = TOPIC_OF[type(message)]
                key = topic.key_of(message)
                link = (topic.name, home_of(key, self._partitions))
                self._sent[link] += 1
                message_id = f"{self._source}/{number}/{next(places)}"
                correlation = str(getattr(message, "order_id", key))
                envelope = Envelope(
                    message=message,
                    id=message_id,
                    source=self._source,
                    time=now,
                    correlation_id=correlation,
                    causation_id=cause.id,
                    sequence=self._sent[link],
                    traceparent=child_of(cause.traceparent, message_id, correlation),
                )
                yield Outgoing(*link, key.encode(), *encode(envelope))

    async def _insert(self, number: int, said: Sequence[Outgoing]) -> None:
        outbox = {"outbox": [[one.topic, one.partition, one.key, one.value, one.headers] for one in said]}
        await self._journal.insert_one(
            {
                "_id": f"{self._partition}/{number}",
                "number": number,
                "positions": list(self._positions.items()),
                "content": bytes(cramjam.zstd.compress(bson.encode(outbox), level=ZSTD_LEVEL)),
            }
        )

    async def _publish(self, said: Iterable[Outgoing]) -> None:
        by_partition: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for one in said:
            by_partition[one.topic, one.partition].append(one)
        taken = []
        for (topic, partition), some in by_partition.items():
            batch = self._producer.create_batch()
            for one in some:
                if not _append(batch, one):
                    taken.append(await self._producer.send_batch(batch, topic, partition=partition))
                    batch = self._producer.create_batch()
                    _append(batch, one)
            taken.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*taken)


def _append(batch: BatchBuilder, one: Outgoing) -> bool:
    """Whether there was room for it."""
    return batch.append(timestamp=None, key=one.key, value=one.value, headers=one.headers) is not None


async def run(service: str, *, has_storage: bool) -> None:
    """Serve until cancelled."""
    # Of the same environment variables as the services', with the same defaults.
    settings = ChassisSettings.from_environment()
    consumer = AIOKafkaConsumer(
        *topics_read_by(service),
        **client_options(settings.kafka_brokers),
        group_id=f"floor-{service}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=(RangePartitionAssignor,),
        fetch_max_wait_ms=FETCH_WAIT_MS,
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(
        **client_options(settings.kafka_brokers),
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        max_request_size=LARGEST_RECORD_BYTES,
        compression_type="zstd",
    )
    database = connect(settings.mongo_url).get_database(service, write_concern=WriteConcern(w="majority", j=True))
    journal = database["journal"] if has_storage else None
    await consumer.start()
    await producer.start()
    try:
        async with asyncio.TaskGroup() as group:
            numbers = sorted({where.partition for where in consumer.assignment()})
            lanes = {
                number: Lane(service, number, len(numbers), producer=producer, journal=journal, settings=settings)
                for number in numbers
            }
            for lane in lanes.values():
                group.create_task(lane.run())
            gc.collect()
            gc.freeze()  # as the services do
            gc.set_threshold(50_000, 20, 50)
            print(READY, flush=True)  # noqa: T201 - this is how it is known
            while True:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=settings.inbox_max_messages)
                for where, records in fetched.items():
                    for record in records:
                        await lanes[where.partition].waiting.put(record)
    finally:
        await consumer.stop()
        await producer.stop()


async def main(service: str, *options: str) -> None:
    """Serve until SIGTERM."""
    serving = asyncio.create_task(run(service, has_storage=WITHOUT_STORAGE not in options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
