"""A recipe: the plan of a finished run, applied to another picture without asking a model again. Pure.

It was made for one picture and holds for pictures like it. What "like it" means is measured: where a figure of the new
picture is further from the recipe's own than `RANGES` allows, a person decides. Figures that have no range, or that
the inspector did not give, say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeGuard

from prolight.errors import InvalidInput
from prolight.schemas import Recipe, RunContext, State


class Range(NamedTuple):
    """How far a figure may be from the recipe's: by how much, how many times, or how much more."""

    kind: Literal["difference", "ratio", "rise"]
    most: float


RANGES: Mapping[str, Range] = {
    "median_ev": Range("difference", 1.0),
    "left_right_ev": Range("difference", 1.0),
    "kelvin": Range("ratio", 1.25),
    "subject_fill_percent": Range("ratio", 2.0),
    "sharpness": Range("ratio", 4.0),
    "clipped_high_percent": Range("rise", 2.0),
    "clipped_low_percent": Range("rise", 5.0),
}
"""By the names that `inspect_image` answers with."""
TRUSTED = "mask_trusted"


def recipe_of(run: RunContext) -> Recipe:
    """Raises `InvalidInput` for a run whose plan nobody and nothing has approved by its result."""
    if run.state is not State.COMPLETED or run.plan is None or run.lock is None:
        reason = f"run {run.run_id} is {run.state}: only a COMPLETED run's plan is a recipe"
        raise InvalidInput(reason, field="recipe")
    return Recipe(run_id=run.run_id, plan=run.plan, tool_pins=run.lock.tool_pins, figures=run.inspection)


def departures(recipe: Recipe, figures: Mapping[str, Any] | None, pins: Mapping[str, str]) -> Iterator[str]:
    """Why a person has to look before the recipe is used on the picture with these figures: sentences."""
    for tool, pin in recipe.tool_pins.items():
        if pins.get(tool, pin) != pin:
            yield f"{tool} has changed since run {recipe.run_id} was made"
    if recipe.figures is None:
        return
    if figures is None:
        yield f"this picture was not measured, that of run {recipe.run_id} was"
        return
    for name, allowed in RANGES.items():
        own, here = recipe.figures.get(name), figures.get(name)
        if _is_number(own) and _is_number(here) and not _within(allowed, own, here):
            yield f"{name} is {here:g}, {_limit(allowed)} the {own:g} of run {recipe.run_id}'s picture"
    if recipe.figures.get(TRUSTED) is True and figures.get(TRUSTED) is False:
        yield f"the subject's mask is not to be trusted here: {figures.get('mask_reason', '')}".removesuffix(": ")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(allowed: Range, own: float, here: float) -> bool:
    match allowed.kind:
        case "difference":
            return abs(here - own) <= allowed.most
        case "rise":
            return here - own <= allowed.most
        case "ratio":
            return own <= 0 or here <= 0 or abs(math.log(here / own)) <= math.log(allowed.most)


def _limit(allowed: Range) -> str:
    match allowed.kind:
        case "difference":
            return f"more than {allowed.most:g} from"
        case "rise":
            return f"more than {allowed.most:g} above"
        case "ratio":
            return f"more than {allowed.most:g} times or less than 1/{allowed.most:g} of"
