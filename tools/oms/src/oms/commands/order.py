"""`oms order`: what became of one order, and why."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from oms.commands import SHOWN, AnOrder, Json, print_json
from oms.commands.repairs import Urls, desk_of
from oms.desk import LONGEST_WAIT_S, Shown

REQUESTS = {"OrderPlaced": "placing", "CancelOrder": "cancellation", "CompensateOrder": "compensation"}
"""What each request that an order can refuse is called."""


def order(
    order_id: AnOrder,
    *,
    wait: Annotated[
        float, typer.Option(min=0, max=LONGEST_WAIT_S, help="Seconds to wait for an order that is just coming in.")
    ] = 0,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Show an order and its timeline: each event, when, and caused by what."""
    with desk_of(urls) as desk:
        found = desk.wait_for("order", f"/orders/{order_id}", wait)
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: Shown) -> None:
    """Print an order, as the order service's API gives it, for people."""
    SHOWN.print(f"[bold]{escape(found['order_id'])}[/] revision {found['revision']}: [bold]{found['status']}[/]")
    for reason in found["reasons"]:
        where = f"{reason['path']}: " if reason["path"] else ""
        SHOWN.print(f"  because {escape(where + reason['message'])} ({reason['code']})", highlight=False)
    for parcel in found["parcels"]:
        by = escape(f"{parcel['carrier']} {parcel['tracking_number']}")
        SHOWN.print(f"  parcel from {parcel['location']}: {by}", highlight=False)
    if (refused := found["refused"]) is not None:
        what = REQUESTS[refused["request"]]
        why = f"of revision {refused['revision']}, by {refused['by']}: {refused['reason']['message']}"
        SHOWN.print(f"  refused was a {what} {escape(why)} ({refused['reason']['code']})", highlight=False)
    table = Table(Column("when", no_wrap=True), "heard", "from", "detail", "said", box=None)
    for happening in found["timeline"]:
        when = happening["at"].replace("T", " ").removesuffix("Z")[:23]
        said = ", ".join(happening["said"])
        whence, detail = escape(happening["source"]), escape(happening["detail"])
        table.add_row(when, happening["heard"], whence, detail, said)
    SHOWN.print(table)
