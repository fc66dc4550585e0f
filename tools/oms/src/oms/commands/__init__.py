"""The commands of `oms`, one module each: what is asked for, how it is shown, and with which status it ends."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from contracts.message import OrderId
from contracts.topics import PARTITIONS
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from oms.progress import Progress

NOTES = Console(stderr=True, emoji=False)
"""Where progress and errors go, so that what is asked for can be piped on."""

WIDE = 200
SHOWN = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE, emoji=False)
"""Where answers for people go; into a pipe they go wide, so that no word is folded which somebody searches for."""
MOST_SHOWN = 20
"""The most things of a list that are shown to people; JSON has all of them."""

Brokers = Annotated[
    str | None,
    typer.Option(
        help="Kafka, as host:port[,host:port], or with TLS and a login as KAFKA_BROKERS; by default KAFKA_BROKERS, or "
        "the stack that runs here."
    ),
]
Mongo = Annotated[
    str | None,
    typer.Option(help="MongoDB's connection string; by default MONGO_URL, or the stack that runs here."),
]


def named_as_orders_are(text: str) -> str:
    """It becomes a part of a path: what is no order's name would lead elsewhere."""
    try:
        return TypeAdapter[str](OrderId).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no CHANNEL:NUMBER", param_hint="ID") from None


AnOrder = Annotated[
    str, typer.Argument(metavar="ID", help="The order, as CHANNEL:NUMBER.", callback=named_as_orders_are)
]


def partitions_option(by_default: str = "", variable: str | None = None) -> Any:  # noqa: ANN401 - typer says no more
    """How many partitions topics have, with what is to be said of the default where it is no number."""
    help_ = (
        "Partitions of every topic: as many instances of a service can share its work, and where processors are few "
        f"each costs latency. Chosen once, it cannot be changed later. {by_default}"
    )
    return typer.Option(envvar=variable, min=1, max=1024, help=help_.strip())


Partitions = Annotated[int, partitions_option()]
AS_THERE_ARE = f"By default as many as the topics that are there have, or {PARTITIONS}."
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def said_plainly(*errors: type[Exception]) -> Iterator[None]:
    """These errors are the user's to read: their message is printed, and the command ends with status 2.

    But for one: that nobody reads on, as behind `| head`, ends it without a word, as typer does everywhere.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except errors as error:
        NOTES.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(2) from None


def print_json(answer: object, stream: TextIO | None = None) -> None:
    """One JSON document, on standard output unless told otherwise."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False, default=str), file=stream)


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A file that appears under its name only once all of it is written; `-` is standard output.

    What is no regular file, as a device or a pipe, is written into, and a link stays: what it leads to is written.
    """
    if path == Path("-"):
        yield sys.stdout
        sys.stdout.flush()  # if nobody reads on, that shows here, and not when Python ends
        return
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as text:
            yield text
        return
    whole = path.resolve()
    part = whole.with_name(f"{whole.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as text:
            yield text
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def bar() -> Bar:
    """Shows how far a command is, until it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Bar(*columns, console=NOTES, transient=True)


def progress_on(bar: Bar) -> Progress:
    """What tells the bar: one thing after the other."""
    tasks: list[TaskID] = []

    def begin(what: str, total: int) -> None:
        for task in tasks:
            bar.update(task, visible=False)
        tasks[:] = [bar.add_task(what, total=total)]

    return Progress(begin, lambda count: bar.advance(tasks[0], count))
