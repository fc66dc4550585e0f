import pytest
from aiokafka.admin import AIOKafkaAdminClient
from contracts.topics import PARTITIONS, TOPICS
from oms.fleet import Addresses
from oms.setup import create_topics
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


async def test_mongodb_is_a_replica_set_that_takes_majority_writes(stack: Addresses) -> None:
    async with AsyncMongoClient(stack.mongo, serverSelectionTimeoutMS=5000) as client:
        hello = await client.admin.command("hello")
        written = await client.get_database("setup_check").marks.insert_one({})

    assert hello["setName"] == "rs0"
    assert written.acknowledged


async def test_redis_answers(stack: Addresses) -> None:
    async with Redis.from_url(stack.redis) as client:
        assert await client.ping()
