"""Resizing and blurring of pixel arrays, with their types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.uint8, np.float32)

BAND_ROWS = 64
"""Rows that are worked on at a time where each pixel stands alone: what is in hand then fits a processor's cache."""
LEAST_SIDE = 8
"""The shortest side, in pixels, to which a picture is reduced for work."""


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """Width and height with the long side at most `side`: never larger than given."""
    scale = min(1.0, side / max(height, width))
    return max(LEAST_SIDE, round(width * scale)), max(LEAST_SIDE, round(height * scale))


def bands(height: int) -> Iterator[slice]:
    """The rows of a picture, `BAND_ROWS` at a time."""
    return (slice(top, top + BAND_ROWS) for top in range(0, height, BAND_ROWS))


def strips(height: int, rows: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows to be made, the rows that are looked at for them, and where in these they lie.

    For work that looks up to `margin` rows around each pixel: no seam shows.
    """
    for top in range(0, height, rows):
        bottom, first = min(height, top + rows), max(0, top - margin)
        yield slice(top, bottom), slice(first, min(height, bottom + margin)), slice(top - first, bottom - first)


def size_of(pixels: npt.NDArray[Number]) -> tuple[int, int]:
    """Width and height."""
    return pixels.shape[1], pixels.shape[0]


def reduced(pixels: npt.NDArray[Number], size: tuple[int, int]) -> npt.NDArray[Number]:
    """Resized to (width, height) by the average over area."""
    return scaled(pixels, size, cv2.INTER_AREA)


def scaled(pixels: npt.NDArray[Number], size: tuple[int, int], method: int = cv2.INTER_LINEAR) -> npt.NDArray[Number]:
    """Resized to (width, height) by an OpenCV interpolation method."""
    return cast("npt.NDArray[Number]", cv2.resize(pixels, size, interpolation=method))


def stretched_rows(small: npt.NDArray[np.float32], height: int, rows: slice) -> npt.NDArray[np.float32]:
    """`rows` of `small` after it was stretched to `height` rows by linear interpolation."""
    places = (np.arange(height, dtype=np.float64)[rows] + 0.5) * (len(small) / height) - 0.5
    places = np.clip(places, 0, len(small) - 1)
    above = np.floor(places).astype(np.intp)
    below = np.minimum(above + 1, len(small) - 1)
    share = (places - above).astype(np.float32).reshape(-1, *[1] * (small.ndim - 1))
    return np.asarray(small[above] * (1 - share) + small[below] * share, np.float32)


def blurred(pixels: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """Gaussian blur; `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)


def averaged(pixels: npt.NDArray[np.float32], radius: int) -> npt.NDArray[np.float32]:
    """Mean over a square of 2 · radius + 1 pixels a side."""
    return np.asarray(cv2.blur(pixels, (2 * radius + 1, 2 * radius + 1)), np.float32)
