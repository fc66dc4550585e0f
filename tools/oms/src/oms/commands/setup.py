"""`oms setup`: make somebody's Kafka and MongoDB ready."""

import asyncio
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from oms import connection
from oms import setup as making
from oms.commands import AS_THERE_ARE, NOTES, Brokers, Json, partitions_option, print_json, said_plainly


def setup(
    *,
    brokers: Brokers = None,
    partitions: Annotated[int | None, partitions_option(AS_THERE_ARE, "PARTITIONS")] = None,
    replicas: Annotated[int, typer.Option(min=1, max=16, help="Replicas of every partition.")] = 1,
    mongo_host: Annotated[
        str | None, typer.Option(help="A single mongod, HOST:PORT, to make a replica set of, where it is none yet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the topics, and the replica set where one is asked for. Doing it again changes nothing."""
    with said_plainly(connection.Unreachable, making.OtherPartitions, KafkaError):
        at = connection.brokers(brokers)
        initiated = mongo_host is not None and asyncio.run(
            making.initiate_replica_set(connection.mongo_host(mongo_host))
        )
        created = asyncio.run(making.create_topics(at, partitions, replicas))
    if as_json:
        print_json({"created": created.new, "known": created.known, "replica_set_initiated": initiated})
    else:
        NOTES.print(f"{len(created.new)} topics created, {len(created.known)} were there", highlight=False)
        if initiated:
            NOTES.print(f"{mongo_host} is a replica set now", highlight=False, markup=False)
