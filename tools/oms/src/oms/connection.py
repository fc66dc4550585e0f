"""Where Kafka, MongoDB and the services are: as told, as the environment says, or the local stack that runs here."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import httpx
from chassis.brokers import client_options, public_address, refuse_unescaped
from contracts.topics import SERVICES
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from oms.stack.state import RunningStack


class Unreachable(Exception):  # noqa: N818 - named for the state
    """Something does not answer, or not with what it was asked for, or nobody said where it is; the message says what
    helps.
    """

    @classmethod
    def kafka(cls, brokers: str, error: Exception) -> Self:
        return cls(
            f"Kafka does not answer at {public_address(brokers)} ({_why(error)}). `oms status` shows what runs here, "
            "`oms up` starts everything, and --brokers names a Kafka that runs elsewhere."
        )

    @classmethod
    def mongo(cls, url: str, error: Exception) -> Self:
        cause = error.__cause__ or error
        if isinstance(cause, PyMongoError) and not isinstance(cause, ConnectionFailure):
            return cls(f"MongoDB answers at {public_address(url)}, but refuses what it was asked for ({_why(error)})")
        return cls(
            f"MongoDB does not answer at {public_address(url)} ({_why(error)}). `oms status` shows what "
            "runs here, and --mongo names a MongoDB that runs elsewhere."
        )

    @classmethod
    def service(cls, service: str, urls: Sequence[str], error: Exception) -> Self:
        return cls(
            f"the {service} service does not answer at {' or '.join(urls)} ({_why(error)}). "
            f"`oms status` shows what runs here, and --url {service}=http://HOST:PORT names one that runs elsewhere."
        )


CLIENTS_OWN = (
    (r", (Timeout|full error): .*", ""),
    (r" \(configured timeouts: [^)]*\)", ""),
    (r" \('[^']*', \d+\)", ""),
    (r",(?=\S)", ", "),
    (r" from \[\(.*", ""),
    (r"^(MongoDB: |\[Error \d+\] |KafkaConnectionError: )", ""),
)
"""What clients of MongoDB and Kafka say of their inside, and addresses that they say twice."""


def _why(error: Exception) -> str:
    """What happened, in one line; its name where it says nothing."""
    text = str(error)
    for pattern, instead in CLIENTS_OWN:
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    return " ".join(text.split()) or type(error).__name__


def reach_this_machine_directly() -> None:
    """Have no proxy asked for what runs here, whatever the environment says: a proxy may run on another machine."""
    # Of the two spellings clients prefer the small one.
    direct = os.environ.pop("no_proxy", os.environ.get("NO_PROXY", ""))
    os.environ["NO_PROXY"] = ",".join(filter(None, [direct, "127.0.0.1", "localhost", "::1"]))


def brokers(told: str | None) -> str:
    """Kafka's bootstrap servers. Raises Unreachable if nobody says where they are, or it can be nowhere."""
    address = _first(told, "KAFKA_BROKERS", "kafka_bootstrap", "Kafka", "--brokers")
    with _said_of("Kafka", public_address(address), ValueError):
        client_options(address)
    return address


def mongo_url(told: str | None) -> str:
    """MongoDB's connection string. Raises Unreachable if nobody says where it is, or it can be nowhere."""
    return _of_mongo(_first(told, "MONGO_URL", "mongo_url", "MongoDB", "--mongo"))


def mongo_host(told: str) -> str:
    """A single mongod, as host:port. Raises Unreachable if it can be nowhere."""
    return _of_mongo(f"mongodb://{told}").removeprefix("mongodb://")


def _of_mongo(url: str) -> str:
    with _said_of("MongoDB", public_address(url), ValueError, PyMongoError, OSError):
        refuse_unescaped(url)
        parse_uri(url, warn=True)
        # A client refuses more: options that do not go together, and files that are not there.
        MongoClient(url, connect=False).close()
    return url


def service_urls(service: str, told: Sequence[str] = ()) -> list[str]:
    """Where the instances of a service answer HTTP, at least one, told as `SERVICE=URL`.

    Raises Unreachable if nobody says where, or it can be nowhere.
    """
    for text in told:
        if not re.fullmatch(rf"({'|'.join(SERVICES)})=https?://\S+", text):
            raise Unreachable(f"--url {text}: say SERVICE=http://HOST:PORT with a service of {', '.join(SERVICES)}")
    variable = f"{service.upper()}_URL"
    named = [url for name, _, url in (text.partition("=") for text in told) if name == service]
    if urls := named or [url for url in [os.environ.get(variable)] if url]:
        return [_of_http(f"the {service} service", url) for url in urls]
    running = _running(f"the {service} service", f"--url {service}=http://HOST:PORT", variable)
    urls = [process.url for process in running.services if process.url and process.service == service]
    if not urls:
        anew = "start everything anew with `oms down` and `oms up`"
        raise Unreachable(f"the {service} service does not run here; {anew}")
    return urls


def _first(told: str | None, variable: str, field: str, name: str, option: str) -> str:
    # What a script says with a variable that is not set means somewhere else, not what happens to run here.
    if told is not None and not told.strip():
        raise Unreachable(f"{option} is empty")
    address = told or os.environ.get(variable)
    return address or str(getattr(_running(name, option, variable), field))


def _of_http(name: str, url: str) -> str:
    with _said_of(name, url, httpx.InvalidURL):
        return str(httpx.URL(url)).rstrip("/")


@contextmanager
def _said_of(name: str, address: str, *errors: type[Exception]) -> Iterator[None]:
    """These errors say that nothing can be at this address, whoever tries."""
    try:
        yield
    except errors as error:
        raise Unreachable(f"{name} cannot be at {address}: {error}") from error


def _running(name: str, option: str, variable: str) -> RunningStack:
    running = RunningStack.load()
    if running is not None and running.alive:
        return running
    raise Unreachable(
        f"nothing runs here and nobody says where {name} is: start everything with `oms up`, or name one that runs "
        f"elsewhere with {option} or the environment variable {variable}"
    )
