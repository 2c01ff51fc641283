"""A plain new background behind the subject."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prolight.studio.colour import Linear, Pixels, Plane, to_linear
from prolight.studio.matte import decontaminate

SPILL_REACH = 0.02
"""How far, of the long side, clean colour is looked for around a mixed edge pixel."""
STRIP_ROWS = 192
"""Rows that are cleaned at a time, which bounds the memory that a large picture takes."""


def replace_background(linear: Linear, alpha: Plane, colour: str) -> Linear:
    """Lay the subject on `colour` ("#rrggbb") in linear light; where `alpha` is 0 the colour is exact."""
    laid = np.empty_like(linear)
    behind = parse_colour(colour)
    for rows, subject in clean_strips(linear, alpha):
        laid[rows] = behind + alpha[rows, :, None] * (subject - behind)
    return laid


def clean_strips(linear: Linear, alpha: Plane) -> Iterator[tuple[slice, Linear]]:
    """The subject's own colours, free of the backdrop's, some rows at a time."""
    reach = max(4, round(SPILL_REACH * max(alpha.shape)))
    for top in range(0, len(linear), STRIP_ROWS):
        # Two blurs look around each pixel, so a margin of two reaches leaves no seam between strips.
        above = min(top, 2 * reach)
        around = slice(top - above, top + STRIP_ROWS + 2 * reach)
        subject = decontaminate(linear[around], alpha[around], reach)[above : above + STRIP_ROWS]
        yield slice(top, top + STRIP_ROWS), subject


def parse_colour(colour: str) -> Linear:
    """Linear RGB of "#rrggbb", shaped 1×1×3."""
    codes: Pixels = np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8).reshape(1, 1, 3)
    return to_linear(codes)
