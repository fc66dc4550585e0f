"""`oms link`: partitions that stand still because messages are missing."""

from collections.abc import Sequence
from typing import Annotated

import typer

from oms.commands import Json, print_json
from oms.commands.repairs import WAIT_S, By, Service, Urls, Wait, Why, carry_out, desk_of, moment, show_list
from oms.desk import Declined, Desk, Request, Shown

app = typer.Typer(
    help="Partitions that stand still because messages are missing: see what, go on without.", no_args_is_help=True
)
LOSS = ("topic", "source", "first", "last")


@app.command()
def gaps(*, service: Service = None, urls: Urls = None, as_json: Json = False) -> None:
    """List where partitions stand still: since when, and what exactly is missing."""
    with desk_of(urls, service) as desk:
        found = _found(desk)
        if as_json:
            print_json({"gaps": [{"gap": _name(gap), **gap} for gap in found]})
            return
        rows = [[_name(gap), moment(gap["since"]), gap["text"]] for gap in found]
        columns = ("gap", "since (UTC)", "what is missing")
        show_list(f"{len(rows):,} partitions stand still", columns, rows, "no partition stands still")


@app.command()
def accept(
    gap: Annotated[
        str,
        typer.Argument(metavar="GAP", help="As `oms link gaps` names it: SERVICE/PARTITION/TOPIC/FIRST:LAST."),
    ],
    *,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Let a partition go on without what is missing. Only this gap is accepted: the next one stops it again.

    Look first whether the missing records can be brought back. Ends with status 1 if it was refused, with 2 if it could
    not be asked for.
    """
    with desk_of(urls) as desk:
        service, _, rest = gap.partition("/")
        if service not in desk.services:
            raise typer.BadParameter(f"{gap!r} does not begin with a service", param_hint="GAP")
        found = next((one for one in _found(desk, (service,)) if _name(one) == gap), None)
        if found is None:
            raise Declined(404, f"this is not where a partition of {service} stands still: see `oms link gaps`")
        loss = {name: found[name] for name in LOSS}
        request = Request(service, f"/gaps/{found['partition']}/accept", about=rest, fields=loss)
        carry_out(desk, [request], by, reason, wait, as_json=as_json)


def _found(desk: Desk, services: Sequence[str] | None = None) -> list[Shown]:
    """The gaps of these services, or of all, each with its service; there are too few for pages."""
    return [{"service": at["service"], **gap} for at in desk.find("/gaps", services) for gap in at["gaps"]]


def _name(gap: Shown) -> str:
    """Names the gap so that no other one can be meant."""
    return f"{gap['service']}/{gap['partition']}/{gap['topic']}/{gap['first']}:{gap['last']}"
