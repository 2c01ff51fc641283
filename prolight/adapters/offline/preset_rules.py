"""The Critic's rules on a preset: can it be met, and does this plan make what it asks for?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case
from prolight.adapters.offline.light_rules import UNUSABLE_MASK
from prolight.adapters.offline.lights import number
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import CROP, ENLARGE, EXPORT, GROUNDS, PRODUCT_SHOT, RESIZE
from prolight.schemas import Finding, Requirements, Step

MOST_ENLARGED = 4.0
"""The studio enlarges a subject, or a picture, this many times at most."""
SHOT_PX, SHOT_FILL = 2000.0, 85.0
"""What `product_shot` makes where the plan does not say."""
FRAMES = frozenset({PRODUCT_SHOT, RESIZE})
"""They can make an exact width and height."""


class Size(NamedTuple):
    width: float
    height: float

    def scaled(self, by: float) -> Size:
        return Size(self.width * by, self.height * by)


def cannot_be_met(case: Case) -> Iterator[Finding]:
    if case.target is None:
        return
    name, asked, own = case.target.name, case.target.required, _own(case)
    if own:
        sides = ((asked.min_long_side_px, max(own)), (asked.min_short_side_px, min(own)))
        for least, side in sides:
            if least is not None and side * MOST_ENLARGED < least:
                message = (
                    f"{name} asks for {least} px, and the picture has {side:g}, which even {MOST_ENLARGED:g} times "
                    f"enlarged is less: a picture of {least} px or more would work"
                )
                yield blocking("preset.too-small", message)
    confidence = case.measured("mask_confidence")
    if asked.background and confidence is not None and confidence <= UNUSABLE_MASK:
        why = str((case.inspection or {}).get("mask_reason", "")) or "no reason given"
        message = f"{name} asks for a ground of {asked.background}, and no subject was found to put on it ({why})"
        yield blocking("preset.no-subject", f"{message}: bring a mask, or a picture on a plain backdrop")


def ground(case: Case) -> Iterator[Finding]:
    """The last step that lays the subject on a colour lays it on that of the preset."""
    if case.target is None or not (wanted := case.target.required.background) or not case.plan.steps:
        return
    laid = [step for step in case.plan.steps if step.tool in GROUNDS]
    if not laid:
        message = f"{case.target.name} asks for a ground of exactly {wanted}, and no step makes one"
        yield _again("preset.ground", message, case)
    elif (colour := str(laid[-1].params.get("color", "#ffffff")).lower()) != wanted:
        message = f"{case.target.name} asks for a ground of exactly {wanted}, and {laid[-1].id} makes {colour}"
        yield blocking("preset.ground", message, laid[-1].id, fixes.set_to("color", wanted))


def shot(case: Case) -> Iterator[Finding]:
    """Shadow and fill of the product shot."""
    if case.target is None:
        return
    name, asked = case.target.name, case.target.required
    if asked.min_fill_percent and case.plan.steps and not case.steps(PRODUCT_SHOT):
        message = (
            f"{name} asks for a subject on {asked.min_fill_percent:g} % of the frame, and no product shot sets that"
        )
        yield advice("preset.fill", message)
    for step in case.steps(PRODUCT_SHOT)[-1:]:
        if asked.shadow == "none" and step.params.get("shadow", "none") != "none":
            message = f"{name} takes no shadow, and {step.id} draws one"
            yield blocking("preset.shadow", message, step.id, fixes.set_to("shadow", "none"))
        fill = number(step.params, "fill_percent", SHOT_FILL)
        least, most = asked.min_fill_percent or 0.0, 100.0 if asked.max_fill_percent is None else asked.max_fill_percent
        if not least <= fill <= most:
            message = f"{name} asks for a subject on {least:g} to {most:g} % of the frame, and {step.id} makes {fill:g}"
            aim = case.target.deliver.fill_percent or least
            yield blocking("preset.fill", message, step.id, fixes.set_to("fill_percent", aim))


def size(case: Case) -> Iterator[Finding]:
    """The size that the plan ends with, as far as it can be told."""
    made = _final(case)
    if case.target is None or made is None or not (wrong := _misfit(made, case.target.required)):
        return
    deliver, steps = case.target.deliver, case.plan.steps
    message = f"{case.target.name} asks for {wrong}, and the plan ends with {made.width:g} x {made.height:g} px"
    frames = [step for step in steps if step.tool in FRAMES]
    if any(step.tool == EXPORT and number(step.params, "long_side_px") for step in steps) and frames:
        last = next(step for step in reversed(steps) if step.tool == EXPORT and number(step.params, "long_side_px"))
        yield blocking("preset.size", message, last.id, fixes.drop("long_side_px"))
    elif frames:
        for side, value in (("width_px", deliver.width_px), ("height_px", deliver.height_px)):
            yield blocking(f"preset.size.{side}", message, frames[-1].id, fixes.set_to(side, value))
        if frames[-1].tool == RESIZE and frames[-1].params.get("fit", "inside") == "inside":
            yield blocking("preset.size.fit", message, frames[-1].id, fixes.set_to("fit", "cover"))
    else:
        yield _again("preset.size", message, case)


def form(case: Case) -> Iterator[Finding]:
    """The file format; without an export a finished picture is a PNG."""
    if case.target is None or not (formats := case.target.required.formats) or not case.plan.steps:
        return
    exports = case.steps(EXPORT)
    made = str(exports[-1].params.get("format")) if exports else "png"
    if made in formats:
        return
    message = f"{case.target.name} takes {' or '.join(formats).upper()}, and the plan ends with {made.upper()}"
    if exports:
        yield blocking("preset.format", message, exports[-1].id, fixes.set_to("format", case.target.deliver.format))
    else:
        yield _again("preset.format", message, case)


def _again(about: str, message: str, case: Case) -> Finding:
    return blocking(about, message, case.plan.steps[-1].id if case.plan.steps else None, fixes.PLAN_AGAIN)


def _own(case: Case) -> Size | None:
    width, height = case.measured("width"), case.measured("height")
    return Size(width, height) if width and height else None


def _final(case: Case) -> Size | None:
    """The size that the plan ends with; None where that depends on what the picture shows."""
    made = _own(case)
    for step in case.plan.steps:
        made = _after(step, made)
    return made


def _after(step: Step, before: Size | None) -> Size | None:
    wide, high = number(step.params, "width_px"), number(step.params, "height_px")
    match step.tool:
        case tool if tool == PRODUCT_SHOT:
            return Size(wide or SHOT_PX, high or SHOT_PX)
        case tool if tool == RESIZE and wide and high and step.params.get("fit", "inside") != "inside":
            return Size(wide, high)
        case tool if tool == CROP:
            return None
        case tool if tool == RESIZE and before and (wide or high):
            scales = [side / own for side, own in zip((wide, high), before, strict=True) if side]
            return before.scaled(min(scales))
        case tool if tool == ENLARGE and before:
            return before.scaled(number(step.params, "factor", 2.0))
        case tool if tool == EXPORT and before and (longest := number(step.params, "long_side_px")):
            return before.scaled(longest / max(before))
    return before


def _misfit(made: Size, asked: Requirements) -> str:
    """What of the requirements this size breaks."""
    long, short, broken = round(max(made)), round(min(made)), []
    if asked.min_long_side_px and long < asked.min_long_side_px:
        broken.append(f"a long side of at least {asked.min_long_side_px} px")
    if asked.max_long_side_px and long > asked.max_long_side_px:
        broken.append(f"a long side of at most {asked.max_long_side_px} px")
    if asked.min_short_side_px and short < asked.min_short_side_px:
        broken.append(f"a short side of at least {asked.min_short_side_px} px")
    if asked.max_pixels and long * short > asked.max_pixels:
        broken.append(f"at most {asked.max_pixels:,} pixels")
    if asked.aspect:
        wide, high = map(int, asked.aspect.split(":"))
        if abs(made.width - made.height * wide / high) > 1:
            broken.append(f"an aspect of {asked.aspect}")
    return " and ".join(broken)
