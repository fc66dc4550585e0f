"""`oms`: the command line of Throughline."""

import signal

import typer

from oms import connection
from oms.commands import (
    audit,
    backup,
    bench,
    chaos,
    dead_letter,
    demo,
    import_,
    link,
    order,
    parked,
    place,
    replay,
    saga,
    setup,
    simulate,
    stock,
    up,
)

app = typer.Typer(
    name="oms",
    help="Run Throughline on this machine, place orders, follow, replay and audit them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for run_here in (demo.demo, up.up, up.down, up.status):
    app.command(rich_help_panel="Run it here")(run_here)
app.add_typer(stock.app, name="stock", rich_help_panel="Orders and stock")
for orders in (place.place, place.cancel, order.order):
    app.command(rich_help_panel="Orders and stock")(orders)
app.add_typer(import_.app, name="import", rich_help_panel="Orders and stock")
for name, group in (
    ("dead-letter", dead_letter.app),
    ("parked", parked.app),
    ("saga", saga.app),
    ("link", link.app),
):
    app.add_typer(group, name=name, rich_help_panel="Put right")
for look in (replay.replay, audit.audit, bench.bench, chaos.chaos, simulate.simulate):
    app.command(rich_help_panel="Look closer")(look)
for elsewhere in (setup.setup, backup.backup, backup.restore):
    app.command(rich_help_panel="Run it elsewhere")(elsewhere)


def main() -> None:
    # Who is asked to end has as much to put away as who is interrupted: what was started here must not go on alone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it: go on when the terminal goes away
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    connection.reach_this_machine_directly()
    app()
