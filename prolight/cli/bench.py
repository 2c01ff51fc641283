"""`prolight bench NAME`: one record of what ProLight costs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from prolight.cli.output import ExitCode, Json, console, record, say, wait_for

if TYPE_CHECKING:
    from rich.table import Table

Benchmark = Literal["overhead", "store", "relight", "studio", "recovery", "client"]
NOT_FIGURES = ("bench", "goals", "machine")


def bench(
    name: Annotated[
        Literal["overhead", "store", "relight", "studio", "recovery", "client"], typer.Argument(help="What to measure.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="A small sample: does it work, and about how fast?")] = False,
    repeat: Annotated[int | None, typer.Option(min=1, help="Repetitions; figures are their medians.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs, commits, calls or kills in each.")] = None,
    as_json: Json = False,
) -> ExitCode:
    """Measure this installation.

    `overhead` against a stock Celery chain, `store`: commits, `relight`: one picture, `studio`: its operations
    and memory, `recovery` when a worker is killed, stopped, cut off or wedged, `client`: its import.
    Starts what it needs, in a folder of its own, and removes it. An unmet goal is said, and is no failure.
    """
    from prolight.bench import Name, sit

    measured = wait_for(sit(Name(name), say=say, quick=quick, repeat=repeat, runs=runs))
    if as_json:
        record(measured)
    else:
        console().print(table(measured))
    return ExitCode.OK


def table(measured: Mapping[str, Any]) -> Table:
    """The record for people: figure, value, and the goal where there is one."""
    from rich.table import Table

    goals = {goal["figure"]: goal for goal in measured["goals"]}
    grid = Table(title=f"bench {measured['bench']}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "value", "goal"):
        grid.add_column(heading, justify="right" if heading == "value" else "left")
    figures = {name: value for name, value in measured.items() if name not in NOT_FIGURES}
    for name, value in _flat(figures):
        goal = goals.get(name)
        grid.add_row(name, value, f"{'✓' if goal['met'] else '✗'} {goal['goal']}" if goal else "")
    for name, value in _flat(measured["machine"]):
        grid.add_row(name, value, "", style="dim")
    return grid


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)
