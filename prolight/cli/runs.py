"""`prolight list`, `show` and `cancel`: what the store says of runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.cli.page import page
from prolight.cli.rendering import ending, one_line, state_text, summary
from prolight.errors import IllegalMove
from prolight.ports import Snapshot
from prolight.schemas import State
from prolight.spoken import duration

BRIEF_IN_A_LIST_CHARS = 60
MAX_LISTED = 1_000

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


def list_(
    state: Annotated[State | None, typer.Option(case_sensitive=False, help="Only runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="At most so many.")] = 20,
    as_json: Json = False,
) -> ExitCode:
    """The newest runs, newest first."""
    return wait_for(_list(state, limit, as_json=as_json))


async def _list(state: State | None, limit: int, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        snapshots = await client.list(limit=limit, state=state)
        now = client.store.now()
    if as_json:
        for snapshot in snapshots:
            record(summary(snapshot))
    elif snapshots:
        console().print(listing(snapshots, now=now))
    else:
        say(f"no runs{f' in {state}' if state else ''}: `prolight submit PICTURE BRIEF` makes one")
    return ExitCode.OK


def listing(snapshots: list[Snapshot], *, now: float) -> Table:
    """One line per run: id, state, what happens to it, age, brief."""
    table = Table(box=None, pad_edge=False)
    for title in ("RUN", "STATE", "ACTIVITY", "AGE", "BRIEF"):
        table.add_column(title, no_wrap=title != "BRIEF")
    for snapshot in snapshots:
        run = snapshot.run
        age = duration(max(0.0, now - run.created_at))
        brief = Text(one_line(run.brief, BRIEF_IN_A_LIST_CHARS))
        table.add_row(run.run_id, state_text(run.state), snapshot.activity, age, brief)
    return table


def show(run: Run, as_json: Json = False) -> ExitCode:
    """One run, whole: brief, plan with findings, steps, timeline, cost, error."""
    return wait_for(_show(run, as_json=as_json))


async def _show(run_id: str, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        snapshot = await client.get(run_id)
        now = client.store.now()
    if as_json:
        record(whole(snapshot))
    else:
        console().print(page(snapshot, now=now))
    return ExitCode.OK


def whole(snapshot: Snapshot) -> dict[str, object]:
    """The run's whole document, and what the store knows besides."""
    beside = {name: getattr(snapshot, name) for name in ("ver", "epoch", "attempt", "activity")}
    return {**snapshot.run.to_dict(), **beside, "child": snapshot.child or None}


def cancel(
    run: Run,
    reason: Annotated[str, typer.Option(help="Kept in the run's events.")] = "",
    as_json: Json = False,
) -> ExitCode:
    """Stop a run: CANCELLED at once, or CANCELLING until whoever works on it lets go."""
    return wait_for(_cancel(run, reason, as_json=as_json))


async def _cancel(run_id: str, reason: str, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        try:
            snapshot = await client.cancel(run_id, reason=reason)
        except IllegalMove:
            snapshot = await client.get(run_id)
            if snapshot.run.state is not State.CANCELLING:
                message = f"run {run_id} has ended, it is {snapshot.run.state}: there is nothing to cancel"
                raise Refused(message) from None
    tell(snapshot, as_json=as_json)
    return ExitCode.OK


def tell(snapshot: Snapshot, *, as_json: bool) -> None:
    """How a run stands, after a command that changed it."""
    if as_json:
        record(summary(snapshot))
    else:
        console().print(ending(snapshot))
