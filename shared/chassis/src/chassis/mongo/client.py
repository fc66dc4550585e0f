"""The connection to MongoDB. The only module that imports Motor."""

from datetime import UTC

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from chassis.mongo.raw import CODEC

Client = AsyncIOMotorClient
MongoCollection = AsyncIOMotorCollection
MongoDatabase = AsyncIOMotorDatabase


def connect(url: str) -> Client:
    """A client that waits for nothing without end, and whose times are in UTC."""
    return AsyncIOMotorClient(url, tz_aware=True, tzinfo=UTC, serverSelectionTimeoutMS=5000, socketTimeoutMS=20_000)


def database_of(client: Client, name: str) -> MongoDatabase:
    """A database that can be trusted: what is written stays, and what is read is the primary's newest.

    It is so whatever the URL prefers: a secondary, and what is known to be a majority's, may be behind.
    """
    return client.get_database(
        name,
        codec_options=CODEC,
        read_preference=ReadPreference.PRIMARY,  # type: ignore[call-arg] # Motor's stub misspells it
        read_concern=ReadConcern("local"),
        write_concern=WriteConcern(w="majority", j=True),
    )
