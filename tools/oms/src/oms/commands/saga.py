"""`oms saga`: orders that do not get to their end, because nobody answers what must be done."""

from typing import Annotated

import typer
from rich.markup import escape

from oms.commands import SHOWN, AnOrder, Json, print_json
from oms.commands.repairs import WAIT_S, By, Urls, Wait, Why, carry_out, desk_of, moment, show_list
from oms.desk import Request, Shown

app = typer.Typer(
    help="Orders that do not get to their end: look at them, retry or skip a step, turn them back.",
    no_args_is_help=True,
)
ORDER = "order"
"""The service that carries sagas."""


@app.command()
def stuck(
    *,
    longer_than: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds; by default as long as the order service's STUCK_AFTER_S says."),
    ] = None,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """List orders that wait for an answer they cannot do without, to an undo or to a step after the pivot; the longest
    wait first.
    """
    with desk_of(urls) as desk:
        sagas = desk.listed("/sagas/stuck", "sagas", (ORDER,), longer_than_s=longer_than)
    if as_json:
        print_json({"sagas": sagas})
        return
    rows = [
        [
            saga["order_id"],
            saga["status"],
            moment(saga["since"]),
            str(saga["tries"]),
            ", ".join(map(_in_words, saga["unanswered"])),
        ]
        for saga in sagas
    ]
    columns = ("order", "status", "since (UTC)", "tries", "waits for")
    show_list(f"{len(rows):,} orders wait", columns, rows, "no order has waited that long")


@app.command()
def show(order_id: AnOrder, *, urls: Urls = None, as_json: Json = False) -> None:
    """Show how far the saga of an order is, what may be done about it, and what people have asked for."""
    with desk_of(urls) as desk:
        saga = desk.get(ORDER, f"/sagas/{order_id}")
    if as_json:
        print_json(saga)
        return
    since = f", since {moment(saga['since'])}" if saga["since"] else ""
    SHOWN.print(f"[bold]{escape(saga['order_id'])}[/] revision {saga['revision']}: [bold]{saga['status']}[/]{since}")
    for one in saga["unanswered"]:
        may = "retry, skip" if one["skippable"] else "retry"
        asked = f"asked for at {moment(one['asked_at'])}"
        SHOWN.print(f"  nobody answers {escape(_in_words(one))}, {asked}: {may}", highlight=False)
    if (refusal := saga["why_not_compensate"]) is not None:
        SHOWN.print(f"  it cannot be turned back: {escape(refusal['message'])}", highlight=False)
    steps = [
        [step["step"], step["location"], str(step["attempt"]), step["state"], moment(step["deadline"] or "")]
        for step in saga["steps"]
    ]
    show_list("", ("step", "location", "attempt", "state", "until"), steps, "no step was asked for")
    for repair in saga["repairs"]:
        said = f"{repair['request']} by {repair['by']}, {repair['reason']}: {repair['outcome']}, {repair['detail']}"
        SHOWN.print(f"  {escape(said)}", highlight=False)


@app.command()
def retry(
    order_id: AnOrder,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="Every step that waits, unless named.")] = None,
    *,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Ask again, now, for what nobody has answered.

    Ends with status 1 if it was refused, with 2 if it could not be asked for.
    """
    fields = {"step": step} if step is not None else {}
    _ask(order_id, "retry", fields, by, reason, wait, urls, as_json=as_json)


@app.command()
def skip(
    order_id: AnOrder,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step, as `oms saga show` names it.")],
    *,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Treat a step as done though nobody said so, or its undo, if that is what nobody answers.

    Ends with status 1 if it was refused, with 2 if it could not be asked for.
    """
    _ask(order_id, "skip", {"step": step}, by, reason, wait, urls, as_json=as_json)


@app.command()
def compensate(
    order_id: AnOrder,
    *,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Turn an order back, and undo what was done for it.

    Ends with status 1 if it was refused, with 2 if it could not be asked for.
    """
    _ask(order_id, "compensate", {}, by, reason, wait, urls, as_json=as_json)


def _ask(
    order_id: str,
    action: str,
    fields: dict[str, str],
    by: str | None,
    reason: str | None,
    wait_s: float,
    urls: list[str] | None,
    *,
    as_json: bool,
) -> None:
    with desk_of(urls) as desk:
        request = Request(ORDER, f"/sagas/{order_id}/{action}", about=order_id, fields=fields)
        carry_out(desk, [request], by, reason, wait_s, as_json=as_json)


def _in_words(unanswered: Shown) -> str:
    of_undo = "the undo of " if unanswered["is_undo"] else ""
    at = f" at {unanswered['location']}" if unanswered["location"] else ""
    return f"{of_undo}{unanswered['step']}{at}"
