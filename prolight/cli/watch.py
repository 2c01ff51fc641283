"""`prolight watch`, and how any command follows a run to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from prolight.cli.output import ExitCode, Json, console, detaching, record, run_goes_on, say, wait_for
from prolight.cli.rendering import ending, event_line
from prolight.events import Event, Status
from prolight.lifecycle import PARKED, TERMINAL
from prolight.ports import Snapshot
from prolight.schemas import State

if TYPE_CHECKING:
    from prolight.client import AsyncClient


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only events with a higher number.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Stay while the run waits for a person.")] = False,
    as_json: Json = False,
) -> ExitCode:
    """Follow a run's events, live, until it ends or waits for a person. Ctrl-C leaves the run alone."""
    return wait_for(_watch(run, after, keep=keep, as_json=as_json))


async def _watch(run_id: str, after: int, *, keep: bool, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        with detaching(run_goes_on(run_id)):
            async with aclosing(follow(client, run_id, after, keep=keep)) as events:
                async for event in events:
                    show_event(event, as_json=as_json)
        snapshot = await client.get(run_id)
    say(ending(snapshot))
    return exit_code(snapshot.run.state)


def show_event(event: Event, *, as_json: bool) -> None:
    """One event on stdout: a line for people, or the event itself."""
    if as_json:
        record(event.model_dump(mode="json", exclude_none=True))
    else:
        console().print(event_line(event))


async def follow(client: AsyncClient, run_id: str, after: int = 0, *, keep: bool = False) -> AsyncGenerator[Event]:
    """The run's events after `after`, live, until it ends or, unless `keep`, waits for a person."""
    snapshot = await client.get(run_id)
    if _nothing_follows(snapshot, after, keep=keep):
        return
    async with aclosing(client.events(run_id, after)) as events:
        async for event in events:
            yield event
            if isinstance(event.payload, Status) and event.payload.state in PARKED:
                snapshot = await client.get(run_id)
            if _nothing_follows(snapshot, event.seq, keep=keep):
                return


def _nothing_follows(snapshot: Snapshot, seen: int, *, keep: bool) -> bool:
    still = snapshot.run.state in TERMINAL or (snapshot.run.state in PARKED and not keep)
    return still and seen >= snapshot.seq


def exit_code(state: State) -> ExitCode:
    """What a command that watched the run tells the shell."""
    match state:
        case State.COMPLETED:
            return ExitCode.OK
        case State.FAILED | State.REJECTED:
            return ExitCode.RUN_FAILED
        case State.AWAITING_APPROVAL | State.NEEDS_REVIEW:
            return ExitCode.WAITS
        case _:
            return ExitCode.STOPPED
