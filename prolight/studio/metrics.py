"""What can be measured on a picture before and after it is relit."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from prolight.schemas import Value
from prolight.studio.colour import DAYLIGHT_KELVIN, MIDDLE_GREY, Linear, Pixels, Plane, luminance, to_linear
from prolight.studio.mask import Subject
from prolight.studio.raster import bands, fitted, reduced

HISTOGRAM_BINS = 32
CLIPPED_LOW, CLIPPED_HIGH = 1, 254
"""8-bit luma at and beyond which a pixel counts as clipped."""
MEASURE_SIDE = 1024
"""Long side at which sharpness is measured, so that it compares across sizes."""
MIN_KELVIN, MAX_KELVIN = 1700.0, 15000.0
DARKEST = 1e-4
"""Luminance below which a difference in stops says nothing."""


class Inspection(Value):
    """What `inspect_image` answers."""

    width: int
    height: int
    histogram: tuple[float, ...] = Field(description=f"{HISTOGRAM_BINS} luma bins, shares of the pixels")
    clipped_low_percent: float
    clipped_high_percent: float
    kelvin: float = Field(description="estimated colour of the light; 5500 is neutral daylight")
    mask_confidence: float = Field(ge=0, le=1)
    mask_trusted: bool
    mask_reason: str
    subject_fill_percent: float
    sharpness: float = Field(description="variance of the Laplacian of luma (0..255) at 1024 pixels")
    left_right_ev: float = Field(description="stops by which the subject's left half is brighter than its right")
    median_ev: float = Field(description="the subject's median luminance, in stops from middle grey (0.18)")


def inspect(pixels: Pixels, subject: Subject) -> Inspection:
    """Measure the picture; `subject` is its own mask, and without a usable one the whole frame is measured."""
    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    light = np.empty(luma.shape, np.float32)
    for rows in bands(len(light)):
        light[rows] = luminance(to_linear(pixels[rows]))
    small = to_linear(reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], MEASURE_SIDE)))
    counts = np.bincount((luma // (256 // HISTOGRAM_BINS)).ravel(), minlength=HISTOGRAM_BINS)
    return Inspection(
        width=pixels.shape[1],
        height=pixels.shape[0],
        histogram=tuple(round(float(share), 6) for share in counts / luma.size),
        clipped_low_percent=_percent(luma <= CLIPPED_LOW),
        clipped_high_percent=_percent(luma >= CLIPPED_HIGH),
        kelvin=round(estimate_kelvin(small)),
        mask_confidence=round(subject.confidence, 3),
        mask_trusted=subject.trusted,
        mask_reason=subject.reason,
        subject_fill_percent=round(100 * float(subject.alpha.mean()), 2) if subject.usable else 0.0,
        sharpness=round(_sharpness(luma), 2),
        left_right_ev=round(left_right_ev(light, subject.alpha), 3),
        median_ev=round(_stops(float(np.median(light[_solid(subject.alpha)])), MIDDLE_GREY), 3),
    )


def left_right_ev(light: Plane, alpha: Plane) -> float:
    """Stops by which the mean luminance of the subject's left half exceeds that of its right.

    The halves meet at the median column of the subject, so that both have the same area.
    """
    solid = _solid(alpha)
    counts = solid.sum(axis=0)
    sums = np.asarray(np.sum(light, axis=0, where=solid, dtype=np.float64), np.float64)
    upto = np.cumsum(counts)
    middle = np.searchsorted(upto, [(upto[-1] - 1) // 2, upto[-1] // 2], side="right").mean()
    columns = np.arange(len(counts))
    left, right = columns < middle, columns > middle
    if not counts[left].any() or not counts[right].any():
        return 0.0
    return _stops(sums[left].sum() / counts[left].sum(), sums[right].sum() / counts[right].sum())


def estimate_kelvin(linear: Linear) -> float:
    """Colour temperature of the light by shades of grey (Finlayson & Trezzi 2004, Minkowski norm 6).

    The correlated temperature is McCamy's cubic (1992), shifted in mired so that a neutral picture, which is
    balanced for D65 in the file, reads as 5500 K daylight.
    """
    small = reduced(linear, (128, 128)).reshape(-1, 3).astype(np.float64)
    usable = small[small.max(axis=1) < 0.98]
    if len(usable) < 32 or usable.max() <= DARKEST:
        return DAYLIGHT_KELVIN
    rgb = np.mean(usable**6, axis=0) ** (1 / 6)
    seen, white = _mccamy(rgb), _mccamy(np.ones(3))
    mired = 1e6 / DAYLIGHT_KELVIN + (1e6 / seen - 1e6 / white)
    return float(1e6 / np.clip(mired, 1e6 / MAX_KELVIN, 1e6 / MIN_KELVIN))


def _mccamy(rgb: npt.NDArray[np.float64]) -> float:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = to_xyz @ rgb
    n = (x / (x + y + z) - 0.3320) / (0.1858 - y / (x + y + z))
    return float(np.clip(449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33, 1000, 40000))


def _sharpness(luma: npt.NDArray[np.uint8]) -> float:
    small = reduced(luma, fitted(luma.shape[0], luma.shape[1], MEASURE_SIDE))
    return float(np.var(cv2.Laplacian(small, cv2.CV_32F)))


def _solid(alpha: Plane) -> npt.NDArray[np.bool_]:
    solid = alpha > 0.5
    return solid if solid.any() else np.ones_like(solid)


def _percent(chosen: npt.NDArray[np.bool_]) -> float:
    return round(100 * float(chosen.mean()), 3)


def _stops(value: float, reference: float) -> float:
    return float(np.log2(max(value, DARKEST) / max(reference, DARKEST)))
