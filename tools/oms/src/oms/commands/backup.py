"""`oms backup` and `oms restore`: the services' databases, as files."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from contracts.topics import SERVICES
from rich.markup import escape

from oms import connection
from oms.backup.manifest import Manifest, Unfit
from oms.backup.restoring import Restored, Running
from oms.backup.restoring import restore as put_back
from oms.backup.taking import back_up
from oms.commands import MOST_SHOWN, NOTES, SHOWN, Brokers, Json, Mongo, bar, print_json, progress_on, said_plainly
from oms.log import NoLog

Directory = Annotated[Path, typer.Argument(help="The directory of the backup.", file_okay=False)]
Some = Annotated[
    list[str] | None, typer.Option("--service", help="One of the services; may be given again. All by default.")
]


def backup(
    directory: Directory, *, service: Some = None, brokers: Brokers = None, mongo: Mongo = None, as_json: Json = False
) -> None:
    """Copy the services' databases into a new directory, while the services run.

    Each database is read in one snapshot, so what is copied is what that service was at one moment. Kafka is not
    copied: a service that is restored catches up from the topics.
    """
    with said_plainly(connection.Unreachable, NoLog, Unfit), bar() as shown:
        made = asyncio.run(
            back_up(
                directory,
                _known(service) or SERVICES,
                brokers=connection.brokers(brokers),
                mongo_url=connection.mongo_url(mongo),
                progress=progress_on(shown),
            )
        )
    if as_json:
        print_json(_as_json(made))
        return
    for name, copy in made.services.items():
        size = sum(kept.bytes for kept in copy.files)
        SHOWN.print(f"{name}: {copy.documents:,} documents, {size:,} bytes, as of {copy.at:%Y-%m-%d %H:%M:%S} UTC")


def restore(
    directory: Directory, *, service: Some = None, brokers: Brokers = None, mongo: Mongo = None, as_json: Json = False
) -> None:
    """Put databases back as `oms backup` copied them; their services must be stopped, and catch up when started.

    Everything is checked before anything is written: that the files are whole, that no instance runs, and that the
    topics still have every record that the services will have to take again. If they do not, what is missing is listed,
    nothing is changed, and the command ends with status 1.

    Start the services with the settings that were in force since the backup: they decide again what they decided then.
    """
    with said_plainly(connection.Unreachable, NoLog, Unfit, Running), bar() as shown:
        done = asyncio.run(
            put_back(
                directory,
                _known(service),
                brokers=connection.brokers(brokers),
                mongo_url=connection.mongo_url(mongo),
                progress=progress_on(shown),
            )
        )
    if as_json:
        print_json(_told(done))
    else:
        _show(done)
    if done.missing:
        raise typer.Exit(1)


def _known(services: list[str] | None) -> list[str]:
    for name in services or ():
        if name not in SERVICES:
            raise typer.BadParameter(f"{name}: say one of {', '.join(SERVICES)}", param_hint="--service")
    return services or []


def _as_json(made: Manifest) -> object:
    return made.model_dump(mode="json")["services"]


def _told(done: Restored) -> dict[str, object]:
    return {
        "restored": [] if done.missing else [*done.services],
        "to_relive": dict(done.to_relive),
        "missing": [
            {"service": one.service, "topic": one.topic, "partition": one.partition, "from": one.first, "to": one.last}
            for one in done.missing
        ],
    }


def _show(done: Restored) -> None:
    for one in done.missing[:MOST_SHOWN]:
        SHOWN.print(f"[red]missing[/red] {escape(one.text)}", highlight=False)
    if done.missing:
        more = f"; {len(done.missing) - MOST_SHOWN:,} more with --json" if len(done.missing) > MOST_SHOWN else ""
        NOTES.print(f"Nothing was restored: the topics do not reach back to the backup{more}.", highlight=False)
        return
    for name, copy in done.services.items():
        since = f"{copy.at:%Y-%m-%d %H:%M:%S} UTC"
        SHOWN.print(f"{name}: as of {since}; {done.to_relive[name]:,} records to take again when it is started")
