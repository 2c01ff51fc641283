"""The Critic's rules on the steps: their order, and whether each does something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import EXPORT, IDLE, ONCE, RELIGHT, REPLACE, WHITE_BALANCE, ToolSchemas
from prolight.schemas import Finding, Step


def background_after_light(case: Case) -> Iterator[Finding]:
    """Light that comes after the background would fall on the new background, too."""
    order = [step.id for step in case.plan.steps]
    relights = case.steps(RELIGHT)
    for step in case.steps(REPLACE)[:1] if relights else ():
        last = relights[-1].id
        if order.index(step.id) < order.index(last):
            message = f"{step.id} sets the background before {last} lights the picture: light first"
            yield blocking("order.background-after-light", message, step.id, fixes.move_after(last))


def export_last(case: Case) -> Iterator[Finding]:
    steps, exports = case.plan.steps, case.steps(EXPORT)
    if steps and not exports and EXPORT in case.tools:
        yield advice("order.export-missing", "no step exports the picture: the result is the last step's own format")
    for export in exports[:1]:
        later = steps[steps.index(export) + 1 :]
        if not all(step.tool == EXPORT for step in later):
            fix = fixes.DROP_STEP if steps[-1].tool == EXPORT else fixes.TO_THE_END
            message = f"{export.id} exports before {later[-1].id}: an export is the last thing done to a picture"
            yield blocking("order.export-last", message, export.id, fix)


def balance_before_light(case: Case) -> Iterator[Finding]:
    """White balance that comes after the light takes the light's colour out again."""
    for balance in case.steps(WHITE_BALANCE)[-1:]:
        early = [step for step in case.behind(balance) if step.tool == RELIGHT]
        for step in early:  # the nearest first, so that they stay in their order
            message = f"{step.id} lights the picture before {balance.id} balances it: balance first"
            yield blocking(f"order.{step.id}.light-before-balance", message, step.id, fixes.move_after(balance.id))


def twice_the_same(case: Case) -> Iterator[Finding]:
    for step in case.plan.steps:
        before = next(iter(case.behind(step)), None)
        if before is None or before.tool != step.tool or _settings(before) != _settings(step):
            continue
        message = f"{step.id} does once more what {before.id} has just done"
        if step.tool in ONCE:
            yield blocking(f"effect.{step.id}.again", message, step.id, fixes.DROP_STEP)
        else:
            yield advice(f"effect.{step.id}.again", f"{message}: say it once, with more of it", step.id)


def _settings(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.params.items() if name not in {"picture", "mask_of", "mask"}}


def without_effect(case: Case) -> Iterator[Finding]:
    for at, step in enumerate(case.plan.steps):
        if reason := _idle(step, case.plan.steps[at + 1 :]) or _does_nothing(step, case.tools):
            yield blocking(f"effect.{step.id}", f"{step.id} has no effect: {reason}", step.id, fixes.DROP_STEP)


def _does_nothing(step: Step, tools: ToolSchemas) -> str:
    """Every number as it leaves a picture alone, said or by default."""
    idle = IDLE.get(step.tool)
    if idle is None or step.tool not in tools:
        return ""
    known = tools[step.tool].get("properties", {})
    given = {name: step.params.get(name, known.get(name, {}).get("default")) for name in idle}
    return "all that it is given leaves the picture as it is" if given == dict(idle) else ""


def _idle(step: Step, later: tuple[Step, ...]) -> str:
    params = step.params
    if step.tool == RELIGHT and not any(params.get(name) for name in ("key", "fill", "rim", "exposure_ev")):
        return "it names no light and no exposure"
    if step.tool == REPLACE and any(other.tool == REPLACE for other in later):
        return "a later step sets the background again"
    if step.tool == EXPORT and any(other.tool == EXPORT and other.params == params for other in later):
        return "a later step exports the same"
    if step.tool != EXPORT and later and not any(step.id in other.references for other in later):
        return "no later step takes its picture"
    return ""
