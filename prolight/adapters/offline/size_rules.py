"""The Critic's rules on size: enlargements, masks of another size, and what a file format can hold."""

from __future__ import annotations

from collections.abc import Iterator

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case
from prolight.adapters.offline.lights import number
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import CLEARS, CUTS, ENLARGE, EXPORT, GROUNDS, RESIZE, SIZES
from prolight.schemas import INPUT, Finding, Step

SOFT = 15.0
"""Sharpness (variance of the Laplacian at 1024 px) of a picture that was never sharp. Twenty photographs measured 20
(a white bulb on white) to 9588; blurred by 2 px eighteen of them measured 10 or less, by 4 px all 5 or less."""
SHARP_ENOUGH_FOR_FOUR = 4 * SOFT
"""Two steps of twofold ask for twice the edge twice. Below are four of the twenty, with smooth surfaces only."""


def enlarging(case: Case) -> Iterator[Finding]:
    """An enlargement of what is not sharp shows that it is not; where a preset needs the size, it is only said."""
    sharpness = case.measured("sharpness")
    if sharpness is None or sharpness >= SHARP_ENOUGH_FOR_FOUR:
        return
    for step, times in _enlargements(case):
        carried = 2.0 if sharpness >= SOFT else 1.0
        if times <= carried:
            continue
        message = (
            f"{step.id} enlarges {times:.3g} times, and a sharpness of {sharpness:g} carries "
            f"{'twofold' if carried > 1 else 'no enlargement'} ({SOFT:g} for twofold, {SHARP_ENOUGH_FOR_FOUR:g} beyond)"
        )
        fix = _less(step.tool, carried)
        about = f"sharpness.{step.id}"
        yield advice(about, message, step.id) if case.target else blocking(about, message, step.id, fix)


def _enlargements(case: Case) -> Iterator[tuple[Step, float]]:
    """The steps that enlarge, and how many times; of those behind another size only what says its own factor."""
    own = max(case.measured("width") or 0.0, case.measured("height") or 0.0)
    sized = False
    for step in case.plan.steps:
        if step.tool == ENLARGE:
            yield step, number(step.params, "factor", 2.0)
        elif step.tool == EXPORT and own and not sized:
            yield step, number(step.params, "long_side_px") / own
        sized = sized or step.tool in SIZES


def _less(tool: str, carried: float) -> str:
    if tool == ENLARGE:
        return fixes.set_to("factor", 2) if carried > 1 else fixes.DROP_STEP
    return fixes.drop("long_side_px")


def mask_of_another_size(case: Case) -> Iterator[Finding]:
    """`mask_of` the original is refused for a picture that has another size by then."""
    for step in case.plan.steps:
        if step.params.get("mask_of") != INPUT:
            continue
        if before := next((earlier for earlier in case.behind(step) if earlier.tool in SIZES), None):
            message = (
                f"{step.id} takes the mask of the original, and {before.id} has changed the size: let it find its own"
            )
            yield blocking(f"mask.{step.id}.size", message, step.id, fixes.set_to("mask_of", None))


def transparency_kept(case: Case) -> Iterator[Finding]:
    """A JPEG cannot be transparent: what was cut out ends on white."""
    for step in case.steps(EXPORT):
        before = case.behind(step)
        cleared = next((earlier for earlier in before if earlier.tool in CLEARS | GROUNDS), None)
        if step.params.get("format") != "jpeg" or cleared is None or cleared.tool in GROUNDS:
            continue
        message = f"{cleared.id} makes the background transparent, and {step.id} writes a JPEG, which lays it on white"
        wanted = case.reading.wishes.get("export")
        said = bool(wanted and "format" in wanted.chosen) or bool(case.target)
        about, fix = f"format.{step.id}.transparency", fixes.set_to("format", "png")
        yield advice(about, message, step.id) if said else blocking(about, message, step.id, fix)


def cut_before_resize(case: Case) -> Iterator[Finding]:
    """An edge is found best at the size at which it was photographed."""
    for step in case.steps(RESIZE):
        after = [later for later in case.plan.steps if later.tool in CUTS and step in case.behind(later)]
        if after:
            message = f"{step.id} resizes before {after[-1].id} cuts the subject out: cut first"
            yield blocking("order.resize-before-cut", message, step.id, fixes.move_after(after[-1].id))
