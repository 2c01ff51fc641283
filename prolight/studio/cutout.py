"""The subject alone: its own colours, transparent around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from prolight.studio.background import clean_strips
from prolight.studio.colour import Pixels, Plane, to_linear, to_srgb
from prolight.studio.picture import Picture, as_alpha

VISIBLE = 0.5
"""Alpha from which a pixel counts for where the subject ends."""
TRACE = np.float32(1 / 512)
"""Alpha below which nothing is kept: half a code."""


class Box(NamedTuple):
    """Rows `top` to `bottom`, columns `left` to `right`, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, by: int, height: int, width: int) -> Box:
        """Larger by that many pixels on each side, within the picture."""
        return Box(
            max(0, self.top - by), min(height, self.bottom + by), max(0, self.left - by), min(width, self.right + by)
        )


def remove_background(pixels: Pixels, alpha: Plane) -> Picture:
    """The subject with the backdrop's colour taken out of its edge; black where nothing is left of it."""
    codes = np.zeros_like(pixels)
    for rows, subject in clean_strips(to_linear(pixels), alpha):
        codes[rows] = to_srgb(subject * (alpha[rows, :, None] > TRACE))
    return Picture(codes, as_alpha(alpha))


def crop_out_foreground(pixels: Pixels, alpha: Plane, margin_percent: float = 0) -> Picture:
    """The subject alone, cropped to its outline and a margin in percent of its longer extent.

    Where the margin reaches beyond the picture, the rest of it is transparent.
    """
    box = extent(alpha)
    cut = remove_background(pixels, alpha)
    margin = round(margin_percent / 100 * max(box.height, box.width))
    around = ((margin, margin), (margin, margin))
    assert cut.alpha is not None
    inner = cut.pixels[box.slices], cut.alpha[box.slices]
    if not margin:
        return Picture(np.ascontiguousarray(inner[0]), np.ascontiguousarray(inner[1]))
    return Picture(np.pad(inner[0], (*around, (0, 0))), np.pad(inner[1], around))


def extent(alpha: Plane) -> Box:
    """The smallest box around the visible subject, or the whole picture where nothing is visible."""
    visible = alpha >= VISIBLE
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return Box(0, alpha.shape[0], 0, alpha.shape[1])
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
