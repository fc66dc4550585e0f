"""A channel: places an order over Kafka and waits for what becomes of it, with no code of Throughline's.

    python samples/channel.py localhost:19092 2001

Any Kafka client will do. This one is Confluent's (`pip install confluent-kafka`). It is told to choose partitions as
the services do: else a cancellation that comes another way, such as by HTTP, may overtake the order that it is about.
"""  # noqa: INP001 - a script, no package

import json
import sys
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Producer

PATIENCE_S = 30
ENDS = {b"OrderCompleted", b"OrderRejected", b"OrderCancelled", b"PlacementRefused"}
ADDRESS = {
    "name": "Grace Hopper",
    "street": "1 High Street",
    "city": "Leeds",
    "postal_code": "LS1 4AP",
    "country": "GB",
}


def place(brokers: str, number: str) -> str:
    order = {
        "channel": "phone",
        "number": number,
        "customer": {"id": "c-7", "name": "Grace Hopper", "email": "grace@example.com"},
        "shipping_address": ADDRESS,
        "billing_address": ADDRESS,
        "lines": [{"sku": "85123A", "quantity": 6, "unit_price": 255}],
        "shipping_charge": 300,
        "total": 1830,
        "currency": "GBP",
        "payment_token": "tok_ok",
    }
    order_id = f"{order['channel']}:{number}"
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "partitioner": "murmur2_random"})
    producer.produce(
        "order.intake",
        key=order_id,
        value=json.dumps(order),
        headers={"ce_specversion": "1.0", "ce_type": "OrderPlaced", "ce_id": str(uuid4()), "ce_source": "phone"},
    )
    if producer.flush(PATIENCE_S):
        sys.exit(f"Kafka does not take the order at {brokers}")
    return order_id


def follow(brokers: str, order_id: str) -> None:
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": f"channel-{uuid4()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["order.events"])
    while (record := consumer.poll(PATIENCE_S)) is not None:
        if record.error():
            raise KafkaException(record.error())
        if record.key() == order_id.encode():
            event = dict(record.headers())["ce_type"]
            print(event.decode(), record.value().decode())  # noqa: T201 - it is what the script is for
            if event in ENDS:
                consumer.close()
                return
    sys.exit(f"nothing was heard for {PATIENCE_S} s")


if __name__ == "__main__":
    _, kafka, new = sys.argv
    follow(kafka, place(kafka, new))
