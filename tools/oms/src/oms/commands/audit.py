"""`oms audit`: is everything right?"""

import asyncio
from typing import Annotated

import typer
from contracts.repair import RepairEvent
from order.settings import Settings
from rich.markup import escape
from rich.table import Table

from oms import connection
from oms.audit import auditing
from oms.audit.auditor import Verdict
from oms.commands import MOST_SHOWN, SHOWN, Brokers, Json, Mongo, bar, print_json, progress_on, said_plainly
from oms.log import NoLog


def audit(
    *,
    log_only: Annotated[bool, typer.Option("--log-only", help="Read the topics only, not the databases.")] = False,
    brokers: Brokers = None,
    mongo: Mongo = None,
    as_json: Json = False,
) -> None:
    """Prove from all topics, then the databases, that nothing was lost, doubled or oversold.

    Every order ended or waits for something that is named; every link between services is without a gap; the stock of
    every item adds up after every message and is never below zero; every movement of stock was asked for, and booked
    once; what left for an order is what was ordered; what was captured and not refunded is what is owed; replaying
    every order gives what is on the log; and the databases say the same. What is found is looked for a second time, so
    that a system at work is not blamed for what is just on its way; what moved meanwhile is named as not checked. Ends
    with status 1 if anything is off.
    """
    with said_plainly(connection.Unreachable, NoLog, OSError):
        where = connection.brokers(brokers), None if log_only else connection.mongo_url(mongo)
        verdict = asyncio.run(find_out(*where))
    if as_json:
        print_json(as_json_of(verdict))
    else:
        show(verdict)
    if verdict.findings:
        raise typer.Exit(1)


async def find_out(brokers: str, mongo_url: str | None) -> Verdict:
    """The audit, with its progress shown. Raises Unreachable and NoLog."""
    policy = Settings.from_environment().policy
    with bar() as shown:
        return await auditing.audit(brokers, mongo_url, policy, progress_on(shown))


def as_json_of(verdict: Verdict) -> dict[str, object]:
    """The verdict as JSON, with all findings."""
    return {
        "ok": not verdict.findings,
        "findings": [
            {"check": found.check, "place": found.place, "about": found.about, "what": found.what}
            for found in verdict.findings
        ],
        "waiting": [{"about": one.about, "state": one.state, "why": one.why} for one in verdict.waiting],
        "orders": dict(verdict.orders),
        "records": verdict.records,
        "links": {"count": verdict.links, "messages": verdict.counted, "published_again": verdict.repeated},
        "items": sum(len(book.items) for book in verdict.books),
        "dead_letters": [
            {
                "topic": cause.topic,
                "service": cause.service,
                "code": cause.code,
                "path": cause.path,
                "message": cause.message,
                "count": count,
                "examples": verdict.examples[cause],
            }
            for cause, count in verdict.dead_letters.most_common()
        ],
        "late": [{"place": one.place, "since": one.since and one.since.isoformat()} for one in verdict.late],
        "not_checked": verdict.unchecked,
        "repairs": [{"answer": type(one).__name__, **one.model_dump(mode="json")} for one in verdict.repairs],
    }


def show(verdict: Verdict) -> None:
    """The verdict for people."""
    items = sum(len(book.items) for book in verdict.books)
    again = f", {verdict.repeated:,} of them published again" if verdict.repeated else ""
    SHOWN.print(
        f"{verdict.records:,} records on {verdict.links:,} links{again}; {verdict.orders.total():,} orders; "
        f"{items:,} items in stock"
    )
    SHOWN.print(", ".join(f"{count:,} {state}" for state, count in verdict.orders.most_common()) or "no orders")
    if verdict.repairs:
        by = ", ".join(
            sorted({one.by if isinstance(one, RepairEvent) else one.requested_by for one in verdict.repairs})
        )
        SHOWN.print(f"{len(verdict.repairs):,} repairs that people asked for: {escape(by)}", highlight=False)
    _show_late(verdict)
    for what in verdict.unchecked:
        SHOWN.print(f"not checked: {what}", highlight=False)
    _show_dead_letters(verdict)
    _show_waiting(verdict)
    _show_findings(verdict)


def _show_late(verdict: Verdict) -> None:
    if not verdict.late:
        return
    table = Table(title=f"{len(verdict.late):,} topic partitions whose beginning was cut off", title_justify="left")
    for column in ("begins at", "since (UTC)"):
        table.add_column(column)
    for one in verdict.late[:MOST_SHOWN]:
        table.add_row(one.place, f"{one.since:%Y-%m-%d %H:%M:%S}" if one.since else "nothing is left")
    SHOWN.print(table)
    _say_more(len(verdict.late))


def _show_dead_letters(verdict: Verdict) -> None:
    if not verdict.dead_letters:
        return
    table = Table(title=f"{verdict.dead_letters.total():,} dead letters", title_justify="left")
    for column in ("count", "topic", "why", "for example"):
        table.add_column(column, justify="right" if column == "count" else "left")
    for cause, count in verdict.dead_letters.most_common(MOST_SHOWN):
        why = f"{cause.path}: {cause.message}" if cause.path else cause.message
        table.add_row(f"{count:,}", cause.topic, escape(why[:200]), escape(verdict.examples[cause][0]))
    SHOWN.print(table)


def _show_waiting(verdict: Verdict) -> None:
    if not verdict.waiting:
        return
    table = Table(title=f"{len(verdict.waiting):,} still waiting", title_justify="left")
    for column in ("what", "state", "why"):
        table.add_column(column)
    for one in verdict.waiting[:MOST_SHOWN]:
        table.add_row(*map(escape, (one.about, one.state, one.why)))
    SHOWN.print(table)
    _say_more(len(verdict.waiting))


def _show_findings(verdict: Verdict) -> None:
    if not verdict.findings:
        of_what = " of what was checked" if verdict.unchecked else ""
        SHOWN.print(f"[green]Nothing{of_what} was lost, doubled or oversold.[/green]")
        return
    table = Table(title=f"{len(verdict.findings):,} findings", title_justify="left", title_style="bold red")
    for column in ("check", "where", "about", "what is wrong"):
        table.add_column(column, overflow="fold")
    for found in verdict.findings[:MOST_SHOWN]:
        table.add_row(*map(escape, (found.check, found.place, found.about, found.what)))
    SHOWN.print(table)
    _say_more(len(verdict.findings))


def _say_more(count: int) -> None:
    if count > MOST_SHOWN:
        SHOWN.print(f"and {count - MOST_SHOWN:,} more; --json lists all of them")
