"""What the light does on the backdrop: shadows, pools of light, reflections. None of it is the subject."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.backdrop import Backdrop, Lab
from prolight.studio.colour import Pixels, Plane
from prolight.studio.raster import blurred, fitted, reduced, size_of

Bits = npt.NDArray[np.bool_]

TEXTURE_SIDE = 800
"""Long side at which texture is measured: smaller pictures have lost it."""
TEXTURE_REACH, TEXTURE_WINDOW = 2.0, 2.5
PLAIN_TEXTURE, TEXTURE_FACTOR = 1.0, 2.0
"""L* of texture up to which a surface is plain, and how much more than the frame's own it may have."""
SOFT_STEP = 8.0
"""L* a pixel at work size up to which a change of brightness is soft: a shadow ends softly, a thing sharply."""
SAME_TINT = 8.0
"""Distance in a* and b* up to which the backdrop's colour is still the same, only darker or lighter."""
LAST_STEPS = 2
"""Pixels at work size by which a cast then grows over soft changes alone: a thing's edge lends its texture to what
lies beside it."""
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
ALIKE = 12.0
"""L* up to which something of the backdrop's tint could be the backdrop, seen through an opening."""
PLAIN_SPREAD = 4.5
"""Of the backdrop; when the frame is busier, nothing is known of what lies on it."""


@dataclass(frozen=True, slots=True)
class Casts:
    """`reached` is the backdrop, darker or lighter than at the frame; `alike` looks like it, reached or not."""

    reached: Bits
    alike: Bits


def find_casts(pixels: Pixels, lab: Lab, backdrop: Backdrop, plain: Bits) -> Casts:
    """A cast has the backdrop's tint and no more texture, and is reached from the frame over soft changes of
    brightness only, on ways wider than two pixels. `plain` marks what looks like the frame anyway; `lab` is at
    work size.
    """
    if backdrop.spread > PLAIN_SPREAD:
        return Casts(np.zeros(plain.shape, bool), np.zeros(plain.shape, bool))
    lightness, *tints = np.moveaxis(lab - backdrop.colour, -1, 0)
    soft = (_steepness(lab[..., 0]) < SOFT_STEP) & (np.hypot(*tints) < SAME_TINT)
    texture = _texture(pixels, size_of(lab[..., 0]))
    smooth = texture < max(PLAIN_TEXTURE, TEXTURE_FACTOR * float(np.median(texture[backdrop.border])))
    reached = _reached((soft | plain) & smooth, backdrop.border & plain)
    for _ in range(LAST_STEPS):
        reached |= (cv2.dilate(reached.astype(np.uint8), CROSS) > 0) & soft
    return Casts(reached, soft & smooth & (np.abs(lightness) < ALIKE))


def _reached(ways: Bits, start: Bits) -> Bits:
    """What hangs together with `start` on ways wider than two pixels."""
    square = np.ones((3, 3), np.uint8)
    count, labels = cv2.connectedComponents(cv2.erode(ways.astype(np.uint8), square), connectivity=4)
    reached = np.zeros(count, bool)
    reached[np.unique(np.asarray(labels)[start])] = True
    reached[0] = False
    wide = reached[np.asarray(labels, np.intp)].astype(np.uint8)
    return np.asarray((cv2.dilate(wide, square) > 0) & ways, np.bool_)


def _texture(pixels: Pixels, size: tuple[int, int]) -> Plane:
    """Local deviation of L* from its surroundings."""
    view = reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], TEXTURE_SIDE))
    lab = np.asarray(cv2.cvtColor(view.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab), np.float32)
    lightness = np.ascontiguousarray(lab[..., 0])
    fine = np.asarray(lightness - blurred(lightness, TEXTURE_REACH), np.float32)
    return np.asarray(np.sqrt(reduced(blurred(fine * fine, TEXTURE_WINDOW), size)), np.float32)


def _steepness(lightness: Plane) -> Plane:
    """Change of L* a pixel."""
    smooth = blurred(np.ascontiguousarray(lightness), 0.7)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(across, down), np.float32)
