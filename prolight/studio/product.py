"""The picture that a shop wants: the subject alone, centred on one ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from prolight.studio.background import SPILL_REACH, parse_colour
from prolight.studio.colour import Linear, Pixels, Plane, to_linear, to_srgb
from prolight.studio.cutout import VISIBLE, Box, extent, remove_background
from prolight.studio.raster import bands, blurred, scaled

MAX_ENLARGEMENT = 4.0
"""Of the subject. Beyond this nothing is left of its sharpness."""
EDGE_MARGIN = 2
"""Pixels around the subject's box that its soft edge may take."""

Shadow = Literal["none", "contact"]
SHADOW_LAYERS = ((0.5, 0.008), (0.4, 0.035))
"""How dark and how soft: right where the subject stands, and around it. Sizes are of the subject's width."""
SHADOW_FLATNESS, SHADOW_RISE = 0.02, 0.05
"""Half the depth of the shadow's trace, and the height above the ground at which it fades."""
SHADOW_END = np.float32(0.004)
"""Darkness below which there is no shadow: the ground is exact there."""


SOFT_ENLARGEMENT = 1.2
"""From this on it shows."""
CUT_SHARE = 0.03
"""Of a side of the frame; a subject that takes more of it goes on behind it."""


class TooSmall(ValueError):
    """The subject would have to be enlarged more than `MAX_ENLARGEMENT` times."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What the frame shall be: ground "#rrggbb", size in pixels, the share of it that the subject takes."""

    colour: str = "#ffffff"
    width: int = 2000
    height: int = 2000
    fill_percent: float = 85.0
    shadow: Shadow = "none"


def product_shot(pixels: Pixels, alpha: Plane, shot: Shot) -> tuple[Pixels, float]:
    """The shot, and how many times the subject was enlarged.

    The subject's longer extent, against the frame, takes `fill_percent` of it; the ground is exactly its colour
    wherever neither subject nor shadow is. Raises `TooSmall`.
    """
    box = extent(alpha)
    scale = shot.fill_percent / 100 * min(shot.width / box.width, shot.height / box.height)
    if scale > MAX_ENLARGEMENT:
        raise TooSmall(
            f"the subject is {box.width} x {box.height} px and would be enlarged {scale:.2g} times, at most "
            f"{MAX_ENLARGEMENT:g} times: ask for a smaller picture or less fill"
        )
    opacity, mixed, top, left = _placed(pixels, alpha, box, scale, shot)
    dark = _contact_shadow(opacity) if shot.shadow == "contact" else None
    ground = parse_colour(shot.colour)
    codes = np.empty((shot.height, shot.width, 3), np.uint8)
    for rows in bands(shot.height):
        lit = np.broadcast_to(ground, codes[rows].shape) if dark is None else ground * (1 - dark[rows])[..., None]
        laid = np.asarray(lit * (1 - opacity[rows])[..., None], np.float32)
        _add(laid, mixed, top - rows.start, left)
        codes[rows] = to_srgb(laid)
    return codes, scale


def _placed(pixels: Pixels, alpha: Plane, box: Box, scale: float, shot: Shot) -> tuple[Plane, Linear, int, int]:
    """The frame's opacity; the scaled subject's colour multiplied by its own, and the frame's row and column of it."""
    margin = EDGE_MARGIN + 4 * round(SPILL_REACH * max(alpha.shape))
    wide = box.grown(margin, *alpha.shape).slices
    inner = Box(
        box.top - wide[0].start, box.bottom - wide[0].start, box.left - wide[1].start, box.right - wide[1].start
    )
    seen = np.ascontiguousarray(alpha[wide])
    around = inner.grown(EDGE_MARGIN, *seen.shape).slices
    own = np.ascontiguousarray(seen[around])
    cut = np.ascontiguousarray(remove_background(np.ascontiguousarray(pixels[wide]), seen).pixels[around])
    size = (max(1, round(own.shape[1] * scale)), max(1, round(own.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    opaque = np.clip(scaled(own, size, method), 0, 1)
    mixed = to_linear(cut)
    mixed *= own[..., None]
    mixed = scaled(mixed, size, method)
    np.maximum(mixed, 0, out=mixed)
    middle = (inner.left + inner.right) / 2 - around[1].start, (inner.top + inner.bottom) / 2 - around[0].start
    left = round(shot.width / 2 - middle[0] * size[0] / own.shape[1])
    top = round(shot.height / 2 - middle[1] * size[1] / own.shape[0])
    opacity = np.zeros((shot.height, shot.width), np.float32)
    _add(opacity, opaque, top, left)
    return opacity, mixed, top, left


def _add(canvas: Linear, part: Linear, top: int, left: int) -> None:
    """Add `part` to the canvas where it lies on it; its first row is the canvas's row `top`."""
    rows = slice(max(0, top), max(0, min(len(canvas), top + len(part))))
    columns = slice(max(0, left), min(canvas.shape[1], left + part.shape[1]))
    if rows.start < rows.stop:
        seen = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        canvas[rows, columns] += part[seen]


def _contact_shadow(opacity: Plane) -> Plane:
    """Darkness 0..1 of the ground: a flat trace under the lowest outline, weaker where that is above the ground."""
    box = extent(opacity)
    visible = opacity >= VISIBLE
    lowest = len(opacity) - np.argmax(visible[::-1], axis=0)
    height = np.where(visible.any(axis=0), box.bottom - lowest, len(opacity)) / np.float32(SHADOW_RISE * box.width)
    flat = max(2.0, SHADOW_FLATNESS * box.width)
    off = np.abs(np.arange(len(opacity), dtype=np.float32)[:, None] - lowest + np.float32(flat / 3))
    trace = np.asarray(np.exp(-(height**2))[None] * (off < flat), np.float32)
    soft = sum(depth * blurred(trace, max(1.0, size * box.width)) for depth, size in SHADOW_LAYERS)
    return np.asarray(np.maximum(soft - SHADOW_END, 0), np.float32)


def doubts(alpha: Plane, scale: float) -> tuple[str, ...]:
    """What a person should know of a shot: a subject that the frame cut, or one that was enlarged."""
    said = []
    if max(float(np.mean(edge >= VISIBLE)) for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])) > CUT_SHARE:
        said.append("The subject is cut by the frame of the photograph, and has a straight edge there.")
    if scale > SOFT_ENLARGEMENT:
        said.append(f"The subject was enlarged {scale:.2g} times and is no sharper than it was.")
    return tuple(said)
