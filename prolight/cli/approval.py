"""`prolight approve` and `prolight reject`: what a person says to a run that waits for one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from prolight.cli.failures import Refused
from prolight.cli.output import By, ExitCode, Json, console, say, wait_for
from prolight.cli.page import plan as plan_page
from prolight.cli.page import verdict
from prolight.cli.rendering import one_line, picture, unapproved
from prolight.cli.runs import tell
from prolight.errors import IllegalMove, InvalidInput
from prolight.schemas import Approval, Plan, State, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from prolight.client import AsyncClient
    from prolight.ports import Snapshot

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


def approve(
    run: Run,
    *,
    plan: Annotated[str | None, typer.Option(metavar="HASH", help="Exactly this plan; asks for nothing then.")] = None,
    edit: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, metavar="FILE", help="This plan (JSON) instead.")
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Exactly this finished picture; asks for nothing then. Repeatable."),
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> ExitCode:
    """Show what waits, ask, and let the plan be carried out or the finished pictures go.

    Off a terminal, --plan HASH or --picture ID says which.
    """
    if plan and picture:
        raise InvalidInput("and --picture exclude each other: a run waits with the one or the other", field="--plan")
    if edit and picture:
        raise InvalidInput("is another plan, and --picture says that it was carried out well", field="--edit")
    return wait_for(_approve(run, plan, tuple(picture or ()), edit, by, as_json=as_json))


async def _approve(
    run_id: str,
    plan_hash: str | None,
    pictures: tuple[str, ...],
    edit: Path | None,
    by: str | None,
    *,
    as_json: bool,
) -> ExitCode:
    from prolight.client import AsyncClient

    edited = _plan(edit) if edit else None
    async with AsyncClient() as client:
        if plan_hash is None and not pictures:
            asked = await _asked(client, run_id, edited)
            if asked is None:
                say("nothing was approved; the run goes on waiting")
                return ExitCode.WAITS
            plan_hash, pictures = asked.plan_hash, asked.pictures
        if pictures:
            tell(await client.publish(run_id, pictures, by=by), as_json=as_json)
        else:
            tell(await client.approve(run_id, plan_hash or "", by=by, edited=edited), as_json=as_json)
    return ExitCode.OK


async def _asked(client: AsyncClient, run_id: str, edited: Plan | None) -> Approval | None:
    """Show what waits, and ask; what was shown, or None for a no."""
    snapshot = await client.get(run_id)
    run = snapshot.run
    if run.state is not State.AWAITING_APPROVAL or run.approval is None:
        raise IllegalMove(f"run {run_id} is {run.state} and waits for no approval: `prolight show {run_id}`")
    asked = run.approval
    if edited and asked.pictures:
        raise InvalidInput("comes too late: the plan was carried out, and its pictures wait", field="--edit")
    if not sys.stdin.isatty():
        option, names = ("--picture", asked.pictures) if asked.pictures else ("--plan", (asked.plan_hash,))
        answer = " ".join(f"{option} {name}" for name in names)
        raise InvalidInput(
            f"is needed where nobody can be asked: look at `prolight show {run_id}`, then `{answer}`", field=option
        )
    for part in _shown(snapshot):
        console(stderr=True).print(part)
    question = "let the Critic judge your plan instead of this one?" if edited else QUESTIONS[asked.subject]
    return asked if typer.confirm(question, err=True) else None


QUESTIONS = {"plan": "carry out exactly this plan?", "result": "are these pictures finished?"}


def _shown(snapshot: Snapshot) -> Iterator[RenderableType]:
    run = snapshot.run
    assert run.approval
    yield one_line(run.brief, 600)
    yield plan_page(run)
    if run.approval.subject == "plan":
        yield verdict(run) if run.critique else ""
        yield f"plan {run.approval.plan_hash}"
    else:
        yield "\n".join(f"{picture(output)}  {output.id}" for output in unapproved(snapshot))
        yield f"look at them: `prolight artifacts {run.run_id} -o FOLDER --unapproved`"
    yield "asks: " + one_line("; ".join(run.approval.reasons), 600)


def _plan(file: Path) -> Plan:
    try:
        return Plan.model_validate(json.loads(file.read_text()))
    except ValidationError as error:
        raise InvalidInput(str(refusal(error)), field=f"plan in {file}") from None
    except (ValueError, RecursionError):
        raise InvalidInput(
            "is not JSON: `prolight show RUN --json` holds the plan under `plan`", field=str(file)
        ) from None


def reject(
    run: Run,
    reason: Annotated[str, typer.Option(help="Kept on the record.")] = "",
    by: By = None,
    as_json: Json = False,
) -> ExitCode:
    """Say no to a run that waits for a person: it is REJECTED, for good."""
    return wait_for(_reject(run, reason, by, as_json=as_json))


async def _reject(run_id: str, reason: str, by: str | None, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        try:
            tell(await client.reject(run_id, reason=reason, by=by), as_json=as_json)
        except IllegalMove as refused:
            raise Refused(f"{refused}: `prolight show {run_id}`") from None
    return ExitCode.OK
