"""`prolight approve` and `prolight reject`: what a person says to a run that waits for one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, console, say, wait_for
from prolight.cli.page import plan as plan_page
from prolight.cli.page import verdict
from prolight.cli.rendering import one_line
from prolight.cli.runs import tell
from prolight.errors import IllegalMove, InvalidInput
from prolight.schemas import Plan, State, refusal

if TYPE_CHECKING:
    from prolight.client import AsyncClient

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; by default you, as USER@HOST.")]


def approve(
    run: Run,
    plan: Annotated[str | None, typer.Option(metavar="HASH", help="Exactly this plan; asks for nothing then.")] = None,
    edit: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, metavar="FILE", help="This plan (JSON) instead.")
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> ExitCode:
    """Show the plan that waits, ask, and let it be carried out. Off a terminal, --plan HASH says which."""
    return wait_for(_approve(run, plan, edit, by, as_json=as_json))


async def _approve(run_id: str, plan_hash: str | None, edit: Path | None, by: str | None, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    edited = _plan(edit) if edit else None
    async with AsyncClient() as client:
        if plan_hash is None:
            plan_hash = await _asked(client, run_id, edited)
        if plan_hash is None:
            say("nothing was approved; the run goes on waiting")
            return ExitCode.WAITS
        tell(await client.approve(run_id, plan_hash, by=by, edited=edited), as_json=as_json)
    return ExitCode.OK


async def _asked(client: AsyncClient, run_id: str, edited: Plan | None) -> str | None:
    """Show what waits, and ask; the hash of the plan that was shown, or None for a no."""
    snapshot = await client.get(run_id)
    run = snapshot.run
    if run.state is not State.AWAITING_APPROVAL or run.approval is None:
        raise IllegalMove(f"run {run_id} is {run.state} and waits for no approval: `prolight show {run_id}`")
    plan_hash = run.approval.plan_hash
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"is needed where nobody can be asked: look at `prolight show {run_id}`, then `--plan {plan_hash}`",
            field="--plan",
        )
    terminal = console(stderr=True)
    for part in (one_line(run.brief, 600), plan_page(run), verdict(run) if run.critique else "", f"plan {plan_hash}"):
        terminal.print(part)
    terminal.print("asks: " + one_line("; ".join(run.approval.reasons), 600))
    question = "let the Critic judge your plan instead of this one?" if edited else "carry out exactly this plan?"
    return plan_hash if typer.confirm(question, err=True) else None


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
