"""From a brief to a plan: relight, then the background, then the export, each on the picture of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.lights import BEHIND_DEG, background, export, exposure_ev, lights, number
from prolight.adapters.offline.marks import Mark
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import ROLES, Reading, read
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN
from prolight.schemas import INPUT, Finding, Plan, Step

RELIGHT, BACKGROUND, EXPORT = "studio.relight", "studio.replace_background", "studio.export"
OWNERS = {RELIGHT: (*ROLES, "picture"), BACKGROUND: ("background",), EXPORT: ("export",)}
"""What of the brief each tool serves."""
DEFAULT_FORMAT, DEFAULT_QUALITY = "jpeg", 92

MAX_PHRASES, MAX_PHRASE_CHARS, MAX_WHY_CHARS, MAX_SUMMARY_CHARS = 32, 200, 400, 600
ToolSchemas = Mapping[str, Mapping[str, Any]]
"""The JSON Schema of each tool's input, by `server.tool` name."""


def plan(brief: str, tools: ToolSchemas, *, findings: Sequence[Finding] = (), previous: Plan | None = None) -> Plan:
    """Plan the brief with these tools; with a previous plan and findings, mend that plan instead."""
    reading = read(brief)
    fresh = _planned(reading, tools)
    if previous is None or not any(finding.fix for finding in findings):
        return fresh
    base = fresh if fixes.asks_to_plan_again(findings) else previous
    mended = fixes.applied(base, findings)
    within_range = fixes.applied(mended, list(beyond_range(mended, tools)))
    steps = _masked(within_range.steps, tools)
    return base.evolve(steps=steps, summary=summary(steps, reading.excluded))


def _planned(reading: Reading, tools: ToolSchemas) -> Plan:
    steps: list[Step] = []
    for tool, params in _wanted(reading).items():
        if tool in tools:
            steps.append(_step(len(steps), tool, params, reading.served(OWNERS[tool]), tools[tool]))
    if steps and EXPORT in tools and steps[-1].tool != EXPORT:
        params = {"format": DEFAULT_FORMAT, "quality": DEFAULT_QUALITY}
        steps.append(_step(len(steps), EXPORT, params, "the finished picture", tools[EXPORT]))
    without_step = list(_said(reading, OWNERS.keys() - {step.tool for step in steps}))
    phrases = _packed(reading.not_understood(without_step))
    return Plan(steps=tuple(steps), summary=summary(steps, reading.excluded), not_understood=tuple(phrases))


def _wanted(reading: Reading) -> dict[str, dict[str, Any]]:
    """The params of each tool that the brief asks for, in the order in which they are to run."""
    wanted: dict[str, dict[str, Any]] = {}
    exposure = exposure_ev(reading)
    relight: dict[str, Any] = {**lights(reading), **({"exposure_ev": exposure} if exposure else {})}
    if relight:
        wanted[RELIGHT] = relight
    if color := background(reading):
        wanted[BACKGROUND] = {"color": color}
    if "export" in reading.wishes:
        wanted[EXPORT] = {"format": DEFAULT_FORMAT, "quality": DEFAULT_QUALITY, **export(reading)}
    return wanted


def _step(number: int, tool: str, params: Mapping[str, Any], why: str, schema: Mapping[str, Any]) -> Step:
    picture = f"${_step_id(number - 1)}" if number else INPUT
    masked = _mask(schema) if number else {}
    return Step(
        id=_step_id(number), tool=tool, params={"picture": picture, **params, **masked}, why=why[:MAX_WHY_CHARS]
    )


def _mask(schema: Mapping[str, Any]) -> dict[str, str]:
    # A relit picture gives a worse mask than the original: light has changed what tells subject from background.
    return {"mask_of": INPUT} if "mask_of" in schema.get("properties", {}) else {}


def _masked(steps: Sequence[Step], tools: ToolSchemas) -> tuple[Step, ...]:
    """The steps, those behind the first with the mask of the original where they name no other."""
    later = (step.evolve(params={**_mask(tools.get(step.tool, {})), **step.params}) for step in steps[1:])
    return (*steps[:1], *later)


def _step_id(number: int) -> str:
    return f"s{number + 1}"


def _said(reading: Reading, tools: Iterable[str]) -> Iterable[Mark]:
    for tool in tools:
        for owner in OWNERS[tool]:
            if owner in reading.wishes:
                yield from reading.wishes[owner].said


def _packed(phrases: Sequence[str]) -> list[str]:
    """The phrases as they are, or, where they are too many or too long, run together and cut into lengths."""
    if len(phrases) <= MAX_PHRASES and all(len(phrase) <= MAX_PHRASE_CHARS for phrase in phrases):
        return list(phrases)
    joined = ", ".join(phrases)
    return [joined[at : at + MAX_PHRASE_CHARS] for at in range(0, len(joined), MAX_PHRASE_CHARS)][:MAX_PHRASES]


def summary(steps: Iterable[Step], excluded: Iterable[str] = ()) -> str:
    """One plain sentence of what the steps do, and of what is left alone because the brief says so."""
    parts = [_described(step) for step in steps]
    if not parts:
        return "Nothing to do."
    left_alone = [f"no {name}" if name in ROLES else f"the {name} stays" for name in sorted(excluded)]
    sentence = "; ".join([*parts, *left_alone])
    return (sentence[:1].upper() + sentence[1:] + ".")[:MAX_SUMMARY_CHARS]


def _described(step: Step) -> str:
    if step.tool == BACKGROUND:
        return f"put the subject on {step.params.get('color')}"
    if step.tool == EXPORT:
        size = f" with a long side of {step.params['long_side_px']} px" if "long_side_px" in step.params else ""
        return f"export as {str(step.params.get('format')).upper()}{size}"
    if step.tool != RELIGHT:
        return f"call {step.tool}"
    made = [_light(role, step.params[role]) for role in ROLES if isinstance(step.params.get(role), Mapping)]
    if exposure := number(step.params, "exposure_ev"):
        made.append(f"exposure {exposure:+g} EV")
    return "relight with " + " and ".join(made) if made else "relight"


def _light(role: str, light: Mapping[str, Any]) -> str:
    azimuth = number(light, "azimuth_deg")
    side = f"{abs(azimuth):g}° camera {'left' if azimuth < 0 else 'right'}"
    place = "in front" if azimuth == 0 else "behind" if abs(azimuth) == BEHIND_DEG else side
    figures = (number(light, "ev"), number(light, "kelvin", NEUTRAL_KELVIN), number(light, "softness"))
    return "{} {} ({:+g} EV, {:g} K, softness {:g})".format(role, place, *figures)
