"""`oms cancel`: orders that are not wanted any more, by their ids or as a channel's file lists them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated

import typer
from contracts.order import CancelOrder, CompensateOrder
from rich.markup import escape

from oms import connection
from oms.commands import NOTES, SHOWN, Brokers, Json, named_as_orders_are, print_json, said_plainly
from oms.commands.place import Rate, Sent, lines_of, report
from oms.commands.repairs import COLORS, WAIT_S, By, Urls, Wait, Why, desk_of, who_asks, why_asked
from oms.connection import Unreachable
from oms.desk import CameTo, Declined, Desk, Shown
from oms.log import NoLog
from oms.placing.orders_file import BadLine, Line
from oms.placing.place import send
from oms.placing.sending import Sender

ORDER = "order"
"""The service that is asked."""
LOOK_EVERY_S = 0.5
Result = tuple[CameTo, str]
"""What came of a cancellation, and the details."""


def _all_named_as_orders_are(texts: list[str] | None) -> list[str]:
    return [named_as_orders_are(text) for text in texts or ()]


def cancel(
    order_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Orders, as CHANNEL:NUMBER.", callback=_all_named_as_orders_are),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Send what it lists instead, by Kafka: one JSON object a line; - reads standard input.",
            allow_dash=True,
            dir_okay=False,
        ),
    ] = None,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    rate: Rate = None,
    brokers: Brokers = None,
    as_json: Json = False,
) -> None:
    """Ask for orders to be cancelled, and wait for what comes of it.

    Ends with status 1 if one was refused or is not decided in time, with 2 if one could not be asked for.

    With --file each line, with order_id, reason and requested_by, becomes a CancelOrder. Nothing is waited for then,
    and the status is 1 if a line could not be sent.
    """
    if bool(order_ids) == (file is not None):
        raise typer.BadParameter("name orders, or a --file that lists them", param_hint="ID")
    if file is None:
        for option, value in (("--rate", rate), ("--brokers", brokers)):
            if value is not None:
                raise typer.BadParameter("it is for a --file, which is sent by Kafka", param_hint=option)
        _cancel(order_ids or (), by, reason, wait, urls, as_json=as_json)
        return
    if by is not None or reason is not None:
        raise typer.BadParameter("each line says for itself who asks and why", param_hint="--file")
    if urls:
        raise typer.BadParameter("a --file is sent by Kafka, and no service is asked", param_hint="--url")
    sent = Sent()
    with said_plainly(Unreachable, NoLog, OSError):
        asyncio.run(_send(file, connection.brokers(brokers), rate, sent))
    report(sent, "cancellations", followed=False, as_json=as_json)
    if sent.bad:
        raise typer.Exit(1)


async def _send(file: Path, brokers: str, rate: float | None, sent: Sent) -> None:
    lines = _that_name_an_order(lines_of(file))
    async with Sender(brokers) as sender:
        await send(lines, sender, CancelOrder, rate=rate, on_sent=sent.on_sent, on_bad=sent.bad.append)


async def _that_name_an_order(lines: AsyncIterator[Line | BadLine]) -> AsyncIterator[Line | BadLine]:
    """What names none could only become a dead letter, of which who sent it hears nothing."""
    async for line in lines:
        if isinstance(line, Line) and not isinstance(line.fields.get("order_id"), str):
            yield BadLine(line.number, "it names no order: order_id is missing, or no text")
        else:
            yield line


def _cancel(
    order_ids: Sequence[str],
    by: str | None,
    reason: str | None,
    wait_s: float,
    urls: Sequence[str] | None,
    *,
    as_json: bool,
) -> None:
    why, asking = why_asked(reason), who_asks(by)
    with desk_of(urls) as desk, NOTES.status(f"waiting for what comes of {len(order_ids):,} cancellations"):
        before: dict[str, Shown | Result] = {}
        silent: Result | None = None
        for order_id in order_ids:
            try:
                before[order_id] = silent or _ask(desk, order_id, asking, why)
            except Unreachable as failure:  # each of the others would be waited for as long
                before[order_id] = silent = ("not asked", str(failure))
        until = monotonic() + wait_s
        came_to: dict[str, Result] = {}
        silent = None
        for order_id, known in before.items():
            try:
                came_to[order_id] = (
                    known if isinstance(known, tuple) else silent or _outcome(desk, known, asking, until)
                )
            except Unreachable as failure:
                came_to[order_id] = silent = ("not answered", f"it is on its topic, but {failure}")
    if as_json:
        shown = [{"order_id": order_id, "outcome": one, "detail": said} for order_id, (one, said) in came_to.items()]
        print_json({"cancellations": [{**one, "by": asking, "reason": why} for one in shown]})
    else:
        for order_id, (one, said) in came_to.items():
            SHOWN.print(f"[{COLORS[one]}]{one}[/] {escape(order_id)}: {escape(said)}", soft_wrap=True, highlight=False)
    outcomes = {one for one, _ in came_to.values()}
    if outcomes - {"done"}:
        raise typer.Exit(2 if "not asked" in outcomes else 1)


def _ask(desk: Desk, order_id: str, by: str, reason: str) -> Shown | Result:
    """The order as it was before it was asked for, or what came of that if it is known at once. Raises Unreachable."""
    try:
        known = desk.get(ORDER, f"/orders/{order_id}")
        desk.post(ORDER, f"/orders/{order_id}/cancel", {"reason": reason, "requested_by": by})
    except Declined as declined:
        return "refused" if declined.is_refusal else "not asked", str(declined)
    return known


def _outcome(desk: Desk, before: Shown, by: str, until: float) -> Result:
    """What came of the request, as soon as that is seen, and at last that it is not. Raises Unreachable."""
    order_id = before["order_id"]
    while True:
        try:
            order = desk.get(ORDER, f"/orders/{order_id}")
        except Declined as declined:
            return "not answered", f"it is on its topic, but {declined}"
        decided = _decided(before, order, by)
        if decided is not None:
            return decided
        if monotonic() >= until:
            return "not answered", f"it is {order['status']} so far: see `oms order {order_id}`"
        sleep(LOOK_EVERY_S)


def _decided(before: Shown, order: Shown, by: str) -> Result | None:
    """What came of a cancellation by them, if that is seen by now."""
    refused = order["refused"]
    if (
        refused is not None
        and refused != before["refused"]
        # Who has also turned the order back is told once, of that.
        and refused["request"] in {CancelOrder.__name__, CompensateOrder.__name__}
        # Of several who ask the last one is shown, and where it only goes forward they are all refused.
        and (refused["by"] == by or order["status"] in {"completing", "completed"})
    ):
        return "refused", refused["reason"]["message"]
    if order["status"] == "cancelled":
        return "done", "it is cancelled"
    if order["status"] == "rejected" != before["status"]:
        return "done", "it is rejected, and nothing of it is left"
    return None
