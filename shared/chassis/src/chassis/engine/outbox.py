"""What a batch says, as it will be on Kafka."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from contracts.message import Message
from contracts.record import Received
from contracts.topics import TOPIC_OF
from contracts.wire import FORWARDED, Envelope, encode

from chassis.cause import Cause
from chassis.decision import correlation_of
from chassis.entry import Change, Outgoing, Progress
from chassis.limits import HEADER_BYTES
from chassis.ports import Log
from chassis.trace import child_of

RECORD_BYTES = 200
"""What a record costs in the journal beside its contents."""


def weight_of(record: Outgoing) -> int:
    """How many bytes a record takes in the journal, about."""
    headers = sum([len(name) + len(value or b"") + HEADER_BYTES for name, value in record.headers])
    return len(record.value or b"") + len(record.key or b"") + headers + RECORD_BYTES


def weight_of_entry(changes: Iterable[Change], outbox: Iterable[Outgoing]) -> int:
    """How many bytes an entry has before it is packed, about."""
    return sum([len(change.body) for change in changes]) + sum(map(weight_of, outbox))


def forwarded(record: Received, home: int, key: str) -> Outgoing:
    """The same record for another partition of its topic."""
    headers = [*record.headers, (FORWARDED, f"{record.partition}/{record.offset}".encode())]
    return Outgoing(record.topic, home, key.encode(), record.value, headers)


def is_forwarded(record: Received) -> bool:
    return any(name == FORWARDED for name, _ in record.headers)


class Outbox:
    """Gathers what is said, in order, and numbers it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: list[tuple[Message, Cause] | Outgoing] = []

    def say(self, messages: Iterable[Message], cause: Cause) -> None:
        self._said.extend((message, cause) for message in messages)

    def pass_on(self, record: Outgoing) -> None:
        """Publish a record as it is; nobody counts it."""
        self._said.append(record)

    def records(self, progress: Progress, source: str, number: int, now: datetime) -> Iterable[Outgoing]:
        """Everything as records of entry `number`; each message gets the next number of its link from `progress`."""
        for place, said in enumerate(self._without_overtaken()):
            if isinstance(said, Outgoing):
                yield said
                continue
            message, cause = said
            topic = TOPIC_OF[type(message)]
            key = topic.key_of(message)
            partition = topic.partition_of(message, self._log.partition_of)
            link = (topic.name, partition)
            progress.sent[link] = sequence = progress.sent.get(link, 0) + 1
            correlation = correlation_of(message, cause.correlation_id)
            message_id = f"{source}/{number}/{place}"
            value, headers = encode(
                Envelope(
                    message=message,
                    id=message_id,
                    source=source,
                    time=now,
                    correlation_id=correlation,
                    causation_id=cause.id,
                    sequence=sequence,
                    traceparent=child_of(cause.traceparent, message_id, correlation),
                )
            )
            yield Outgoing(topic.name, partition, key.encode(), value, headers)

    def _without_overtaken(self) -> Sequence[tuple[Message, Cause] | Outgoing]:
        """Of a compacted topic's messages only the last of each key in a batch: those before it are state gone by."""
        last: dict[tuple[str, str], int] = {}
        for place, said in enumerate(self._said):
            if isinstance(said, tuple) and (topic := TOPIC_OF[type(said[0])]).compacted:
                last[topic.name, topic.key_of(said[0])] = place
        if not last:
            return self._said
        return [
            said
            for place, said in enumerate(self._said)
            if isinstance(said, Outgoing)
            or not (topic := TOPIC_OF[type(said[0])]).compacted
            or last[topic.name, topic.key_of(said[0])] == place
        ]
