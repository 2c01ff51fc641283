"""From a brief to a plan: the operations that it asks for, in their order, each on the picture of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.operations import OPERATIONS, Operation, default_export, ignored
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import ROLES, Reading, read
from prolight.adapters.offline.tools import CLEARS, EXPORT, SIZES, ToolSchemas
from prolight.errors import InvalidInput
from prolight.presets import preset
from prolight.schemas import INPUT, Finding, Plan, Step

MAX_PHRASES, MAX_PHRASE_CHARS, MAX_WHY_CHARS, MAX_SUMMARY_CHARS = 32, 200, 400, 600


def plan(
    brief: str,
    tools: ToolSchemas,
    *,
    findings: Sequence[Finding] = (),
    previous: Plan | None = None,
    shop: str = "",
) -> Plan:
    """Plan the brief with these tools; with a previous plan and findings, mend that plan instead.

    `shop` is the preset that the run was submitted with; a shop that the brief names goes before it.
    """
    reading = _with_preset(read(brief), shop)
    fresh = _planned(reading, tools)
    if previous is None or not any(finding.fix for finding in findings):
        return fresh
    base = fresh if fixes.asks_to_plan_again(findings) else previous
    mended = fixes.applied(base, findings)
    within_range = fixes.applied(mended, list(beyond_range(mended, tools)))
    steps = _masked(within_range.steps, tools)
    return base.evolve(steps=steps, summary=summary(steps, reading.excluded))


def _with_preset(reading: Reading, shop: str) -> Reading:
    """What the preset's own brief asks for stands where this one says nothing."""
    wishes = reading.wishes.get("shop")
    name = str(wishes.chosen["preset"].value) if wishes else shop
    try:
        return reading.filled(read(preset(name).brief)) if name else reading
    except InvalidInput:  # it was taken away since the run was submitted: its requirements are judged all the same
        return reading


def _planned(reading: Reading, tools: ToolSchemas) -> Plan:
    steps: list[Step] = []
    served: set[str] = set()
    for operation, params in _wanted(reading, tools):
        steps.append(_step(len(steps), operation, params, reading))
        served.update(operation.owners)
    if steps and EXPORT in tools and steps[-1].tool != EXPORT:
        params = _chained(len(steps), default_export(reading))
        steps.append(Step(id=_step_id(len(steps)), tool=EXPORT, params=params, why="the finished picture"))
    steps = list(_masked(steps, tools))
    without_step = [mark for owner, wishes in reading.wishes.items() if owner not in served for mark in wishes.said]
    phrases = _packed(reading.not_understood([*without_step, *ignored(reading)]))
    return Plan(steps=tuple(steps), summary=summary(steps, reading.excluded), not_understood=tuple(phrases))


def _wanted(reading: Reading, tools: ToolSchemas) -> Iterable[tuple[Operation, Mapping[str, Any]]]:
    """What the brief asks for and these tools can do."""
    for operation in OPERATIONS:
        params = operation.params(reading)
        if params is not None and operation.tool in tools:
            yield operation, params


def _step(number: int, operation: Operation, params: Mapping[str, Any], reading: Reading) -> Step:
    why = reading.served(operation.owners)
    return Step(id=_step_id(number), tool=operation.tool, params=_chained(number, params), why=why[:MAX_WHY_CHARS])


def _chained(number: int, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"picture": f"${_step_id(number - 1)}" if number else INPUT, **params}


def _masked(steps: Sequence[Step], tools: ToolSchemas) -> tuple[Step, ...]:
    """The steps, each with the mask of the original where they name none and the picture still has its size.

    A relit picture gives a worse mask than the original: light has changed what tells subject from background. Behind
    a step that changes the size the original does not fit, and a cut-out is its own mask.
    """
    made: list[Step] = []
    for step in steps:
        fits = made and not any(before.tool in SIZES | CLEARS for before in made)
        takes = "mask_of" in tools.get(step.tool, {}).get("properties", {})
        params = {name: value for name, value in step.params.items() if (name, value) != ("mask_of", INPUT)}
        own = {"mask_of": INPUT} if fits and takes and "mask_of" not in params else {}
        made.append(step.evolve(params={**params, **own}))
    return tuple(made)


def _step_id(number: int) -> str:
    return f"s{number + 1}"


def _packed(phrases: Sequence[str]) -> list[str]:
    """The phrases as they are, or, where they are too many or too long, run together and cut into lengths."""
    if len(phrases) <= MAX_PHRASES and all(len(phrase) <= MAX_PHRASE_CHARS for phrase in phrases):
        return list(phrases)
    joined = ", ".join(phrases)
    return [joined[at : at + MAX_PHRASE_CHARS] for at in range(0, len(joined), MAX_PHRASE_CHARS)][:MAX_PHRASES]


def summary(steps: Iterable[Step], excluded: Iterable[str] = ()) -> str:
    """One plain sentence of what the steps do, and of what is left alone because the brief says so."""
    described = {operation.tool: operation.described for operation in OPERATIONS}
    parts = [described[step.tool](step.params) if step.tool in described else f"call {step.tool}" for step in steps]
    if not parts:
        return "Nothing to do."
    left_alone = [f"no {name}" if name in ROLES else f"the {name} stays" for name in sorted(excluded)]
    sentence = "; ".join([*parts, *left_alone])
    return (sentence[:1].upper() + sentence[1:] + ".")[:MAX_SUMMARY_CHARS]
