"""`oms up`, `oms down`, `oms status`: all of Throughline on this machine."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import httpx
import psutil
import typer
from chassis.brokers import public_address
from contracts.topics import SERVICES
from rich.markup import escape
from rich.table import Table

from oms import connection
from oms.commands import AS_THERE_ARE, NOTES, SHOWN, Json, partitions_option, print_json, said_plainly
from oms.commands.repairs import moment, show_list
from oms.connection import Unreachable
from oms.desk import Declined, Desk, Shown
from oms.fleet import HTTP_PORT, Addresses, read_scale
from oms.stack.errors import StackError
from oms.stack.local import Ports
from oms.stack.ports import LAST_PORT
from oms.stack.state import RunningProcess, RunningStack
from oms.system import Plan, start_detached

SEEN_BY = {
    "parked": "oms parked list",
    "dead_letter": "oms dead-letter list",
    "gap": "oms link gaps",
    "saga": "oms saga stuck",
}
"""By what is stuck, the command that lists it."""


def _port(variable: str, what: str) -> Any:  # noqa: ANN401 - typer says no more
    return typer.Option(envvar=variable, min=0, max=LAST_PORT, help=what)


def up(
    *,
    scale: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=N", help="How many instances; repeatable.")
    ] = None,
    brokers: Annotated[str | None, typer.Option(help="Use this Kafka; needs --mongo and --redis, too.")] = None,
    mongo: Annotated[str | None, typer.Option(help="Use this MongoDB (a replica set).")] = None,
    redis: Annotated[str | None, typer.Option(help="Use this Redis.")] = None,
    partitions: Annotated[int | None, partitions_option(AS_THERE_ARE)] = None,
    kafka_port: Annotated[int, _port("THROUGHLINE_KAFKA_PORT", "Kafka's port; 0: any.")] = 19092,
    mongo_port: Annotated[int, _port("THROUGHLINE_MONGO_PORT", "MongoDB's port; 0: any.")] = 19017,
    redis_port: Annotated[int, _port("THROUGHLINE_REDIS_PORT", "Redis's port; 0: any.")] = 19379,
    http_port: Annotated[
        int,
        _port(
            "THROUGHLINE_HTTP_PORT",
            "The order service's port; the others take those after it, further instances ten higher; 0: any.",
        ),
    ] = HTTP_PORT,
    as_json: Json = False,
) -> None:
    """Start Kafka, MongoDB, Redis and the five services on this machine, and return when they are ready.

    Settings of the services are read from the environment (their READMEs list them). `oms down` stops everything.
    """
    with said_plainly(StackError, Unreachable, OSError):
        named = [brokers, mongo, redis]
        if any(named) and not all(named):
            raise StackError("--brokers, --mongo and --redis go together: name all three, or none to start them here")
        plan = Plan(
            Ports(kafka_port, mongo_port, redis_port),
            http_port=http_port,
            scale=read_scale(scale or []),
            engines=_engines(brokers, mongo, redis) if brokers and mongo and redis else None,
            partitions=partitions,
        )
        with NOTES.status("starting") as status:
            running = asyncio.run(start_detached(plan, status.update))
    _show(running, as_json=as_json)


def _engines(brokers: str, mongo: str, redis: str) -> Addresses:
    """Engines that run elsewhere. Raises Unreachable if Kafka or MongoDB can be nowhere; the services look at Redis."""
    return Addresses(connection.brokers(brokers), connection.mongo_url(mongo), redis)


def down() -> None:
    """Stop what `oms up` started, and remove its data."""
    with said_plainly(StackError):
        running = RunningStack.load()
        if running is None:
            NOTES.print("nothing runs")
            return
        with NOTES.status("stopping"):
            asyncio.run(running.stop())
    NOTES.print(f"stopped {len(running.services)} service processes and {len(running.engines)} engines")


def status(*, as_json: Json = False) -> None:
    """Show what runs here, and what is stuck in it: since when, and why.

    The exit status is 1 when something does not run or is not ready, 2 when nothing runs.
    """
    with said_plainly(StackError):
        running = RunningStack.load()
        if running is None or not running.alive:
            raise StackError("nothing runs here; start everything with `oms up`")
    if not _show(running, as_json=as_json):
        raise typer.Exit(1)


def _show(running: RunningStack, *, as_json: bool) -> bool:
    """Print the processes, and what is stuck; whether all of the processes are fine."""
    described = [_described(process) for process in (*running.engines, *running.services)]
    stuck = list(_stuck(running))
    engines = {"kafka": running.kafka_bootstrap, "mongo": running.mongo_url, "redis": running.redis_url}
    addresses = {name: public_address(address) for name, address in engines.items()}
    if as_json:
        print_json({"addresses": addresses, "processes": described, "stuck": stuck})
    else:
        table = Table("process", "pid", "state", "memory", "address", box=None)
        for one in described:
            color = "green" if one["state"] in {"ready", "running"} else "red"
            memory = f"{one['rss_mb']:.0f} MB" if one["rss_mb"] else ""
            table.add_row(one["name"], str(one["pid"]), f"[{color}]{one['state']}[/]", memory, one["url"] or "")
        SHOWN.print(table)
        SHOWN.print("Kafka {kafka}   MongoDB {mongo}   Redis {redis}".format(**addresses), markup=False)
        _show_stuck(stuck)
    are_there = {process.service for process in running.services} >= set(SERVICES)
    return are_there and all(one["state"] in {"ready", "running"} for one in described)


def _stuck(running: RunningStack) -> Iterator[Shown]:
    """What waits for a person in each service that tells."""
    urls = [f"{process.service}={process.url}" for process in running.services]
    with httpx.Client(timeout=2) as client:
        desk = Desk(client, urls)
        for service in dict.fromkeys(process.service for process in running.services):
            try:
                found = desk.get(service, "/stuck")["stuck"]
            except (Unreachable, Declined) as silent:
                NOTES.print(f"what is stuck cannot be told: {escape(str(silent))}", style="yellow", highlight=False)
                continue
            yield from ({"service": service, **one} for one in found)


def _show_stuck(stuck: Sequence[Shown]) -> None:
    if not stuck:
        return
    rows = [
        [one["service"], one["what"].replace("_", " "), f"{one['count']:,}", moment(one["since"]), one["why"]]
        for one in stuck
    ]
    show_list("what is stuck", ("service", "what", "count", "since (UTC)", "why"), rows, "")
    commands = dict.fromkeys(f"`{SEEN_BY[one['what']]}`" for one in stuck if one["what"] in SEEN_BY)
    SHOWN.print(f"See {', '.join(commands)}.")


def _described(process: RunningProcess) -> dict[str, Any]:
    alive = process.alive
    state, details = "running" if alive else "dead", None
    if alive and process.url is not None:
        try:
            answer = httpx.get(f"{process.url}/readyz", timeout=2)
            state, details = ("ready" if answer.is_success else "not ready"), answer.json()
        except (httpx.HTTPError, ValueError):
            state = "not answering"
    return {
        "name": process.name,
        "pid": process.id.pid,
        "state": state,
        "rss_mb": psutil.Process(process.id.pid).memory_info().rss / 1e6 if alive else 0.0,
        "url": process.url,
        "log": str(process.log),
        "health": details,
    }
