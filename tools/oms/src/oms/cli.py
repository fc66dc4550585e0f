"""`oms`: the command line of Throughline."""

import typer

from oms.commands import bench, import_, order, place, setup, stock, up

app = typer.Typer(
    name="oms",
    help="Run Throughline on this machine, place orders, follow, replay and audit them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(up.down)
app.command()(up.status)
app.command()(setup.setup)
app.command()(bench.bench)
app.add_typer(stock.app, name="stock")
app.command()(place.place)
app.command()(place.cancel)
app.command()(order.order)
app.add_typer(import_.app, name="import")


def main() -> None:
    app()
