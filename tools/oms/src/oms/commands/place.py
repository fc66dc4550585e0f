"""`oms place`: what a channel sends."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer
from contracts.order import OrderPlaced
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from oms import connection
from oms.commands import NOTES, SHOWN, Brokers, Json, print_json, said_plainly
from oms.log import LogReader, NoLog
from oms.placing import orders_file
from oms.placing.orders_file import BadLine, Line
from oms.placing.place import STATES, Tally, follow, send
from oms.placing.sending import Sender

File = Annotated[
    Path, typer.Argument(help="One JSON object a line; - reads standard input.", allow_dash=True, dir_okay=False)
]
Rate = Annotated[
    float | None, typer.Option(min=0.001, help="The most to send a second; by default as fast as it goes.")
]
MOST_NAMED = 10
MOST_BAD_SHOWN = 50
LINES_AHEAD = 1000


@dataclass(slots=True)
class Sent:
    """What was sent, and what became of it."""

    count: int = 0
    bad: list[BadLine] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def on_sent(self, line: Line, message_id: str) -> None:
        self.count += 1
        self.tally.placed(line, message_id)


def place(
    file: File,
    *,
    rate: Rate = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show what becomes of the orders until each has come to an end.")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=1, help="With --follow: give up after this many seconds without any news.")
    ] = 60.0,
    brokers: Brokers = None,
    as_json: Json = False,
) -> None:
    """Place orders, as a channel does: each line becomes an OrderPlaced on order.intake.

    Lines that are not JSON objects are reported and not sent. Whether an order makes sense is for the order service to
    say. Ends with status 1 if a line could not be sent, or if an order that was followed came to no end.
    """
    sent = Sent()
    with said_plainly(connection.Unreachable, NoLog, OSError):
        address = connection.brokers(brokers)
        if follow:
            asyncio.run(_send_and_follow(file, address, rate, patience, sent))
        else:
            asyncio.run(_send(file, address, rate, sent))
    report(sent, "orders", followed=follow, as_json=as_json)
    if sent.bad or (follow and sent.tally.open):
        raise typer.Exit(1)


async def _send(file: Path, brokers: str, rate: float | None, sent: Sent) -> None:
    async with Sender(brokers) as sender:
        await send(lines_of(file), sender, OrderPlaced, rate=rate, on_sent=sent.on_sent, on_bad=sent.bad.append)


async def _send_and_follow(file: Path, brokers: str, rate: float | None, patience_s: float, sent: Sent) -> None:
    begun, all_sent = asyncio.Event(), asyncio.Event()

    async def place_all() -> None:
        await begun.wait()
        await _send(file, brokers, rate, sent)
        all_sent.set()

    async with LogReader(brokers) as log:
        with Live(console=NOTES, transient=True, auto_refresh=False) as live:
            following = follow(
                log,
                sent.tally,
                begun=begun,
                all_sent=all_sent,
                patience_s=patience_s,
                on_look=lambda: live.update(_states(sent), refresh=True),
            )
            tasks = [asyncio.create_task(following), asyncio.create_task(place_all())]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()


async def lines_of(path: Path) -> AsyncIterator[Line | BadLine]:
    """The lines of a file, or of standard input, as they come."""
    # Not `sys.stdin`, whose lock a thread that waits for more would still hold when the process wants to end.
    file = os.fdopen(sys.stdin.fileno(), "rb", closefd=False) if path == Path("-") else path.open("rb")
    if not file.seekable():
        async for line in _read_aside(orders_file.read(file)):
            yield line
        return
    with file:
        for line in orders_file.read(file):
            yield line


async def _read_aside(lines: Iterator[Line | BadLine]) -> AsyncIterator[Line | BadLine]:
    """Read a pipe, which may be silent for ever: nothing else waits for it, not even the end of the command."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Line | BadLine | OSError | None] = asyncio.Queue(LINES_AHEAD)

    def tell(line: Line | BadLine | OSError | None) -> None:
        if not loop.is_closed():
            asyncio.run_coroutine_threadsafe(heard.put(line), loop).result()

    def read() -> None:
        try:
            for line in lines:
                tell(line)
        except OSError as failed:
            tell(failed)
        else:
            tell(None)

    Thread(target=read, name="input", daemon=True).start()
    while (line := await heard.get()) is not None:
        if isinstance(line, OSError):
            raise line
        yield line


def _states(sent: Sent) -> Table:
    states = sent.tally.states
    table = Table(title=f"{sent.count:,} orders placed, {len(sent.tally.open):,} still on their way")
    table.add_column("state")
    table.add_column("orders", justify="right")
    for state in STATES:
        if states[state]:
            table.add_row(state, f"{states[state]:,}")
    return table


def report(sent: Sent, what: str, *, followed: bool, as_json: bool) -> None:
    """Print what was sent and what was not, and what became of what was followed."""
    unfinished = sent.tally.open if followed else []
    if as_json:
        answer: dict[str, object] = {
            "sent": sent.count,
            "not_sent": [{"line": bad.number, "reason": bad.reason} for bad in sent.bad],
        }
        if followed:
            answer |= {"states": dict(sent.tally.states), "unfinished": unfinished}
        print_json(answer)
        return
    for bad in sent.bad[:MOST_BAD_SHOWN]:
        NOTES.print(f"line {bad.number} was not sent: {escape(bad.reason)}", style="red", highlight=False)
    if len(sent.bad) > MOST_BAD_SHOWN:
        NOTES.print(f"and {len(sent.bad) - MOST_BAD_SHOWN:,} more lines; --json names them all", style="red")
    SHOWN.print(f"{sent.count:,} {what} sent")
    if followed:
        SHOWN.print(_states(sent))
    if unfinished:
        more = f" and {len(unfinished) - MOST_NAMED:,} more" if len(unfinished) > MOST_NAMED else ""
        NOTES.print(f"came to no end so far: {escape(', '.join(unfinished[:MOST_NAMED]))}{more}", style="yellow")
