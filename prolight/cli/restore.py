"""`prolight restore`: after the store was restored from a backup."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.errors import InvalidInput
from prolight.schemas import State

BECOMES = {
    State.PLANNING: "a person sees the plan before it is carried out",
    State.CRITIQUING: "a person sees the plan before it is carried out",
    State.EXECUTING: "NEEDS_REVIEW",
    State.AWAITING_APPROVAL: "still wait; whoever approves is told",
    State.NEEDS_REVIEW: "still wait; whoever decides is told",
    State.CANCELLING: "CANCELLED",
}
GO_ON = "go on"


def restore(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the runs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    ask: Annotated[
        bool, typer.Option(help="Runs that have no judged plan yet need a person before they are carried out.")
    ] = True,
    as_json: Json = False,
) -> ExitCode:
    """After the store was restored from a backup, before workers start: nothing done since is done again silently.

    Runs that were EXECUTING wait for `prolight review allow`, or `abandon`. Claims of the time that was lost end.
    """
    return wait_for(_restore(dry_run=dry_run, yes=yes, ask=ask, as_json=as_json))


async def _restore(*, dry_run: bool, yes: bool, ask: bool, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient
    from prolight.naming import principal
    from prolight.restore import restore as look_after
    from prolight.restore import survey

    async with AsyncClient() as client:
        found = await survey(client.store)
        if not dry_run:
            if not yes and not _agreed(found, ask=ask):
                say("nothing was changed")
                return ExitCode.STOPPED
            found = await look_after(client.store, by=principal(), ask=ask, deadlines=client.settings.deadlines)
    if as_json:
        record({"restored": not dry_run, "runs": {state: found.get(state, 0) for state in BECOMES}})
    else:
        console().print("\n".join(lines(found, ask=ask)))
    return ExitCode.OK


def lines(found: Mapping[State, int], *, ask: bool) -> list[str]:
    """What becomes of the live runs."""
    becomes = BECOMES if ask else {**BECOMES, State.PLANNING: GO_ON, State.CRITIQUING: GO_ON}
    return [f"{found[state]:,} {state}: {then}" for state, then in becomes.items() if found.get(state)] or [
        "no run is live: nothing to do"
    ]


def _agreed(found: Mapping[State, int], *, ask: bool) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput("is needed where nobody can be asked: look at --dry-run first", field="--yes")
    say("\n".join(lines(found, ask=ask)))
    return typer.confirm("are all workers stopped, and is this to be done?", err=True)
