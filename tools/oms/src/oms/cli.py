"""`oms`: the command line of Throughline."""

import signal
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from oms import connection

PANELS: Mapping[str, Mapping[str, str]] = {
    "Run it here": {"demo": "demo:demo", "up": "up:up", "down": "up:down", "status": "up:status"},
    "Orders and stock": {
        "place": "place:place",
        "cancel": "cancel:cancel",
        "order": "order:order",
        "stock": "stock:app",
        "import": "import_:app",
    },
    "Look closer": {
        "replay": "replay:replay",
        "audit": "audit:audit",
        "bench": "bench:bench",
        "chaos": "chaos:chaos",
        "simulate": "simulate:simulate",
    },
    "Run it elsewhere": {"setup": "setup:setup", "backup": "backup:backup", "restore": "backup:restore"},
    "Put right": {
        "dead-letter": "dead_letter:app",
        "parked": "parked:app",
        "saga": "saga:app",
        "link": "link:app",
    },
}
"""By panel of the help, the commands, and where each is: a module of `oms.commands`, and a name in it."""


class ByName(TyperGroup):
    """Imports a command when it is asked for: most of a second goes into what only the others stand on."""

    def __init__(self, **how: Any) -> None:  # noqa: ANN401 - what typer hands over
        super().__init__(**how)
        not_yet: Any = {name: None for panel in PANELS.values() for name in panel}
        self.commands = not_yet

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer keeps the types to itself
        for panel, places in PANELS.items():
            if cmd_name in places and self.commands[cmd_name] is None:
                self.commands[cmd_name] = _command(cmd_name, places[cmd_name], panel)
        return self.commands.get(cmd_name)


def _command(name: str, place: str, panel: str) -> Any:  # noqa: ANN401 - the same
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"oms.commands.{module}"), attribute)
    alone = typer.Typer(pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, rich_help_panel=panel)
    else:
        alone.command(name, rich_help_panel=panel)(found)
    return get_group(alone).commands[name]


app = typer.Typer(
    cls=ByName,
    name="oms",
    help="Run Throughline on this machine, place orders, follow, replay and audit them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    """Have it be a group: typer sees no commands yet."""


def main() -> None:
    # A process asked to end has as much to put away as one interrupted: what it started must not go on alone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it: go on when the terminal goes away
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    connection.reach_this_machine_directly()
    app()
