"""The Critic's rules that hold the plan against the brief."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case, light
from prolight.adapters.offline.lights import Light, lights, number, style
from prolight.adapters.offline.reading import ROLES
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import RELIGHT, REPLACE
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN
from prolight.schemas import Finding

DARK, BRIGHT = 0.15, 0.85
"""Luma of a background, 0..1, below which it is dark and above which it is bright."""


def contradictions(case: Case) -> Iterator[Finding]:
    for conflict in case.reading.conflicts:
        kept, lost = case.reading.words(conflict.kept), case.reading.words(conflict.lost)
        message = f"the brief asks for two things of the {conflict.owner}, “{kept}” and “{lost}”: say which"
        yield blocking(f"contradiction.{conflict.owner}.{conflict.field}", message)


def style_and_background(case: Case) -> Iterator[Finding]:
    for step in case.steps(REPLACE):
        luma, wanted = _luma(str(step.params.get("color", ""))), style(case.reading)
        if luma is not None and wanted == "high-key" and luma < DARK:
            yield blocking(
                "style.high-key-on-dark", "high key and a dark background exclude each other: say which", step.id
            )
        if luma is not None and wanted == "low-key" and luma > BRIGHT:
            yield advice("style.low-key-on-bright", "low key on a bright background loses its mood", step.id)


def _luma(color: str) -> float | None:
    """Rec. 709 luma of `#rrggbb`, 0..1."""
    try:
        red, green, blue = bytes.fromhex(color.removeprefix("#"))
    except ValueError:
        return None
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def lights_asked_for(case: Case) -> Iterator[Finding]:
    """Each light that the brief asks for is made, on the side and in the warmth that it says."""
    relights = case.steps(RELIGHT)
    made = {role: (step.id, light(step, role)) for step in relights for role in ROLES if light(step, role)}
    for role, wanted in lights(case.reading).items():
        if role in made:
            yield from _as_asked(case, role, wanted, *made[role])
        elif relights:
            fix = fixes.set_to(role, wanted)
            yield blocking(
                f"brief.missing-{role}", f"the brief asks for a {role}; no step makes one", relights[0].id, fix
            )
        elif case.plan.steps and RELIGHT in case.tools:
            message = f"the brief asks for a {role}; no step lights the picture"
            yield blocking(f"brief.missing-{role}", message, case.plan.steps[0].id, fixes.PLAN_AGAIN)


def _as_asked(case: Case, role: str, wanted: Light, step: str, made: Mapping[str, Any]) -> Iterator[Finding]:
    said = case.reading.lights[role].chosen
    neutral = {"side": ("azimuth_deg", 0.0), "kelvin": ("kelvin", float(NEUTRAL_KELVIN))}
    for name, (path, middle) in neutral.items():
        if name in said and (number(made, path, middle) - middle) * (wanted[path] - middle) < 0:
            words = case.reading.words(said[name])
            message = f"the brief says “{words}”, and {role}.{path} is {made[path]:g}"
            yield blocking(f"brief.{role}.{name}", message, step, fixes.set_to(f"{role}.{path}", wanted[path]))


def unwanted(case: Case) -> Iterator[Finding]:
    excluded = case.reading.excluded
    for step in case.steps(RELIGHT):
        for role in sorted(excluded & {role for role in ROLES if light(step, role)}):
            message = f"the brief wants no {role}, and {step.id} makes one"
            yield blocking(f"brief.unwanted-{role}", message, step.id, fixes.drop(role))
    for replaced in case.steps(REPLACE) if "background" in excluded else ():
        message = f"the brief keeps the background, and {replaced.id} replaces it"
        yield blocking("brief.unwanted-background", message, replaced.id, fixes.DROP_STEP)


def not_understood(case: Case) -> Iterator[Finding]:
    phrases = "; ".join(f"“{phrase}”" for phrase in case.plan.not_understood)
    if not case.plan.steps:
        ask = "name a light, its side, warmth or softness, a background colour, or an exposure"
        yield blocking("brief.not-understood", f"nothing of the brief became a step: {ask}. Not understood: {phrases}")
    elif phrases:
        yield advice("brief.not-understood", f"not understood, and left out: {phrases}")
