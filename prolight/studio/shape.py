"""The subject's shape, guessed from its outline and its shading: one normal per pixel."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.colour import MIDDLE_GREY, Linear, Plane
from prolight.studio.raster import blurred, fitted, reduced, scaled

INFLATE_SIDE = 192
"""Long side at which the body is inflated; it is smooth, so nothing is lost."""
ROUNDNESS = 6.0
"""The k of z = √(k·u): 4 makes a disc a hemisphere. More tilts the sides further, which light shows more clearly."""
SWEEPS = 40
DETAIL = 1.1
"""How far relief that is read from brightness tilts the normals."""
DETAIL_REACH = 0.012
"""Size of the largest relief that is read from brightness, of the long side."""


def normals(alpha: Plane, light: Plane) -> Linear:
    """Unit normals (x right, y down, z to the camera) at the size of `alpha`.

    The body is the outline inflated like a cushion: ∇²u = −1 inside, z = √(k·u). Relief comes from luminance,
    bright being high: the coarse shape plus detail of Liao, Karsch & Forsyth 2015, "An approximate shading
    model with detail decomposition for object relighting".
    """
    body = _inflate(alpha)
    body[..., :2] -= np.float32(DETAIL) * _relief_slope(light)
    return _unit(body)


def _inflate(alpha: Plane) -> Linear:
    """Normals of the cushion. With z = √(k·u), (−∇z, 1) is along (−k∇u, 2√(k·u)), which stays finite at the edge."""
    height, width = alpha.shape
    small = reduced(alpha, fitted(height, width, INFLATE_SIDE))
    # One pixel of margin keeps the visible edge off the place where the normal has no direction.
    inside = np.asarray(cv2.dilate((small > 0.1).astype(np.float32), np.ones((3, 3), np.uint8)), np.float32)
    u = blurred(solve_poisson(inside), 1.0)
    k = np.float32(ROUNDNESS)
    height_term = 2 * np.sqrt(k * u) + np.float32(1e-3)
    return scaled(_unit(np.dstack([-k * _slope(u), height_term])), (width, height), cv2.INTER_CUBIC)


def _unit(vectors: Linear) -> Linear:
    return np.asarray(vectors / np.sqrt(np.sum(vectors**2, axis=-1, keepdims=True)), np.float32)


def _slope(plane: Plane) -> npt.NDArray[np.float32]:
    """∂x and ∂y per pixel, smoothed across (Sobel)."""
    across = cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(np.dstack([across, down]), np.float32)


def solve_poisson(inside: Plane) -> Plane:
    """u with ∇²u = −1 where `inside` is 1 and u = 0 elsewhere, in pixels².

    Coarse to fine, with Jacobi sweeps at each size: the coarse solution brings what sweeps are slow at. The
    height comes out within 15 %, which is far below what the cushion itself guesses at.
    """
    height, width = inside.shape
    if min(height, width) <= 8:
        guess = np.zeros_like(inside)
    else:
        half = reduced(inside, ((width + 1) // 2, (height + 1) // 2))
        guess = 4 * scaled(solve_poisson(half), (width, height))
    neighbours = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
    for _ in range(SWEEPS):
        around = np.asarray(cv2.filter2D(guess, -1, neighbours, borderType=cv2.BORDER_CONSTANT), np.float32)
        guess = inside * (around + np.float32(0.25))
    return guess


def _relief_slope(light: Plane) -> npt.NDArray[np.float32]:
    """Slope of the relief: brightness, compressed so that neither noise in blacks nor a highlight rules it."""
    grey = np.float32(max(float(np.median(light)), 0.02 * MIDDLE_GREY))
    level = light / (light + grey)
    reach = max(2.0, DETAIL_REACH * max(light.shape))
    return _slope(blurred(level, 1.0) - blurred(level, reach)) * np.float32(reach)
