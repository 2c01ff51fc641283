"""Where the subject is, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.backdrop import CAST_DEPTH, Backdrop, Lab, cast_like, fit_backdrop, visible_difference
from prolight.studio.casts import Casts, find_casts
from prolight.studio.colour import Pixels, Plane
from prolight.studio.matte import refine
from prolight.studio.notches import fill_notches
from prolight.studio.raster import averaged, blurred, fitted, reduced

Bits = npt.NDArray[np.bool_]

WORK_SIDE = 400
"""Long side at which the subject is searched for; the edge is refined at full size."""
SEED = 7
SUBJECT_LABELS = (cv2.GC_FGD, cv2.GC_PR_FGD)
CHROMA_BLUR = 2.0
CUT_ROUNDS = 3
TOLERANCE_FLOOR = 5.0
TOLERANCE_SPREADS = 2.5
TOLERANCE_SHARE = 0.35
"""Of what the subject's stronger half differs by: a clear subject makes shadows and glows count as backdrop."""
SECOND_LOOK = 0.7
"""The second search starts from a tolerance this much smaller, so from more pixels."""
SURE_FACTOR = 2.0
"""How many tolerances from the backdrop a pixel must be to be the subject without being asked."""
DISAGREEMENT = 0.6
"""Overlap of two searches up to which they say nothing."""
FAINT = 1.2
"""ΔE that is visible on a blank ground, where there is no noise."""
SMALLEST_PART = 0.02
"""A piece below this share of the largest piece is dust."""
OPENING_RADIUS, OPENING_SPREADS = 0.015, 3.5
"""An opening in the subject has at least this radius, of the root of the subject's area, and shows the backdrop
within this many spreads; anything else is print or a highlight."""
ASIDE = 0.05
"""Distance from anything visible, of the work side, from which on a pixel is the backdrop without being asked."""
CONTOUR_REACH, CONTOUR_STEP = 3, 8.0
"""Pixels on either side of the outline that are compared, and the ΔE that counts as a visible change."""
EDGE_STEP = 4.0
"""L* by which a pixel at an edge differs from its surroundings."""
OTHERS_REACH = 0.03
"""Distance from the subject, of the work side, from which on other things count as not part of it."""
TRUST = 0.5
"""A confidence from which a mask is used as it is."""
EMPTY_SHARE, FULL_SHARE = 0.005, 0.95
"""Below and above these shares of the frame there is no subject to speak of."""
SPECK_SHARE = 0.08
"""A doubtful find below this share of the frame is taken for no subject."""


@dataclass(frozen=True, slots=True)
class Subject:
    """`alpha` is 1 on the subject and 0 off it, at full size; `reason` says in one sentence why the mask is
    or is not trusted; `usable` is False when nothing, or everything, was found."""

    alpha: Plane
    confidence: float
    reason: str
    usable: bool

    @property
    def trusted(self) -> bool:
        return self.usable and self.confidence >= TRUST


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a mask, each 0..1."""

    plainness: float
    agreement: float
    contrast: float
    framing: float
    alone: float
    solid: float


def find_subject(pixels: Pixels) -> Subject:
    """Separate the one subject of a photograph from its backdrop.

    A smooth backdrop is fitted to the frame; what differs from it, and is no shadow or light on it, seeds GrabCut
    (Rother et al. 2004), run twice from different seeds; the largest pieces are kept and the edge is refined with a
    guided filter.
    """
    height, width = pixels.shape[:2]
    view = _View.of(pixels)
    bits, other = _cut_twice(view)
    share = float(bits.mean())
    if not EMPTY_SHARE <= share <= FULL_SHARE:
        return Subject(np.ones((height, width), np.float32), 0.0, _nothing(share), usable=False)
    evidence = _weigh(bits, other, view)
    confidence, reason = _judge(evidence)
    if confidence < TRUST and share < SPECK_SHARE:
        return Subject(np.ones((height, width), np.float32), confidence, reason, usable=False)
    return Subject(refine(bits, pixels), confidence, reason, usable=True)


@dataclass(frozen=True, slots=True)
class _View:
    """The picture at work size: its colours, its backdrop, and how visibly each pixel differs from that (ΔE)."""

    small: Pixels
    lab: Lab
    backdrop: Backdrop
    difference: Lab
    far: Plane
    casts: Casts

    @classmethod
    def of(cls, pixels: Pixels) -> _View:
        small = reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], WORK_SIDE))
        lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab), np.float32)
        # JPEG keeps colour in blocks of 8 and 16 pixels; their edges are not edges of the subject.
        lab[..., 1:] = blurred(lab[..., 1:], CHROMA_BLUR)
        backdrop = fit_backdrop(lab)
        difference = lab - backdrop.colour
        smooth = np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
        small = np.round(np.clip(smooth, 0, 1) * 255).astype(np.uint8)
        far = visible_difference(difference)
        casts = find_casts(pixels, lab, backdrop, far < _noise(backdrop) / 2)
        return cls(small, lab, backdrop, difference, far, casts)

    @property
    def noise(self) -> float:
        """The ΔE up to which a difference says nothing."""
        return _noise(self.backdrop)

    @property
    def tolerance(self) -> float:
        """The ΔE from which a pixel is looked at as a part of the subject."""
        beyond = self.far[(self.far > self.noise) & ~self.casts.reached]
        return max(self.noise, TOLERANCE_SHARE * float(np.percentile(beyond, 75))) if beyond.size else self.noise


def _noise(backdrop: Backdrop) -> float:
    return max(TOLERANCE_FLOOR, TOLERANCE_SPREADS * backdrop.spread)


def _cut_twice(view: _View) -> tuple[Bits, Bits]:
    first = _cut(view, _seeds(view, view.tolerance))
    second = _cut(view, _seeds(view, SECOND_LOOK * view.tolerance))
    if view.backdrop.blank and _agreement(first, faint := _faint(view, FAINT)) < DISAGREEMENT:
        return faint, _faint(view, 2 * FAINT)
    if first.mean() < EMPTY_SHARE:
        first = _cut(view, _centre_seeds(view.far.shape[0], view.far.shape[1]))
    return first, second


def _faint(view: _View, step: float) -> Bits:
    """What is not quite the colour of a blank ground: white on white. No colour model tells such two apart."""
    return _whole(np.linalg.norm(view.difference, axis=-1) > step, view)


def _agreement(a: Bits, b: Bits) -> float:
    """Intersection over union."""
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def _seeds(view: _View, tolerance: float) -> Pixels:
    far, difference = view.far, view.difference
    seeds = np.full(far.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[far > tolerance] = cv2.GC_PR_FGD
    aside = view.backdrop.border | (_distance(far > tolerance) > ASIDE * WORK_SIDE)
    seeds[(far < tolerance / 2) & aside] = cv2.GC_BGD
    tint = np.hypot(difference[..., 1], difference[..., 2])
    beyond_cast = (np.abs(difference[..., 0]) > CAST_DEPTH) | (tint > SURE_FACTOR * tolerance)
    seeds[beyond_cast & (far > SURE_FACTOR * tolerance)] = cv2.GC_FGD
    seeds[view.casts.reached] = cv2.GC_BGD
    return seeds


def _centre_seeds(height: int, width: int) -> Pixels:
    seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
    inset = max(1, round(0.05 * min(height, width)))
    seeds[inset:-inset, inset:-inset] = cv2.GC_PR_FGD
    return seeds


def _distance(bits: Bits) -> Plane:
    """Pixels to the nearest True."""
    return np.asarray(cv2.distanceTransform((~bits).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _cut(view: _View, seeds: Pixels) -> Bits:
    subject: Bits = np.isin(seeds, SUBJECT_LABELS)
    if not subject.any() or subject.all():
        return subject
    # GrabCut seeds its colour clusters from OpenCV's generator of this thread.
    cv2.setRNGSeed(SEED)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(view.small, seeds, (0, 0, 1, 1), *models, CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return _whole(np.isin(seeds, SUBJECT_LABELS), view)


def _whole(bits: Bits, view: _View) -> Bits:
    """The largest pieces without dust, open only where the backdrop shows through."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bits.astype(np.uint8), connectivity=4)
    if count == 1:
        return bits
    areas = stats[1:, cv2.CC_STAT_AREA]
    pieces: Bits = np.isin(labels, 1 + np.nonzero(areas >= SMALLEST_PART * areas.max())[0])
    return fill_notches(~_openings(~pieces, view))


def _openings(bits: Bits, view: _View) -> Bits:
    """The pieces of what is not the subject that reach the frame, or are wide enough and show the backdrop."""
    count, found = cv2.connectedComponents(bits.astype(np.uint8), connectivity=4)
    labels = np.asarray(found, np.intp)
    radius = np.zeros(count, np.float32)
    np.maximum.at(radius, labels.ravel(), _distance(~bits).ravel())
    area = np.bincount(labels.ravel(), minlength=count)
    mean_far = np.bincount(labels.ravel(), weights=view.far.ravel(), minlength=count) / np.maximum(area, 1)
    wide = radius >= OPENING_RADIUS * float(np.sqrt((~bits).sum()))
    opened = wide & (mean_far <= OPENING_SPREADS * view.backdrop.spread)
    opened[np.unique(labels[view.backdrop.border])] = True
    return bits & np.asarray(opened[labels], np.bool_)


def _weigh(bits: Bits, other: Bits, view: _View) -> Evidence:
    touching = float(bits[view.backdrop.border].mean())
    return Evidence(
        plainness=_ramp(view.backdrop.spread, 4.5, 2.2) * _ramp(view.backdrop.plain_share, 0.6, 0.85),
        agreement=_ramp(_agreement(bits, other), DISAGREEMENT, 0.9),
        contrast=_ramp(_contour_contrast(bits, view), 0.4, 0.8),
        framing=_ramp(touching, 0.5, 0.2) * _ramp(float(bits.mean()), 0.01, 0.03),
        alone=_ramp(_other_things(bits, view), 0.25, 0.08),
        solid=_ramp(_largest(bits & view.casts.alike) / float(bits.sum()), 0.05, 0.02),
    )


def _contour_contrast(bits: Bits, view: _View) -> float:
    """The share of the outline along which the picture visibly changes."""
    inside = bits.astype(np.float32)
    inner = inside * (_distance(~bits) <= 2 * CONTOUR_REACH)
    outer = (1 - inside) * (_distance(bits) <= 2 * CONTOUR_REACH)
    step = np.linalg.norm(_local_mean(view.lab, inner) - _local_mean(view.lab, outer), axis=-1)
    outline = bits & (_distance(~bits) <= 1.5)
    return float(np.mean(step[outline] > max(CONTOUR_STEP, 4 * view.backdrop.spread)))


def _local_mean(lab: Lab, weight: Plane) -> Lab:
    reach = 2 * CONTOUR_REACH
    return averaged(lab * weight[..., None], reach) / (averaged(weight, reach) + np.float32(1e-6))[..., None]


def _other_things(bits: Bits, view: _View) -> float:
    """Area that is neither subject nor backdrop nor shadow, relative to the subject's."""
    shadow = cast_like(view.difference) & (view.difference[..., 0] < 0)
    others = (view.far > view.noise) & ~shadow & ~view.casts.reached & _busy(view.lab)
    return float(np.sum(others & (_distance(bits) > OTHERS_REACH * WORK_SIDE)) / bits.sum())


def _largest(bits: Bits) -> float:
    """Area of the largest piece, without what is narrower than three pixels."""
    wide = cv2.erode(bits.astype(np.uint8), np.ones((3, 3), np.uint8))
    stats = cv2.connectedComponentsWithStats(wide, connectivity=4)[2]
    return float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


def _busy(lab: Lab) -> Bits:
    """Near an edge in the picture: things have edges, pools of light have none."""
    lightness = np.ascontiguousarray(lab[..., 0])
    edges = np.abs(lightness - averaged(lightness, 4)) > EDGE_STEP
    return _distance(edges) <= 4


def _ramp(value: float, none: float, full: float) -> float:
    return float(np.clip((value - none) / (full - none), 0, 1))


def _judge(evidence: Evidence) -> tuple[float, str]:
    doubts = {
        "the frame shows no plain backdrop to tell the subject from": evidence.plainness,
        "two searches with different starts found different outlines": evidence.agreement,
        "along much of its outline the subject looks like what is behind it": evidence.contrast,
        "what was found is cut by the frame, or too small to be the subject": evidence.framing,
        "there are other things in the picture besides what was found": evidence.alone,
        "a plain part of what was found may be an opening that shows the backdrop": evidence.solid,
    }
    weakest = min(doubts, key=lambda doubt: doubts[doubt])
    confidence = doubts[weakest]
    if confidence >= TRUST:
        return confidence, "Plain backdrop, one stable outline, visible contrast along it."
    return confidence, f"Not trusted: {weakest}."


def _nothing(share: float) -> str:
    found = "nothing" if share < EMPTY_SHARE else "nearly everything"
    return f"Not trusted: {found} in the frame differs from its border, so there is no subject to separate."
