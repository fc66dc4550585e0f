"""Makes Kafka and MongoDB ready: the topics of the table, the replica set. Doing it again changes nothing."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from chassis.brokers import client_options
from chassis.limits import LARGEST_RECORD_BYTES
from contracts.topics import PARTITIONS, TOPICS
from pymongo import AsyncMongoClient
from pymongo.errors import NotPrimaryError, PyMongoError

from oms.connection import Unreachable
from oms.stack.mongo import REPLICA_SET

POLL_S = 0.2
PRIMARY_WITHIN_S = 60.0

OURS = frozenset(name for topic in TOPICS for name in (topic.name, topic.dead_letter))
"""The topics of the table, and those of their dead letters, of which some are never made."""


@dataclass(frozen=True)
class Created:
    """Which topics were created, and which were there before."""

    new: list[str]
    known: list[str]


class OtherPartitions(Exception):  # noqa: N818 - named for what is there
    """The topics that are there have another number of partitions, and services start only if all have the same."""


async def create_topics(brokers: str, partitions: int | None = None, replicas: int = 1) -> Created:
    """Create every topic of the table, and its dead-letter topic where somebody reads it.

    None makes as many partitions as the topics have that are there, or PARTITIONS if there are none. Raises Unreachable
    when Kafka does not answer, OtherPartitions, and KafkaError when it refuses a topic.
    """
    admin = AIOKafkaAdminClient(**client_options(brokers), request_timeout_ms=10_000)
    try:
        await admin.start()
    except KafkaError as error:
        raise Unreachable.kafka(brokers, error) from error
    try:
        answer = await admin.create_topics(_new_topics(await _agreed(admin, partitions), replicas))
    finally:
        await admin.close()
    created = Created([], [])
    for name, code, *why in answer.topic_errors:
        if code == 0:
            created.new.append(name)
        elif for_code(code) is TopicAlreadyExistsError:
            created.known.append(name)
        else:
            raise for_code(code)(f"{name}: {why[0] if why else ''}")
    return created


async def _agreed(admin: AIOKafkaAdminClient, partitions: int | None) -> int:
    """How many partitions all topics have. Raises OtherPartitions."""
    there = await admin.describe_topics(sorted(OURS & set(await admin.list_topics())))
    counts = {topic["topic"]: len(topic["partitions"]) for topic in there}
    found = set(counts.values())
    if len(found) > 1:
        raise OtherPartitions(f"topics differ in their number of partitions, so that no service starts: {counts}")
    if found and partitions not in {None, *found}:
        raise OtherPartitions(
            f"the topics that are there have {found.pop()} partitions, not {partitions}: that is chosen once and "
            "cannot be changed; without --partitions new topics get as many"
        )
    return found.pop() if found else partitions or PARTITIONS


def _new_topics(partitions: int, replicas: int) -> list[NewTopic]:
    durable = {"min.insync.replicas": str(max(1, replicas - 1))}
    # A topic that took less than a service may say would hold up for ever all that its partition says after it.
    large = {"max.message.bytes": str(LARGEST_RECORD_BYTES)}
    for_ever = {"retention.ms": "-1"}
    new = []
    for topic in TOPICS:
        keep = {"cleanup.policy": "compact"} if topic.compacted else for_ever
        ours = {} if topic.open else large
        new.append(NewTopic(topic.name, partitions, replicas, topic_configs={**durable, **ours, **keep}))
        if topic.readers:
            kept = {**durable, **large, **for_ever}
            new.append(NewTopic(topic.dead_letter, partitions, replicas, topic_configs=kept))
    return new


async def initiate_replica_set(host: str) -> bool:
    """Make one mongod at `host:port` a replica set of its own, and wait until it is primary.

    Returns whether it had to be initiated. Raises Unreachable when there is no primary in time.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        host, directConnection=True, serverSelectionTimeoutMS=2000
    )
    initiated = False
    failure: PyMongoError = NotPrimaryError("it does not become primary")
    deadline = asyncio.get_running_loop().time() + PRIMARY_WITHIN_S
    async with client:
        while asyncio.get_running_loop().time() < deadline:
            try:
                hello = await client.admin.command("hello")
                if hello.get("isWritablePrimary"):
                    return initiated
                if "setName" not in hello:
                    members = [{"_id": 0, "host": host}]
                    await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
                    initiated = True
            except PyMongoError as error:
                # It may not listen yet, or somebody else is initiating it: either way, the next hello tells.
                failure = error
            await asyncio.sleep(POLL_S)
    raise Unreachable.mongo(host, failure)
