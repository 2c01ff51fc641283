"""The Critic's rules on light: balance, place, headroom and mask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case, light
from prolight.adapters.offline.lights import RIM_ANGLE_DEG, number, tidy
from prolight.adapters.offline.planner import BACKGROUND, RELIGHT
from prolight.adapters.offline.reading import ROLES
from prolight.adapters.offline.remarks import advice, blocking
from prolight.schemas import Finding, Step

FRONT_DEG = 90.0
OVERHEAD_DEG = 60.0
"""From here up, a light is above the subject and rims it from any side."""
BRIGHTEST_MEDIAN_EV = 2.0
"""White is log2(1 / 0.18) = 2.47 stops above middle grey; half a stop is left for what is brighter than the median."""
CLIPPED_PERCENT = 5.0
UNUSABLE_MASK = 0.05


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


def mask(case: Case) -> Iterator[Finding]:
    confidence = case.measured("mask_confidence")
    if confidence is None or case.inspection is None:
        return
    replaced = case.steps(BACKGROUND)
    why = str(case.inspection.get("mask_reason", "")) or "no reason given"
    if confidence <= UNUSABLE_MASK and replaced:
        message = f"no subject was found to put on a new background ({why}): a picture on a plain backdrop would work"
        yield blocking("mask.none", message, replaced[0].id)
    elif not case.inspection.get("mask_trusted", True) and (
        replaced or any(light(step, role) for step in case.steps(RELIGHT) for role in ROLES)
    ):
        yield advice("mask.doubtful", f"where the subject ends is doubtful ({why}): look at the edges of the result")
