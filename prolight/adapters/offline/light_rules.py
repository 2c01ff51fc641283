"""The Critic's rules on light: balance, place, headroom and mask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case, light
from prolight.adapters.offline.lights import RIM_ANGLE_DEG, number, tidy
from prolight.adapters.offline.reading import ROLES
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import BLUR, CROP, EXPOSURE, PRODUCT_SHOT, RELIGHT, REMOVE, REPLACE
from prolight.schemas import Finding, Step

FRONT_DEG = 90.0
OVERHEAD_DEG = 60.0
"""From here up, a light is above the subject and rims it from any side."""
BRIGHTEST_MEDIAN_EV = 2.0
"""White is log2(1 / 0.18) = 2.47 stops above middle grey; half a stop is left for what is brighter than the median."""
CLIPPED_PERCENT = 5.0
UNUSABLE_MASK = 0.05
LEANS_EV, BLOWN_PERCENT = 0.7, 1.0
"""Between the halves of the subject, and of the picture. Of the twenty photographs measured, seventeen lean less."""


def fill_under_key(case: Case) -> Iterator[Finding]:
    for step in case.steps(RELIGHT):
        key, fill = light(step, "key"), light(step, "fill")
        if key and fill and number(fill, "ev") > number(key, "ev"):
            key_ev = tidy(number(key, "ev"))
            message = f"the fill ({number(fill, 'ev'):+g} EV) outshines the key ({key_ev:+g} EV): it is the key then"
            yield blocking(f"light.{step.id}.fill-over-key", message, step.id, fixes.set_to("fill.ev", key_ev))


def rim_behind(case: Case) -> Iterator[Finding]:
    for step in case.steps(RELIGHT):
        rim = light(step, "rim")
        azimuth = number(rim, "azimuth_deg", RIM_ANGLE_DEG)
        if rim and abs(azimuth) < FRONT_DEG and number(rim, "elevation_deg") < OVERHEAD_DEG:
            key_side = number(light(step, "key"), "azimuth_deg", -1)
            behind = int(math.copysign(RIM_ANGLE_DEG, azimuth or -key_side))
            message = f"a rim at {azimuth:g}° lights the front: it draws an edge only from behind (beyond ±90°)"
            yield blocking(f"light.{step.id}.rim-in-front", message, step.id, fixes.set_to("rim.azimuth_deg", behind))


def highlights(case: Case) -> Iterator[Finding]:
    """The relit subject's median against the brightest that leaves its highlights room."""
    median, clipped = case.measured("median_ev"), case.measured("clipped_high_percent")
    for step in case.steps(RELIGHT):
        gains = {"exposure_ev": number(step.params, "exposure_ev"), "key.ev": number(light(step, "key"), "ev")}
        gain = sum(gains.values())
        excess = (median or 0.0) + gain - BRIGHTEST_MEDIAN_EV
        if median is not None and gain > 0 and excess > 0:
            yield from _less(step, gains, excess, median)
        elif clipped is not None and clipped > CLIPPED_PERCENT and gain > 0:
            message = f"{clipped:g} % of the picture is clipped already, and {gain:+g} EV will not bring it back"
            yield advice("exposure.highlights", message, step.id)


def brighter(case: Case) -> Iterator[Finding]:
    """`adjust_exposure`, held to the same room as the lights."""
    median, clipped = case.measured("median_ev"), case.measured("clipped_high_percent")
    for step in case.steps(EXPOSURE):
        gain, lifted = number(step.params, "ev"), number(step.params, "highlights_ev")
        excess = (median or 0.0) + gain - BRIGHTEST_MEDIAN_EV
        if median is not None and gain > 0 and excess > 0:
            yield from _less(step, {"ev": gain}, excess, median)
        elif clipped is not None and clipped > CLIPPED_PERCENT and (gain > 0 or lifted > 0):
            message = f"{clipped:g} % of the picture is clipped already, and brighter loses more: lift the shadows"
            yield advice(f"exposure.{step.id}.highlights", message, step.id)


def key_from_the_blown_side(case: Case) -> Iterator[Finding]:
    """The side that is brighter already, in a picture that has begun to clip, is no side for a key."""
    lean, clipped = case.measured("left_right_ev"), case.measured("clipped_high_percent")
    if lean is None or clipped is None or abs(lean) < LEANS_EV or clipped < BLOWN_PERCENT:
        return
    side, wishes = ("left", "right")[lean < 0], case.reading.lights.get("key")
    said = bool(wishes and {"side", "azimuth", "angle"} & set(wishes.chosen))
    for step in case.steps(RELIGHT):
        azimuth = number(light(step, "key"), "azimuth_deg")
        if azimuth * lean >= 0 or abs(azimuth) == 180:
            continue
        message = (
            f"the key comes from the {side}, which is {abs(lean):g} EV brighter already, and {clipped:g} % of the "
            f"picture is clipped: light it from the other side"
        )
        about = f"light.{step.id}.key-from-blown-side"
        fix = fixes.set_to("key.azimuth_deg", tidy(-azimuth))
        yield advice(about, message, step.id) if said else blocking(about, message, step.id, fix)


def _less(step: Step, gains: Mapping[str, float], excess: float, median: float) -> Iterator[Finding]:
    for path, gain in gains.items():
        cut = min(max(gain, 0.0), excess)
        if cut > 0:
            excess -= cut
            message = (
                f"{path} {gain:+g} EV on a subject at {median:+g} EV will clip: "
                f"its median may go to {BRIGHTEST_MEDIAN_EV:+g} EV above middle grey"
            )
            yield blocking(f"exposure.{step.id}.{path}", message, step.id, fixes.set_to(path, tidy(gain - cut)))


def mask_of_a_cut(case: Case) -> Iterator[Finding]:
    """A cut-out by a mask that is not trusted is a person's decision; a blur hides more, and is only remarked on."""
    if case.inspection is None or case.inspection.get("mask_trusted", True):
        return
    why = str(case.inspection.get("mask_reason", "")) or "no reason given"
    for step in case.plan.steps:
        if step.params.get("mask") or step.tool not in {REMOVE, CROP, PRODUCT_SHOT, BLUR}:
            continue
        if step.tool == BLUR:
            yield advice("mask.blur", f"where the subject ends is doubtful ({why}): look at the blurred edges", step.id)
        else:
            message = f"{step.id} cuts the subject out, and its mask is not trusted ({why})"
            yield blocking("mask.not-trusted", f"{message}: look at `prolight mask`, or bring one", step.id)


def mask(case: Case) -> Iterator[Finding]:
    confidence = case.measured("mask_confidence")
    if confidence is None or case.inspection is None:
        return
    replaced = case.steps(REPLACE)
    why = str(case.inspection.get("mask_reason", "")) or "no reason given"
    if confidence <= UNUSABLE_MASK and replaced:
        message = f"no subject was found to put on a new background ({why}): a picture on a plain backdrop would work"
        yield blocking("mask.none", message, replaced[0].id)
    elif not case.inspection.get("mask_trusted", True) and (
        replaced or any(light(step, role) for step in case.steps(RELIGHT) for role in ROLES)
    ):
        yield advice("mask.doubtful", f"where the subject ends is doubtful ({why}): look at the edges of the result")
