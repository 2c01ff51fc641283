"""The Critic: code checks what code can check, then a model judges that exact plan.

A recipe's plan was judged when it was made; whether it fits this picture is judged by rules alone, at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prolight.agents.base import Work, ask, discover, json_schema
from prolight.agents.planner import catalogue
from prolight.decisions import Deadlines
from prolight.guardrails import Case, Policy, Ruling, estimated_cost, rule
from prolight.outcomes import Judged, Outcome
from prolight.ports import ChatModel, ChatRequest, Tool, ToolGateway
from prolight.recipes import departures
from prolight.schemas import MAX_FINDINGS, Critique, Finding, Plan, RunContext, Stage, Verdict


@dataclass(frozen=True, slots=True)
class Critic:
    model: ChatModel
    gateway: ToolGateway
    policy: Policy
    deadlines: Deadlines
    rules: ChatModel
    stage: Stage = Stage.CRITIQUE

    async def work(self, work: Work) -> Outcome:
        run = work.run
        plan, plan_hash = run.plan or Plan(steps=()), run.lock.plan_hash if run.lock else ""
        tools = await discover(self.gateway, work, plan)
        ruling = rule(Case(plan, tools, self.policy, run.budget_usd))
        request = ChatRequest("critic", self._facts(run, plan, tools), json_schema(Critique))
        judge = self.rules if run.recipe else self.model
        opinion, model = await ask(judge, request, work, answer_as=Critique, timeout=self.deadlines.stage)
        critique = merged(opinion, ruling).evolve(plan_hash=plan_hash)
        asks = ruling.asks
        if run.recipe:
            pins = {name: tool.pin for name, tool in tools.items()}
            asks = (*asks, *departures(run.recipe, run.inspection, pins))
        return Judged(critique, model, denied=ruling.denied, asks=asks)

    def _facts(self, run: RunContext, plan: Plan, tools: Mapping[str, Tool]) -> dict[str, Any]:
        """The plan, the policy and what was measured; never the Planner's reasoning."""
        return {
            "brief": "" if run.recipe else run.brief,
            "plan": plan.model_dump(mode="json"),
            "preset": run.preset.told() if run.preset else None,
            "inspection": run.inspection,
            "policy": {
                "max_steps": self.policy.max_steps,
                "budget_usd": str(run.budget_usd),
                "estimated_cost_usd": str(estimated_cost(plan, tools)),
            },
            "tools": catalogue(tools),
            "round": run.round,
            "earlier_findings": [
                finding.model_dump(mode="json") for finding in (run.critique.findings if run.critique else ())
            ],
        }


def merged(opinion: Critique, ruling: Ruling) -> Critique:
    """Both lists, each id once; what code found outranks an accepting model."""
    findings: dict[str, Finding] = {finding.id: finding for finding in ruling.findings}
    for finding in opinion.findings:
        if finding.severity == "blocking" or finding.id not in findings:
            findings[finding.id] = finding
    gravest = sorted(findings.values(), key=lambda finding: finding.severity != "blocking")[:MAX_FINDINGS]
    verdict = opinion.verdict
    if verdict is Verdict.ACCEPT and ruling.findings:
        verdict = Verdict.REVISE
    return opinion.evolve(verdict=verdict, findings=tuple(gravest))
