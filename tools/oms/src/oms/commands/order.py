"""`oms order`: what became of one order, and why."""

from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape
from rich.table import Column, Table

from oms import connection
from oms.commands import SHOWN, AnOrder, Json, print_json, said_plainly


class NotFound(Exception):  # noqa: N818 - named for the state
    """The order service does not know the order."""


def order(
    order_id: AnOrder,
    *,
    url: Annotated[
        str | None,
        typer.Option(help="The order service's address; by default ORDER_URL, or the stack that runs here."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, max=30, help="Seconds to wait for an order that is just coming in.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show an order and its timeline: each event, when, and caused by what."""
    with said_plainly(connection.Unreachable, NotFound):
        found = _fetch(connection.order_url(url), order_id, wait)
    if as_json:
        print_json(found)
    else:
        show(found)


def _fetch(url: str, order_id: str, wait_s: float) -> dict[str, Any]:
    try:
        answer = httpx.get(f"{url}/orders/{order_id}", params={"wait_s": wait_s}, timeout=wait_s + 10)
        found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise connection.Unreachable.order_service(url, error) from error
    if not answer.is_success:
        reasons = "; ".join(f"{error['path']}: {error['message']}" for error in found.get("errors", ()))
        raise NotFound(f"{order_id}: {reasons or found.get('detail') or found.get('title', 'not found')}")
    return found


def show(found: dict[str, Any]) -> None:
    """Print an order, as the order service's API gives it, for people."""
    SHOWN.print(f"[bold]{escape(found['order_id'])}[/] revision {found['revision']}: [bold]{found['status']}[/]")
    for reason in found["reasons"]:
        where = f"{reason['path']}: " if reason["path"] else ""
        SHOWN.print(f"  because {escape(where + reason['message'])} ({reason['code']})", highlight=False)
    for parcel in found["parcels"]:
        by = escape(f"{parcel['carrier']} {parcel['tracking_number']}")
        SHOWN.print(f"  parcel from {parcel['location']}: {by}", highlight=False)
    table = Table(Column("when", no_wrap=True), "heard", "from", "detail", "said", box=None)
    for happening in found["timeline"]:
        when = happening["at"].replace("T", " ").removesuffix("Z")[:23]
        said = ", ".join(happening["said"])
        whence, detail = escape(happening["source"]), escape(happening["detail"])
        table.add_row(when, happening["heard"], whence, detail, said)
    SHOWN.print(table)
