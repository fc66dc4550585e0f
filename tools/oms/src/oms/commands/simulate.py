"""`oms simulate`: have everything go wrong in virtual time, order after order, and find what does not survive it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from oms.audit.finding import Finding
from oms.commands import MOST_SHOWN, NOTES, SHOWN, Json, print_json
from oms.simulate.game import Outcome, play
from oms.simulate.plan import Plan, plan_of
from oms.simulate.series import Look, Series, play_all
from oms.simulate.shrink import shrink

USUAL_SEEDS = 1000


def simulate(
    *,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many seeds; by default {USUAL_SEEDS}, or as many as there are minutes for."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, max=10_080, help="Begin no more seeds after this many minutes.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="The first of the seeds.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Play this one only, tell what happens in it, and shrink it if it fails.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many processors to use.", show_default="2, or 1 if there is one")
    ] = min(2, os.cpu_count() or 1),
    as_json: Json = False,
) -> None:
    """Simulate the whole system in virtual time, have everything go wrong that can, and audit what comes of it.

    The real engine, the real services and the real saga run in this process, without Kafka or MongoDB. Processes are
    struck at any await of the engine: they crash, freeze and wake as zombies, or go on beside their successors;
    requests and answers are lost, late or repeated; primaries fail; clocks jump; old and new versions of a service run
    side by side. Then all is set right, every order must end, and the audit must be clean. All of it follows from the
    seed: one that fails does so every time, and is shrunk to the fewest faults and orders. Ends with status 1 if
    anything was found.
    """
    if seed is not None:
        outcome = play(plan_of(seed))
        smallest = _smallest(outcome)
        if as_json:
            print_json(_outcome_as_json(outcome, smallest))
        else:
            _show_story(outcome)
            _show_smallest(smallest)
        failed = bool(outcome.findings)
    else:
        series = _play(first, seeds, minutes, processes)
        smallest = _smallest(play(plan_of(min(series.failing)))) if series.failing else None
        if as_json:
            print_json(series.as_json() | {"smallest": smallest and _plan_as_json(smallest.plan)})
        else:
            _show(series)
            _show_smallest(smallest)
        failed = bool(series.failing)
    if failed:
        raise typer.Exit(1)


def _play(first: int, seeds: int | None, minutes: float | None, processes: int) -> Series:
    if seeds is None and minutes is None:
        seeds = USUAL_SEEDS
    numbers: Iterable[int] = count(first) if seeds is None else range(first, first + seeds)
    with _looking(seeds, minutes) as look:
        return play_all(numbers, processes=processes, for_s=None if minutes is None else minutes * 60, look=look)


@contextmanager
def _looking(seeds: int | None, minutes: float | None) -> Iterator[Look]:
    """Show how far it is, in seeds or in minutes, whichever has an end."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=NOTES, transient=True) as bar:
        task = bar.add_task("starting", total=seeds or (minutes or 0) * 60)

        def look(series: Series) -> None:
            found = f", [red]{len(series.failing)} fail[/red]" if series.failing else ""
            said = f"{series.seeds:,} seeds, {series.orders:,} orders, {series.orders_per_s:.0f} orders/s{found}"
            bar.update(task, completed=series.seeds if seeds else series.took_s, description=said)

        yield look


def _smallest(outcome: Outcome) -> Outcome | None:
    if not outcome.findings:
        return None
    with NOTES.status(f"shrinking seed {outcome.plan.seed}"):
        return shrink(outcome)


# As JSON.


def _plan_as_json(plan: Plan) -> dict[str, object]:
    return {
        "seed": plan.seed,
        "faults": [str(fault) for fault in plan.faults],
        "orders": [str(placing) for placing in plan.placings],
    }


def _outcome_as_json(outcome: Outcome, smallest: Outcome | None) -> dict[str, object]:
    return {
        "ok": not outcome.findings,
        **_plan_as_json(outcome.plan),
        "findings": [
            {"check": found.check, "place": found.place, "about": found.about, "what": found.what}
            for found in outcome.findings
        ],
        "records": len(outcome.log),
        "virtual_s": outcome.passed_s,
        "fingerprint": outcome.fingerprint,
        "story": outcome.story,
        "smallest": smallest and {**_plan_as_json(smallest.plan), "story": smallest.story},
    }


# For people.


def _show(series: Series) -> None:
    speed = (
        f"{series.seeds:,} seeds, {series.orders:,} orders in {series.took_s:.1f} s: {series.orders_per_s:.0f} orders/s"
    )
    much = f"{series.records:,} records, {series.virtual_s / 3600:.1f} virtual hours"
    SHOWN.print(f"{speed}; {much}", highlight=False, soft_wrap=True)
    SHOWN.print(f"Processes were struck in {len(series.struck)} places of the engine.", highlight=False)
    began = ", ".join(f"{orders:,} with {number}" for number, orders in sorted(series.began.items()))
    SHOWN.print(f"By the saga's definition, orders began: {began}.", highlight=False)
    if not series.failing:
        SHOWN.print("[green]Nothing was lost, doubled, oversold or stuck.[/green]")
    for number, findings in sorted(series.failing.items())[:MOST_SHOWN]:
        _show_findings(f"seed {number}: ", findings)


def _show_findings(which: str, findings: Sequence[Finding]) -> None:
    for found in findings[:MOST_SHOWN]:
        where = " ".join(part for part in (found.check, found.place, found.about) if part)
        SHOWN.print(f"[red]found:[/red] {escape(f'{which}{where}: {found.what}')}", highlight=False, soft_wrap=True)


def _show_story(outcome: Outcome) -> None:
    _show_plan(outcome.plan)
    for line in outcome.story:
        SHOWN.print(escape(line), highlight=False, soft_wrap=True)
    _show_findings("", outcome.findings)
    if not outcome.findings:
        SHOWN.print("[green]Nothing was lost, doubled, oversold or stuck.[/green]")


def _show_smallest(smallest: Outcome | None) -> None:
    if smallest is None:
        return
    faults, orders = len(smallest.plan.faults), len(smallest.plan.placings)
    SHOWN.print(f"Of seed {smallest.plan.seed} it takes only {faults} faults and {orders} orders:")
    _show_plan(smallest.plan)
    for line in smallest.story:
        SHOWN.print(escape(line), highlight=False, soft_wrap=True)
    _show_findings("", smallest.findings)
    SHOWN.print(f"To see it all again: oms simulate --seed {smallest.plan.seed}", highlight=False)


def _show_plan(plan: Plan) -> None:
    table = Table("what is to happen", box=None)
    for what in (*plan.placings, *plan.faults):
        table.add_row(escape(str(what)))
    SHOWN.print(table)
