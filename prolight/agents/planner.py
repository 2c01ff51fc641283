"""The Planner: from brief and picture to a Plan, without side effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prolight.agents.base import Work, ask, discover, json_schema, measure
from prolight.calls import Answer
from prolight.decisions import Deadlines
from prolight.determinism import call_key, fingerprint, plan_hash
from prolight.guardrails import Policy
from prolight.outcomes import Outcome, Planned
from prolight.ports import ChatModel, ChatRequest, Tool, ToolGateway
from prolight.schemas import INPUT, Lock, Plan, RunContext, Stage
from prolight.writer import Change, Changed

PROLIGHT_VERSION = version("prolight")
INSPECTOR = "inspect_image"
"""A tool of this name, of whichever server, measures the picture before anybody plans."""
CHECKER = "check_picture"
"""… holds a finished picture against a preset's requirements."""


@dataclass(frozen=True, slots=True)
class Planner:
    model: ChatModel
    gateway: ToolGateway
    policy: Policy
    deadlines: Deadlines
    stage: Stage = Stage.PLAN

    async def work(self, work: Work) -> Outcome:
        tools = await discover(self.gateway, work)
        inspection = work.run.inspection or await self._inspect(work, tools)
        if recipe := work.run.recipe:
            tools = await discover(self.gateway, work, recipe.plan)
            return Planned(recipe.plan, self._lock(work.run, recipe.plan, f"recipe {recipe.run_id}", tools))
        offered = {
            name: tool
            for name, tool in tools.items()
            if self.policy.permits(name) and not is_one(name, INSPECTOR, CHECKER)
        }
        request = ChatRequest("planner", self._facts(work.run, inspection, offered), json_schema(Plan))
        plan, model = await ask(self.model, request, work, answer_as=Plan, timeout=self.deadlines.stage)
        tools = await discover(self.gateway, work, plan)  # it may name what was away: the lock needs its pin
        return Planned(plan, self._lock(work.run, plan, model, tools))

    async def _inspect(self, work: Work, tools: Mapping[str, Tool]) -> dict[str, Any] | None:
        tool = named(INSPECTOR, tools, self.policy)
        if tool is None:
            return None
        key = call_key(work.run.journal_id, "inspect", INPUT)
        arguments = {"picture": work.run.picture}
        return await measure(tool, arguments, self.gateway, work, key=key, finishing=_keep_inspection)

    def _facts(self, run: RunContext, inspection: dict[str, Any] | None, tools: Mapping[str, Tool]) -> dict[str, Any]:
        return {
            "brief": run.brief,
            "preset": run.preset.told() if run.preset else None,
            "inspection": inspection,
            "tools": catalogue(tools),
            "findings": [finding.model_dump(mode="json") for finding in run.critique.findings] if run.critique else [],
            "previous_plan": run.plan.model_dump(mode="json") if run.plan else None,
            "round": run.round,
        }

    def _lock(self, run: RunContext, plan: Plan, model: str, tools: Mapping[str, Tool]) -> Lock:
        return Lock(
            plan_hash=plan_hash(plan),
            input_sha256=run.picture,
            model_version=model,
            prompt_hash=self.model.prompt_hash,
            seed=int(fingerprint(run.journal_id)[:8], 16),
            tool_pins={step.tool: tools[step.tool].pin for step in plan.steps if step.tool in tools},
            policy_version=self.policy.version,
            prolight_version=PROLIGHT_VERSION,
        )


def is_one(tool: str, *names: str) -> bool:
    """Whether the `server.tool` has one of these names on its server."""
    return tool.partition(".")[2] in names


def named(name: str, tools: Mapping[str, Tool], policy: Policy) -> Tool | None:
    """The tool of this name, of whichever server, if policy permits it."""
    return next((tool for full, tool in tools.items() if is_one(full, name) and policy.permits(full)), None)


def _keep_inspection(answer: Answer, reused: bool) -> Change:
    return lambda run: Changed(run.evolve(inspection=answer.result))


def catalogue(tools: Mapping[str, Tool]) -> dict[str, Any]:
    """The tools as a model is told of them: our description and the schema, nothing else."""
    return {
        name: {"description": tool.description, "input_schema": tool.input_schema}
        for name, tool in sorted(tools.items())
    }
