"""A backdrop out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from prolight.studio.background import clean_strips
from prolight.studio.colour import Linear, Pixels, Plane, to_linear, to_srgb
from prolight.studio.raster import fitted, reduced, scaled, size_of

STRONGEST = 0.03
"""Radius of the disc into which a point is blurred at full amount, of the long side."""
WORK_RADIUS = 12
"""Pixels of that radius at which the blur is computed; what it leaves is smooth."""

EDGE = np.ones((5, 5), np.uint8)
"""Around the subject's outline the backdrop is mixed with it, and is not looked at."""


def blur_background(pixels: Pixels, alpha: Plane, amount: float) -> Pixels:
    """Blur what is behind the subject as a lens would (a disc, in linear light); `amount` 0..1, 0 changes nothing.

    The same everywhere: a photograph does not say how far away each thing behind the subject is.
    """
    radius = amount * STRONGEST * max(alpha.shape)
    if radius < 0.5:
        return pixels
    linear = to_linear(pixels)
    behind = _out_of_focus(linear, alpha, radius)
    codes = np.empty_like(pixels)
    for rows, subject in clean_strips(linear, alpha):
        codes[rows] = to_srgb(behind[rows] + alpha[rows, :, None] * (subject - behind[rows]))
    return codes


def _out_of_focus(linear: Linear, alpha: Plane, radius: float) -> Linear:
    """The backdrop alone, blurred: the subject's colours do not run into it."""
    size = fitted(alpha.shape[0], alpha.shape[1], round(max(alpha.shape) * min(1.0, WORK_RADIUS / radius)))
    covered = np.asarray(cv2.dilate(alpha, EDGE), np.float32)
    small, rest = reduced(linear, size), 1 - reduced(covered, size)
    disc = _disc(radius * max(size) / max(alpha.shape))
    weight = np.maximum(rest, np.float32(1e-4))
    mixed = _filtered(small * weight[..., None], disc) / _filtered(weight, disc)[..., None]
    return scaled(mixed, size_of(alpha), cv2.INTER_LINEAR)


def _disc(radius: float) -> Plane:
    """A disc of this radius with a soft rim, of sum 1."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    weight = np.clip(np.float32(radius + 0.5) - np.hypot(x, y), 0, 1)
    return np.asarray(weight / weight.sum(), np.float32)


def _filtered(plane: Linear, kernel: Plane) -> Linear:
    return np.asarray(cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)
