"""The plan as a photographer and an editor see it.

| Remark | Then |
|---|---|
| a number beyond the tool's range | revise: the nearest limit |
| background before light, export not last, a step without effect | revise: move or drop it |
| fill brighter than the key | revise: as bright as the key |
| rim in front of the subject | revise: 135° on the same side |
| more light than the highlights have room for | revise: less exposure, then less key |
| a key from the side that is brighter and clips already | revise: the other side; advice where the brief says it |
| exposure raised beyond the room of the highlights | revise: less |
| light before white balance, resizing before a cut | revise: move it |
| a mask of the original for a picture of another size | revise: none |
| a JPEG of a transparent picture | revise: PNG; advice where the brief or a preset asks for JPEG |
| an enlargement that the sharpness does not carry | revise: less or none; advice where a preset needs the size |
| a white balance against the warmth that the brief gives a light | revise: neutral |
| a cut-out by a mask that is not trusted | reject: a person decides |
| a plan that misses its preset's ground, shadow, fill, size or format | revise: as the preset delivers it |
| a picture too small for its preset, or without a subject for its ground | reject |
| the same step twice | revise: drop it; advice where twice is more |
| a light of the brief that no step makes, or one that it does not want | revise: set or drop it |
| two values for one light, high key on a dark background | reject: only a person can choose |
| nothing understood, or a new background without a usable mask | reject |
| understood in part, doubtful mask, highlights that clip already, low key on white | advice |
| a look against the light's, a light that adds to the picture's cast, a blur by a doubtful mask | advice |

A remark that revising did not mend is a reason to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from prolight.adapters.offline import brief_rules, colour_rules, light_rules, preset_rules, size_rules, step_rules
from prolight.adapters.offline.case import Case
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import read
from prolight.adapters.offline.tools import ToolSchemas
from prolight.schemas import MAX_FINDINGS, Critique, Finding, Plan, Target, Verdict

RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    lambda case: beyond_range(case.proposed, case.tools),
    step_rules.background_after_light,
    step_rules.export_last,
    step_rules.balance_before_light,
    step_rules.without_effect,
    step_rules.twice_the_same,
    light_rules.fill_under_key,
    light_rules.rim_behind,
    light_rules.highlights,
    light_rules.brighter,
    light_rules.key_from_the_blown_side,
    light_rules.mask,
    light_rules.mask_of_a_cut,
    colour_rules.look_against_the_brief,
    colour_rules.look_against_the_light,
    colour_rules.more_of_a_cast,
    size_rules.enlarging,
    size_rules.mask_of_another_size,
    size_rules.transparency_kept,
    size_rules.cut_before_resize,
    preset_rules.cannot_be_met,
    preset_rules.ground,
    preset_rules.shot,
    preset_rules.size,
    preset_rules.form,
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
    target: Target | None = None,
) -> Critique:
    """Judge a plan. `inspection` is what was measured on the picture, `target` what the result will be held to;
    `earlier` are the findings of the last round.
    """
    case = Case(plan, read(brief), inspection, tools, target)
    found = {finding.id: finding for finding in chain.from_iterable(rule(case) for rule in RULES)}
    findings = sorted(found.values(), key=lambda finding: finding.severity != "blocking")[:MAX_FINDINGS]
    return Critique(verdict=_verdict(findings, earlier), findings=tuple(findings))


def _verdict(findings: Sequence[Finding], earlier: Sequence[Finding]) -> Verdict:
    blocking = [finding for finding in findings if finding.severity == "blocking"]
    tried = {(finding.id, finding.step, finding.fix) for finding in earlier if finding.severity == "blocking"}
    if any(not finding.fix or (finding.id, finding.step, finding.fix) in tried for finding in blocking):
        return Verdict.REJECT
    return Verdict.REVISE if blocking else Verdict.ACCEPT
