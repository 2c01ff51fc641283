"""`prolight workers`: who works here, and whether new work is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.ports import Process
from prolight.schemas import Stage
from prolight.spoken import duration

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Who works here, and whether new work is taken.")

Stages = Annotated[list[Stage] | None, typer.Argument(metavar="[STAGE]...", help="plan, critique, execute; none: all.")]


@app.command("list")
def list_(as_json: Json = False) -> ExitCode:
    """The worker processes, and which stages are paused."""
    return wait_for(_list(as_json=as_json))


async def _list(*, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        processes, paused, now = await client.workers(), await client.store.paused(), client.store.now()
    for process in processes if as_json else ():
        record(described(process))
    for stage, pause in paused.items():
        if as_json:
            record({"paused": stage, "by": pause.by, "reason": pause.reason, "at": pause.at})
        else:
            because = f": {pause.reason}" if pause.reason else ""
            say(f"{stage} is paused by {pause.by} since {duration(max(0.0, now - pause.at))}{because}")
    if processes and not as_json:
        console().print(listing(processes, now))
    elif not as_json:
        say("no worker process: `prolight worker`, or `prolight up`")
    return ExitCode.OK


def described(process: Process) -> dict[str, object]:
    names = ("id", "host", "pid", "slots", "stages", "alive", "beat_at")
    return {name: getattr(process, name) for name in names}


def listing(processes: Sequence[Process], now: float) -> Table:
    table = Table("PROCESS", "HOST", "PID", "STAGES", "SLOTS", "HEARD OF", box=None, pad_edge=False)
    for process in processes:
        heard = f"{duration(max(0.0, now - process.beat_at))} ago" + ("" if process.alive else ", gone")
        stages = ",".join(process.stages)
        table.add_row(process.id, process.host, str(process.pid), stages, str(process.slots), heard)
    return table


@app.command()
def pause(
    stages: Stages = None,
    *,
    reason: Annotated[str, typer.Option(help="Shown by `prolight why`.")] = "",
    as_json: Json = False,
) -> ExitCode:
    """Stop new claims, of all stages or some, in the whole fleet. What is worked on goes on; nothing is lost."""
    return wait_for(_switch(stages or list(Stage), pause=True, reason=reason, as_json=as_json))


@app.command()
def resume(stages: Stages = None, *, as_json: Json = False) -> ExitCode:
    """Let the stages go on."""
    return wait_for(_switch(stages or list(Stage), pause=False, reason="", as_json=as_json))


async def _switch(stages: list[Stage], *, pause: bool, reason: str, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        if pause:
            await client.pause(*stages, reason=reason)
        else:
            await client.resume(*stages)
    if as_json:
        record({"stages": stages, "paused": pause})
    else:
        console().print(f"{', '.join(stages)}: {'paused' if pause else 'goes on'}")
    return ExitCode.OK
