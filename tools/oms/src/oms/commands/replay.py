"""`oms replay`: one order, rebuilt from the topics alone."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from contracts.order import CancelOrder, OrderRepair
from order.settings import Settings
from order.state import Order
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from oms import connection
from oms.commands import NOTES, SHOWN, AnOrder, Brokers, Json, print_json, said_plainly
from oms.history.explanation import Transition
from oms.history.gather import gather
from oms.history.replay import SERVICE, Replay, Replayer
from oms.log import LogReader, NoLog


class NoSuchOrder(Exception):  # noqa: N818 - named for what is missing
    """The log says nothing about the order."""


def replay(
    order_id: AnOrder,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            help="Only up to the end of this second, or of this millisecond if three more digits are given: ISO 8601, "
            "in UTC unless it says otherwise."
        ),
    ] = None,
    brokers: Brokers = None,
    as_json: Json = False,
) -> None:
    """Rebuild an order from the topics alone, at any moment: each transition, and the message that caused it.

    The order service's own rules are applied again to what it was sent; what they say is compared with what is on the
    topics. Ends with status 1 if that differs.
    """
    moment = _moment(at) if at is not None else None
    with said_plainly(connection.Unreachable, NoLog, NoSuchOrder):
        rebuilt = asyncio.run(_replay(order_id, connection.brokers(brokers)))
    shown = rebuilt.at(moment) if moment is not None else rebuilt
    if as_json:
        print_json(_as_json(shown))
    else:
        _show(shown)
    if shown.differences:
        raise typer.Exit(1)


def _moment(text: str) -> datetime:
    """The end of what is written: a time that was copied has lost the digits that nobody was shown."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-01-05T12:00:00", param_hint="--at") from None
    fraction = re.search(r"[.,](\d{1,6})", text)
    digits = len(fraction[1]) if fraction else 0
    lost = timedelta(microseconds=10 ** (6 - digits) - 1)
    return moment.replace(tzinfo=moment.tzinfo or UTC) + lost


async def _replay(order_id: str, brokers: str) -> Replay:
    policy = Settings.from_environment().policy
    with Progress(console=NOTES, transient=True) as progress:
        task = progress.add_task("reading the topics", total=None)
        async with LogReader(brokers) as log:
            history, repairs, partitions = await gather(
                log,
                order_id,
                begin=lambda total: progress.update(task, total=total),
                on_read=lambda count: progress.advance(task, count),
            )
    if not history.messages:
        raise NoSuchOrder(f"the log says nothing about an order {order_id!r}")
    return Replayer(policy, partitions, repairs.retried(SERVICE)).replay(history)


def _as_json(rebuilt: Replay) -> dict[str, object]:
    return {
        "order_id": rebuilt.order_id,
        "transitions": [
            {
                "at": step.at.isoformat(timespec="microseconds"),
                "cause": _cause(step),
                "wish": _wish(step) or None,
                "cause_id": step.cause.envelope.id if step.cause else None,
                "place": step.cause.place if step.cause else None,
                "status": _status(step),
                "said": [type(message).__name__ for message in step.said],
                "difference": step.difference or None,
            }
            for step in rebuilt.transitions
        ],
        "not_taken": [{"type": type(m.message).__name__, "place": m.place} for m in rebuilt.untaken],
        "order": rebuilt.document.model_dump(mode="json") if rebuilt.document else None,
    }


def _cause(step: Transition) -> str:
    return type(step.cause.message).__name__ if step.cause is not None else "a deadline passed"


def _wish(step: Transition) -> str:
    """Who asked for it, and why, where a person did."""
    message = step.cause.message if step.cause is not None else None
    return f"{message.requested_by}: {message.reason}" if isinstance(message, CancelOrder | OrderRepair) else ""


def _status(step: Transition) -> str:
    return step.document.status if isinstance(step.document, Order) else ""


def _show(rebuilt: Replay) -> None:
    table = Table(title=f"{rebuilt.order_id}, from the topics alone", title_justify="left")
    table.add_column("when (UTC)", no_wrap=True)
    for column in ("because of", "on", "the order is", "and says"):
        table.add_column(column, overflow="fold")
    for step in rebuilt.transitions:
        said = ", ".join(type(message).__name__ for message in step.said)
        place = step.cause.place if step.cause is not None else ""
        because = escape("\n".join(filter(None, [_cause(step), _wish(step)])))
        table.add_row(f"{step.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], because, place, _status(step), said)
        if step.difference:
            table.add_row("", "", step.place, "", f"[red]{escape(step.difference)}[/red]")
    SHOWN.print(table)
    for waiting in rebuilt.untaken:
        SHOWN.print(f"not taken yet: {type(waiting.message).__name__} at {waiting.place}")
    if not rebuilt.transitions:
        SHOWN.print("Nothing was said about it until then.")
    elif rebuilt.differences:
        SHOWN.print("[red]The log says something else than the order service's rules.[/red]")
    else:
        SHOWN.print("The order service's rules, applied again, say exactly what is on the topics.")
