"""What the commands that put something right have in common: who asks, why, where, and how the outcome is shown."""

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Literal

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from oms.commands import NOTES, SHOWN, print_json, said_plainly
from oms.connection import Unreachable
from oms.desk import ANSWERS_WITHIN_S, Declined, Desk, Request

Service = Annotated[
    Literal["order", "inventory", "payment", "fulfillment", "shipping"] | None,
    typer.Option("--service", help="Only this one of the services."),
]
Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        metavar="SERVICE=URL",
        help="Where a service answers HTTP; repeatable. By default ORDER_URL, INVENTORY_URL, …, or the stack that runs "
        "here.",
    ),
]
By = Annotated[str | None, typer.Option("--by", help="Who asks; by default your login name.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why; on a terminal it is asked for.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="The longest to wait for what comes of it, in seconds.")]
WAIT_S = 30.0
COLORS = {"done": "green", "refused": "red", "not asked": "red", "not answered": "yellow"}


@contextmanager
def desk_of(urls: Sequence[str] | None, service: str | None = None) -> Iterator[Desk]:
    """The services; what they say against it is printed, and ends the command with status 2.

    So does a service that does not answer where others do, after what is found and done there was printed.
    """
    with said_plainly(Unreachable, Declined), httpx.Client(timeout=ANSWERS_WITHIN_S) as client:
        desk = Desk(client, urls or (), service)
        try:
            yield desk
        finally:
            for silent in dict.fromkeys(map(str, desk.silent)):
                NOTES.print(f"[red]error:[/red] {escape(silent)}", soft_wrap=True, highlight=False)
        if desk.silent:
            raise typer.Exit(2)


def carry_out(
    desk: Desk, requests: Sequence[Request], by: str | None, why: str | None, wait_s: float, *, as_json: bool
) -> None:
    """Ask for it, and print what came of it.

    Ends with status 2 if anything could not be asked, with 1 if anything was refused or is not answered.
    """
    reason, asking = why_asked(why), who_asks(by)
    with NOTES.status(f"waiting for what comes of {len(requests):,} requests"):
        outcomes = desk.carry_out(requests, asking, reason, wait_s)
    if as_json:
        print_json({"repairs": [{**asdict(one), "by": asking, "reason": reason} for one in outcomes]})
    else:
        for one in outcomes:
            said = f"[{COLORS[one.outcome]}]{one.outcome}[/] {one.service} {escape(one.about)}: {escape(one.detail)}"
            SHOWN.print(said, soft_wrap=True, highlight=False)
        if not outcomes:
            NOTES.print("nothing waits there")
    came_to = {one.outcome for one in outcomes}
    if came_to - {"done"}:
        raise typer.Exit(2 if "not asked" in came_to or desk.silent else 1)


def who_asks(told: str | None) -> str:
    """Who asks for something; by default that is the login name. Raises BadParameter if there is none."""
    if told:
        return told
    # A container may run as a user that it does not know, which Python calls a KeyError, and an OSError from 3.13 on.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise typer.BadParameter("say who asks: this user has no login name", param_hint="--by") from None


def why_asked(told: str | None) -> str:
    """Why something is asked for. Raises BadParameter if nobody says it, and there is nobody to ask."""
    if told is not None:
        return told
    if not sys.stdin.isatty():
        raise typer.BadParameter("say why: it is kept on the log", param_hint="--reason")
    return str(typer.prompt("Why (it is kept on the log)", err=True))


def chosen(named: Sequence[str] | None, *, everything: bool, what: str) -> Sequence[str]:
    """What is named; nothing if all of it is meant. Raises BadParameter if that is not clear."""
    if bool(named) == everything:
        raise typer.BadParameter(f"name {what}, or say --all", param_hint=what)
    return named or ()


def show_list(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """A list for people; `nothing` is said of an empty one."""
    if not rows:
        SHOWN.print(nothing)
        return
    table = Table(title=title, title_justify="left", box=None)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    SHOWN.print(table)


def moment(text: str) -> str:
    """A moment, as JSON has it, for people."""
    return text[:19].replace("T", " ")
