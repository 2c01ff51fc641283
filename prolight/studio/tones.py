"""How bright the surroundings of each pixel are, with the edges kept: what local tone work goes by."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from prolight.studio.colour import MIDDLE_GREY, Linear, Pixels, Plane, luminance, to_linear
from prolight.studio.raster import averaged, fitted, reduced, scaled, stretched_rows

TONE_SIDE = 768
"""Long side at which the surroundings are measured; they are smooth, and follow the picture at full size."""
EDGE_STOPS = 0.4
"""Differences in brightness well above this are edges, along which the surroundings do not mix."""
DARKEST = np.float32(2.0**-12)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Base tone = `slope` · own tone + `offset`, kept at the picture's width and a smaller height."""

    slope: Plane
    offset: Plane
    height: int

    def tone(self, own: Plane, rows: slice) -> Plane:
        """The tone around each pixel of these rows, given its own."""
        slope, offset = (stretched_rows(part, self.height, rows) for part in (self.slope, self.offset))
        return slope * own + offset


def stops(linear: Linear) -> Plane:
    """Luminance in stops from middle grey."""
    return np.asarray(np.log2(np.maximum(luminance(linear), DARKEST) / np.float32(MIDDLE_GREY)), np.float32)


def surroundings(pixels: Pixels, reach: float) -> Surroundings:
    """Measured within `reach` of the long side, by a guided filter of tone with itself (He, Sun & Tang 2013)."""
    height, width = pixels.shape[:2]
    size = fitted(height, width, TONE_SIDE)
    tone = stops(to_linear(reduced(pixels, size)))
    radius = max(2, round(reach * max(size)))
    mean = averaged(tone, radius)
    variance = np.maximum(averaged(tone * tone, radius) - mean * mean, 0)
    slope = np.asarray(variance / (variance + np.float32(EDGE_STOPS**2)), np.float32)
    offset = averaged(mean - slope * mean, radius)
    wide = (width, size[1])
    return Surroundings(
        scaled(averaged(slope, radius), wide, cv2.INTER_LINEAR), scaled(offset, wide, cv2.INTER_LINEAR), height
    )
