"""`oms parked`: what waits because deciding on a message of it failed."""

from collections.abc import Sequence
from typing import Annotated

import typer

from oms.commands import Json, print_json
from oms.commands.repairs import WAIT_S, By, Service, Urls, Wait, Why, carry_out, chosen, desk_of, moment, show_list
from oms.desk import Declined, Desk, Request, Shown

app = typer.Typer(
    help="Orders that wait because a service failed on them: look at them, release them.", no_args_is_help=True
)


@app.command(name="list")
def list_(*, service: Service = None, urls: Urls = None, as_json: Json = False) -> None:
    """List what is parked: since when, why, and how many records wait for it."""
    with desk_of(urls, service) as desk:
        parked = desk.listed("/parked", "parked")
        if as_json:
            print_json({"parked": parked})
        else:
            _show(parked)


def _show(parked: Sequence[Shown]) -> None:
    rows = [
        [
            one["place"],
            one["service"],
            str(one["partition"]),
            moment(one["since"]),
            str(one["times"]),
            str(len(one["waiting"])),
            one["reason"],
        ]
        for one in parked
    ]
    columns = ("place", "service", "partition", "since (UTC)", "times", "records", "why")
    show_list(f"{len(rows):,} parked", columns, rows, "nothing is parked")


@app.command()
def release(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="PLACE", help="What is parked: an order, mostly.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All that is parked, of one service with --service.")
    ] = False,
    service: Service = None,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Let it go on with all that has waited, in order; what fails again is parked again, and nothing is lost.

    A place is released in every service and every partition in which it is parked.

    Ends with status 1 if it was refused, with 2 if it could not be asked for.
    """
    named = chosen(places, everything=everything, what="PLACE")
    with desk_of(urls, service) as desk:
        found = [one for place in named for one in _find(desk, place)] or desk.listed("/parked", "parked")
        carry_out(desk, list(map(_request, found)), by, reason, wait, as_json=as_json)


def _find(desk: Desk, place: str) -> list[Shown]:
    """What is parked there, in each partition where it is. Raises Declined if it is parked nowhere."""
    found = desk.listed("/parked", "parked", place=place)
    if not found:
        raise Declined(404, f"{place} is not parked; what came about a second ago may not be seen yet")
    return found


def _request(one: Shown) -> Request:
    place, partition = one["place"], one["partition"]
    return Request(one["service"], f"/parked/{partition}/{place}/release", about=f"{place} in partition {partition}")
