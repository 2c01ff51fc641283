"""`prolight submit --dry-run`: the plan and the verdict, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from prolight import assets, presets
from prolight.agents import AgentRunnerAsync, RunContext
from prolight.bootstrap import connect_artifacts, connect_tools
from prolight.cli.output import ExitCode, console, record
from prolight.cli.page import plan, verdict
from prolight.guardrails import estimated_cost
from prolight.lifecycle import ASKED_BY_CALLER
from prolight.naming import new_run_id
from prolight.ports import ToolGateway
from prolight.recipes import recipe_of
from prolight.schemas import RunRequest, State
from prolight.settings import Settings


async def dry_run(
    picture: Path | str, brief: str, *, recipe: str | None, preset: str | None, budget: str | None, as_json: bool
) -> ExitCode:
    """Plan and judge in this process, as workers would; no run is made, and no tool that makes pictures is called.

    A file's picture is kept only as long as this takes. Raises `InvalidInput`, `ArtifactMissing`.
    """
    settings = Settings.load()
    cooked = await _run(recipe) if recipe else None
    with tempfile.TemporaryDirectory(prefix="prolight-dry-run-") as folder:
        if isinstance(picture, Path):
            settings = settings.model_copy(update={"artifacts": Path(folder)})
            content = assets.read(picture, settings.picture_limits)
            taken = await assets.take_in(connect_artifacts(settings), content, settings.picture_limits)
        else:
            taken = await assets.find(connect_artifacts(settings), picture)
        held_to = presets.preset(preset) if preset else None
        brief = brief or (cooked.brief if cooked else held_to.brief if held_to else "")
        asked = RunRequest.parse(picture_id=taken.id, brief=brief, budget_usd=budget)
        tools = connect_tools(settings, studio_here=True)
        ctx = RunContext(
            run_id=new_run_id(),
            asset_id=asked.picture_id,
            brief=asked.brief,
            recipe=recipe_of(cooked) if cooked else None,
            preset=held_to.target if held_to else cooked.preset if cooked else None,
            budget_usd=settings.budget_usd if asked.budget_usd is None else asked.budget_usd,
        )
        try:
            made = await AgentRunnerAsync(tools, settings=settings).run_workflow(ctx)
            told = await _told(made, tools)
        finally:
            await tools.close()
    if as_json:
        record(told)
    else:
        console().print(_page(made, told))
    return ExitCode.RUN_FAILED if made.error else ExitCode.WAITS if told["waits_for"] else ExitCode.OK


async def _run(run_id: str) -> RunContext:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        return (await client.get(run_id)).run


async def _told(run: RunContext, tools: ToolGateway) -> dict[str, Any]:
    """`waits_for`: why a person would be asked."""
    steps = run.plan.steps if run.plan else ()
    known = await tools.tools({step.tool for step in steps})
    waits_for = run.approval.reasons if run.state is State.AWAITING_APPROVAL and run.approval else ()
    return {
        "dry_run": True,
        "brief": run.brief,
        "preset": run.preset.name if run.preset else None,
        "plan": run.plan.model_dump(mode="json") if run.plan else None,
        "critique": run.critique.model_dump(mode="json") if run.critique else None,
        "waits_for": [reason for reason in waits_for if reason != ASKED_BY_CALLER],
        "error": run.error.model_dump(mode="json") if run.error else None,
        "inspection": run.inspection,
        "planned_by": run.lock.model_version if run.lock else None,
        "estimated_cost_usd": str(estimated_cost(run.plan, known)) if run.plan else "0",
        "spent_usd": str(run.spent_usd),
    }


def _page(run: RunContext, told: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    if run.plan:
        table.add_row("plan", plan(run))
    if run.critique:
        table.add_row("verdict", verdict(run))
    if told["waits_for"]:
        table.add_row("would ask", "\n".join(told["waits_for"]))
    if run.error:
        table.add_row("error", f"{run.error.code}: {run.error.message}", style="red")
    table.add_row("would cost", f"{told['estimated_cost_usd']} USD; this look: {told['spent_usd']} USD")
    return table
