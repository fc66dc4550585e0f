from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from contracts.topics import PARTITIONS, TOPICS, Topic
from oms import setup
from oms.fleet import Addresses
from oms.log import NoLog
from oms.placing.sending import Letter, Sender
from oms.setup import OtherPartitions, _new_topics, create_topics
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

pytestmark = pytest.mark.integration


async def test_setup_creates_every_topic_of_the_table_once(stack: Addresses) -> None:
    named = {topic.name for topic in TOPICS} | {topic.dead_letter for topic in TOPICS if topic.readers}

    await create_topics(stack.kafka)
    again = await create_topics(stack.kafka)

    assert set(again.known) == named
    assert again.new == []
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    described = await admin.describe_topics(sorted(named))
    await admin.close()
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == dict.fromkeys(named, PARTITIONS)


async def test_kafka_keeps_of_each_topic_what_setup_asks_for(stack: Addresses) -> None:
    await create_topics(stack.kafka)
    asked = {topic.name: topic.topic_configs for topic in _new_topics(PARTITIONS, replicas=1)}
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in asked])
    await admin.close()
    kept = {
        name: {key: value for key, value, *_ in entries if key in asked[name]}
        for answer in answers
        for _, _, _, name, entries in answer.resources
    }
    assert kept == asked


async def test_topics_that_an_upgrade_brings_have_as_many_partitions_as_the_others(
    stack: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_topics(stack.kafka)
    brought = f"brought-{uuid4().hex}"
    monkeypatch.setattr(setup, "TOPICS", (*TOPICS, Topic(brought, "order", ("order_id",), ())))

    with pytest.raises(OtherPartitions, match=f"have {PARTITIONS} partitions, not {PARTITIONS + 1}"):
        await create_topics(stack.kafka, PARTITIONS + 1)
    assert (await create_topics(stack.kafka)).new == [brought]


async def test_nothing_is_sent_to_a_topic_that_is_not_there_and_none_is_made(stack: Addresses) -> None:
    topic = f"nobodys-{uuid4().hex}"
    async with Sender(stack.kafka) as sender:
        with pytest.raises(NoLog, match=f"has no topic {topic}: run `oms setup`"):
            await sender.send(Letter(topic, None, b"{}", [], "m-1"))

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    assert topic not in await admin.list_topics()
    await admin.close()


async def test_mongodb_is_a_replica_set_that_takes_majority_writes(stack: Addresses) -> None:
    async with AsyncMongoClient(stack.mongo, serverSelectionTimeoutMS=5000) as client:
        hello = await client.admin.command("hello")
        written = await client.get_database("setup_check").marks.insert_one({})

    assert hello["setName"] == "rs0"
    assert written.acknowledged


async def test_redis_answers(stack: Addresses) -> None:
    async with Redis.from_url(stack.redis) as client:
        assert await client.ping()
