"""Fixes: how the Critic says what to change in a plan, and how the Planner does it.

The language is small, and reads as a request to a person as well:

    set key.ev to 4 | drop rim | drop the step | move to the end | move after s2 | plan again from the brief
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from prolight.schemas import INPUT, Finding, Plan, Step

DROP_STEP, TO_THE_END, PLAN_AGAIN = "drop the step", "move to the end", "plan again from the brief"
MAX_WHY_CHARS = 400


def set_to(path: str, value: Any) -> str:
    return f"set {path} to {json.dumps(value)}"


def drop(path: str) -> str:
    return f"drop {path}"


def move_after(step: str) -> str:
    return f"move after {step}"


def applied(plan: Plan, findings: Sequence[Finding]) -> Plan:
    """The plan with each finding's fix carried out, as far as it is in this language and leaves a plan that holds."""
    for finding in findings:
        at = next((at for at, step in enumerate(plan.steps) if step.id == finding.step), None)
        changed = _carried_out(list(plan.steps), at, finding.fix) if at is not None else None
        if changed is None:
            continue
        noted = [_noted(step, finding) if step.id == finding.step else step for step in changed]
        plan = _if_it_holds(noted, plan)
    return plan


def _if_it_holds(steps: Sequence[Step], plan: Plan) -> Plan:
    try:
        return Plan.model_validate({**plan.model_dump(), "steps": [step.model_dump() for step in steps]})
    except ValidationError:
        return plan


def asks_to_plan_again(findings: Sequence[Finding]) -> bool:
    return any(finding.fix == PLAN_AGAIN for finding in findings)


def _carried_out(steps: list[Step], at: int, fix: str) -> list[Step] | None:
    match fix.split(" ", 3):
        case ["set", path, "to", value]:
            return _with_params(steps, at, _set(steps[at].params, path.split("."), _json(value)))
        case ["drop", "the", "step", *_]:
            return _without(steps, at)
        case ["drop", path]:
            return _with_params(steps, at, _dropped(steps[at].params, path.split(".")))
        case ["move", "to", "the", "end"]:
            return _moved(steps, at, len(steps) - 1)
        case ["move", "after", step_id]:
            target = next((place for place, step in enumerate(steps) if step.id == step_id), None)
            return None if target is None else _moved(steps, at, target)
        case _:
            return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _with_params(steps: list[Step], at: int, params: Mapping[str, Any]) -> list[Step]:
    return [*steps[:at], steps[at].evolve(params=dict(params)), *steps[at + 1 :]]


def _set(params: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**params, path[0]: value}
    inner = params.get(path[0])
    return {**params, path[0]: _set(inner if isinstance(inner, Mapping) else {}, path[1:], value)}


def _dropped(params: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    inner = params.get(path[0])
    if len(path) > 1 and isinstance(inner, Mapping):
        return {**params, path[0]: _dropped(inner, path[1:])}
    return {name: value for name, value in params.items() if len(path) > 1 or name != path[0]}


def _without(steps: list[Step], at: int) -> list[Step]:
    """Whoever took the step's picture takes the one that the step took."""
    gone = steps[at]
    source = gone.params.get("picture", INPUT)
    return [_repointed(step, gone.id, source) for step in steps if step is not gone]


def _moved(steps: list[Step], at: int, behind: int) -> list[Step]:
    """Take the step out of the chain of pictures, and put it in again behind another."""
    if behind <= at:
        return steps
    moved, target = steps[at], steps[behind].id
    rest = _without(steps, at)
    place = next(place for place, step in enumerate(rest) if step.id == target) + 1
    later = [_repointed(step, target, f"${moved.id}") for step in rest[place:]]
    needs = tuple(name for name in moved.depends_on if name != target)
    params = {**moved.params, "picture": f"${target}"}
    return [*rest[:place], moved.evolve(params=params, depends_on=needs), *later]


def _repointed(step: Step, gone: str, source: str) -> Step:
    """The step with `$gone` replaced by `source` in its params, and without a dependency on `gone`."""
    params = {name: source if value == f"${gone}" else value for name, value in step.params.items()}
    return step.evolve(params=params, depends_on=tuple(name for name in step.depends_on if name != gone))


def _noted(step: Step, finding: Finding) -> Step:
    note = f"revised ({finding.id}): {finding.fix}"[:MAX_WHY_CHARS]
    room = MAX_WHY_CHARS - len(note) - 2
    return step.evolve(why=f"{step.why[:room]}; {note}" if room > 0 and step.why else note)
