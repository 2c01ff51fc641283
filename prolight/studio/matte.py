"""From a rough mask to a clean edge, and from a mixed edge pixel to the subject's own colour."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.colour import Linear, Pixels, Plane
from prolight.studio.raster import averaged, bands, fitted, reduced, scaled, stretched_rows, strips

REFINE_SIDE = 1024
"""Long side at which the guided filter's coefficients are solved; they are applied at full size."""
BAND = 0.006
"""Half width, of the long side, of the band around the rough edge in which the fine edge is looked for."""
SMOOTHNESS = 4e-4
"""The guided filter's ε, in squared units of 0..1 colour."""
STRIP_ROWS = 128
SOLID, CLEAR = 0.9, 0.1
"""Above and below these the edge's alpha is taken for full and none: no veil far from the outline."""


def refine(bits: npt.NDArray[np.bool_], pixels: Pixels) -> Plane:
    """Alpha (0..1) at the size of `pixels` from a rough mask at any size."""
    height, width = pixels.shape[:2]
    size = fitted(height, width, REFINE_SIDE)
    guide = reduced(pixels, size).astype(np.float32) / np.float32(255)
    rough = scaled(bits.astype(np.float32), size)
    radius = max(2, round(BAND * max(size)))
    slope, offset = (scaled(part, (width, size[1])) for part in _guided_strips(guide, rough, radius))
    inner, outer = (scaled(edge, (width, height), cv2.INTER_NEAREST) for edge in _band(rough, radius))
    alpha = np.empty((height, width), np.float32)
    for rows in bands(height):
        codes = pixels[rows].astype(np.float32) / np.float32(255)
        soft = _dot(stretched_rows(slope, height, rows), codes) + stretched_rows(offset, height, rows)
        alpha[rows] = np.clip((soft - np.float32(CLEAR)) / np.float32(SOLID - CLEAR), inner[rows], outer[rows])
    return alpha


def _band(rough: Plane, radius: int) -> tuple[Pixels, Pixels]:
    """The least and the most alpha: 1 well inside, 0 well outside."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    hard = (rough > 0.5).astype(np.uint8)
    return np.asarray(cv2.erode(hard, disc), np.uint8), np.asarray(cv2.dilate(hard, disc), np.uint8)


def _guided_strips(guide: Linear, target: Plane, radius: int) -> tuple[Linear, Plane]:
    """Slope and offset of the guided filter, some rows at a time: it takes thirty planes to solve for them."""
    slope, offset = np.empty_like(guide), np.empty_like(target)
    for made, seen, part in strips(len(guide), STRIP_ROWS, 2 * radius):
        slopes, offsets = _guided_coefficients(guide[seen], target[seen], radius)
        slope[made], offset[made] = slopes[part], offsets[part]
    return slope, offset


def _guided_coefficients(guide: Linear, target: Plane, radius: int) -> tuple[Linear, Plane]:
    """Slope and offset of the colour guided filter (He, Sun & Tang 2013, eq. 19-21)."""
    mean = partial(averaged, radius=radius)
    middle, level = mean(guide), mean(target)
    covariance = mean(guide * target[..., None]) - middle * level[..., None]
    r, g, b = (np.ascontiguousarray(guide[..., channel]) for channel in range(3))
    mr, mg, mb = middle[..., 0], middle[..., 1], middle[..., 2]
    eps = np.float32(SMOOTHNESS)
    rr, gg, bb = mean(r * r) - mr * mr + eps, mean(g * g) - mg * mg + eps, mean(b * b) - mb * mb + eps
    rg, rb, gb = mean(r * g) - mr * mg, mean(r * b) - mr * mb, mean(g * b) - mg * mb
    slope = _solve_symmetric((rr, rg, rb, gg, gb, bb), covariance)
    return mean(slope), mean(level - _dot(slope, middle))


def _dot(a: Linear, b: Linear) -> Plane:
    return np.asarray(np.einsum("ijk,ijk->ij", a, b), np.float32)


def _solve_symmetric(matrix: tuple[Plane, ...], vector: Linear) -> Linear:
    """Solve a symmetric 3×3 system at every pixel by its adjugate."""
    rr, rg, rb, gg, gb, bb = matrix
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    a, b, c = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    d, e, f = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * a + rg * b + rb * c
    solved = np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], axis=-1)
    return solved / determinant[..., None]


def decontaminate(linear: Linear, alpha: Plane, radius: int) -> Linear:
    """The subject's own colour where it is mixed with the backdrop at its edge.

    Blur-fusion foreground estimation (Forte 2021, "Approximate fast foreground colour estimation"), two passes.
    """
    colour = _fuse(linear, linear, linear, alpha, radius)
    return _fuse(linear, *colour, alpha, max(2, radius // 6))[0]


def _fuse(linear: Linear, front: Linear, back: Linear, alpha: Plane, radius: int) -> tuple[Linear, Linear]:
    weight, rest = alpha[..., None], (1 - alpha)[..., None]
    tiny = np.float32(1e-5)
    front = averaged(front * weight, radius) / (averaged(alpha, radius) + tiny)[..., None]
    back = averaged(back * rest, radius) / (averaged(1 - alpha, radius) + tiny)[..., None]
    mixed = weight * front
    mixed += rest * back
    front += weight * (linear - mixed)
    return np.maximum(front, 0, out=front), back
