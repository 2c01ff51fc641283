"""Brighter or darker: the whole picture, its shadows, its highlights."""

from __future__ import annotations

import numpy as np

from prolight.studio.colour import Linear, Pixels, Plane, shoulder, to_linear, toned
from prolight.studio.raster import bands
from prolight.studio.tones import stops, surroundings

SHADOWS = (0.0, -4.0)
"""From and up to which tone, in stops from middle grey, shadows are shadows."""
HIGHLIGHTS = (-0.7, 2.5)
"""So wide that the strongest change of either still keeps brighter brighter."""
REACH = 0.03


def adjust_exposure(pixels: Pixels, ev: float, shadows_ev: float = 0, highlights_ev: float = 0) -> Pixels:
    """Linear light × 2^`ev`; then shadows and highlights by their own stops, as far as their surroundings are such.

    What leaves white behind is rolled off, not clipped.
    """
    if not (ev or shadows_ev or highlights_ev):
        return pixels
    around = surroundings(pixels, REACH) if shadows_ev or highlights_ev else None

    def exposed(linear: Linear, rows: slice) -> Linear:
        gain = np.full(linear.shape[:2], ev, np.float32)
        if around is not None:
            tone = around.tone(stops(linear), rows) + np.float32(ev)
            gain += np.float32(shadows_ev) * _ramp(tone, *SHADOWS)
            gain += np.float32(highlights_ev) * _ramp(tone, *HIGHLIGHTS)
        return np.asarray(linear * np.exp2(gain)[..., None], np.float32)

    brightest = max(float(exposed(to_linear(pixels[rows]), rows).max()) for rows in bands(len(pixels)))
    return toned(pixels, lambda linear, rows: shoulder(exposed(linear, rows), brightest))


def _ramp(tone: Plane, none: float, full: float) -> Plane:
    """0 at `none`, 1 at `full`, smooth at both ends."""
    t = np.clip((tone - np.float32(none)) / np.float32(full - none), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
