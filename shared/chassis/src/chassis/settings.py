"""What every service must be told, from environment variables, checked before anything starts."""

import re
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from chassis.backoff import Backoff
from chassis.brokers import client_options, refuse_unescaped

SHORTEST_S = 0.001
"""A shorter span may be rounded to nothing, and an alarm set with no span at all rings at once, and for ever."""


def _of_kafka(brokers: str) -> str:
    client_options(brokers)
    return brokers


def _readable(url: str) -> str:
    refuse_unescaped(url)
    if url.startswith("mongodb://"):  # the other kind asks the network, which need not be there yet
        try:
            parse_uri(url)
            # A client refuses more: options that do not go together, and files that are not there.
            MongoClient(url, connect=False).close()
        except (PyMongoError, OSError) as error:
            raise ValueError(str(error)) from error
    return url


def _of_redis(url: str) -> str:
    with suppress(ValueError):  # it would repeat what may be a part of a password
        parts = urlsplit(url)
        _ = parts.port
        if parts.scheme == "unix" or re.fullmatch(r"(/\d*)?", parts.path):
            return url
    raise ValueError(
        "the port or the database is not a valid number; characters such as / and # must be escaped in a password"
    )


class ChassisSettings(BaseSettings):
    """The settings that all services share; a service's own settings extend them. Each name's ending says its unit."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, use_attribute_docstrings=True)

    kafka_brokers: Annotated[str, AfterValidator(_of_kafka)] = "127.0.0.1:9092"
    """Kafka's bootstrap servers, as `host:port[,host:port]`; with TLS after `ssl://`, with a login, too, as
    `sasl_ssl://user:password@host:port?mechanism=SCRAM-SHA-512`."""
    mongo_url: Annotated[str, Field(pattern=r"^mongodb(\+srv)?://\S+$"), AfterValidator(_readable)] = (
        "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    )
    """MongoDB's connection string; it must name a replica set."""
    mongo_database: Annotated[str, Field(pattern=r'^[^ ./\\"$]*$', max_length=63)] = ""
    """The database of this service; by default the service's name."""
    http_host: str = "127.0.0.1"
    """The address that the HTTP API listens on."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port that the HTTP API listens on; 0 takes a free one."""
    log_level: Annotated[str, Field(pattern="(?i)^(debug|info|warning|error)$"), AfterValidator(str.lower)] = "info"
    """How much is logged: debug, info, warning or error."""
    batch_max_messages: Annotated[int, Field(ge=2, le=10_000)] = 200
    """How many inputs a partition decides and journals at once, at most."""
    inbox_max_messages: Annotated[int, Field(ge=1, le=100_000)] = 500
    """How many records wait in memory for a partition before its topics are paused."""
    under_way_max_documents: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """How many documents of a partition may be under way before it begins nothing new for the moment."""
    documents_in_memory: Annotated[int, Field(ge=0, le=10_000_000)] = 200
    """How many documents a partition keeps in memory beyond those in flight."""
    checkpoint_interval_s: Annotated[float, Field(ge=SHORTEST_S, le=60)] = 1.0
    """How often changed documents are written."""
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = 10.0
    """After how long without a heartbeat Kafka gives a dead instance's partitions to another one."""
    stop_deadline_s: Annotated[float, Field(ge=SHORTEST_S, le=300)] = 10.0
    """How long a graceful stop may take before the process ends anyway."""

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process. If one is wrong, the process says which, and why, and ends with status 2."""
        try:
            return cls()
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        except SettingsError as error:  # what should be JSON is none
            wrong = [re.sub(r'.*field "(\w+)".*', lambda found: f"{found[1].upper()}: this is not JSON", str(error))]
        print(*wrong, sep="\n", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        sys.exit(2)


class ViewSettings(ChassisSettings):
    """What a service that shows a view must be told, too."""

    redis_url: Annotated[str, Field(pattern=r"^(rediss?|unix)://\S+$"), AfterValidator(_of_redis)] = (
        "redis://127.0.0.1:6379/0"
    )
    """Redis, which holds copies only."""


class CallingSettings(ChassisSettings):
    """What a service that calls the outside world must be told, too."""

    call_timeout_s: Annotated[float, Field(ge=SHORTEST_S, le=300)] = 10.0
    """After how long a call to the outside world counts as unanswered."""
    calls_at_once: Annotated[int, Field(ge=1, le=10_000)] = 64
    """How many calls to the outside world an instance makes at the same time."""
    retry_first_s: Annotated[float, Field(ge=SHORTEST_S, le=3600)] = 1.0
    """After how long the outside world is asked again when an outcome is unknown, or when it refused what must be done;
    the time doubles with each failure."""
    retry_longest_s: Annotated[float, Field(ge=SHORTEST_S, le=86_400)] = 300.0
    """The longest time between two such requests."""

    @property
    def backoff(self) -> Backoff:
        return Backoff(timedelta(seconds=self.retry_first_s), timedelta(seconds=self.retry_longest_s))
