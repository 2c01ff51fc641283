"""The plan as a photographer and an editor see it.

| Remark | Then |
|---|---|
| a number beyond the tool's range | revise: the nearest limit |
| background before light, export not last, a step without effect | revise: move or drop it |
| fill brighter than the key | revise: as bright as the key |
| rim in front of the subject | revise: 135° on the same side |
| more light than the highlights have room for | revise: less exposure, then less key |
| a light of the brief that no step makes, or one that it does not want | revise: set or drop it |
| two values for one light, high key on a dark background | reject: only a person can choose |
| nothing understood, or a new background without a usable mask | reject |
| understood in part, doubtful mask, highlights that clip already, low key on white | advice |

A remark that revising did not mend is a reason to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from prolight.adapters.offline import brief_rules, light_rules, step_rules
from prolight.adapters.offline.case import Case
from prolight.adapters.offline.planner import ToolSchemas
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import read
from prolight.schemas import MAX_FINDINGS, Critique, Finding, Plan, Verdict

RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    lambda case: beyond_range(case.proposed, case.tools),
    step_rules.background_after_light,
    step_rules.export_last,
    step_rules.without_effect,
    light_rules.fill_under_key,
    light_rules.rim_behind,
    light_rules.highlights,
    light_rules.mask,
    brief_rules.contradictions,
    brief_rules.style_and_background,
    brief_rules.lights_asked_for,
    brief_rules.unwanted,
    brief_rules.not_understood,
)


def critique(
    plan: Plan,
    brief: str,
    tools: ToolSchemas,
    *,
    inspection: Mapping[str, Any] | None = None,
    earlier: Sequence[Finding] = (),
) -> Critique:
    """Judge a plan. `inspection` is what was measured on the picture; `earlier` are the findings of the last round."""
    case = Case(plan, read(brief), inspection, tools)
    found = {finding.id: finding for finding in chain.from_iterable(rule(case) for rule in RULES)}
    findings = sorted(found.values(), key=lambda finding: finding.severity != "blocking")[:MAX_FINDINGS]
    return Critique(verdict=_verdict(findings, earlier), findings=tuple(findings))


def _verdict(findings: Sequence[Finding], earlier: Sequence[Finding]) -> Verdict:
    blocking = [finding for finding in findings if finding.severity == "blocking"]
    tried = {(finding.id, finding.step, finding.fix) for finding in earlier if finding.severity == "blocking"}
    if any(not finding.fix or (finding.id, finding.step, finding.fix) in tried for finding in blocking):
        return Verdict.REJECT
    return Verdict.REVISE if blocking else Verdict.ACCEPT
