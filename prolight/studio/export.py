"""The finished file: size and format."""

from __future__ import annotations

import cv2

from prolight.studio.codec import Format, encode
from prolight.studio.colour import Pixels, to_linear, to_srgb
from prolight.studio.raster import scaled

MAX_ENLARGEMENT = 2.0
"""Beyond this an enlargement would have to invent what the picture does not show."""


class TooLarge(ValueError):
    """The asked size would enlarge the picture more than `MAX_ENLARGEMENT` times."""


def export(pixels: Pixels, form: Format, long_side_px: int | None, quality: int) -> bytes:
    """The encoded file. Raises `TooLarge`."""
    sized = pixels if long_side_px is None else resize(pixels, long_side_px)
    return encode(sized, form, quality)


def resize(pixels: Pixels, long_side_px: int) -> Pixels:
    """Scale to this long side in linear light: area average when smaller, Lanczos when larger."""
    height, width = pixels.shape[:2]
    scale = long_side_px / max(height, width)
    if scale == 1:
        return pixels
    if scale > MAX_ENLARGEMENT:
        limit = int(MAX_ENLARGEMENT * max(height, width))
        raise TooLarge(
            f"long_side_px {long_side_px} is more than {MAX_ENLARGEMENT:g} times the picture: ask for {limit} or less"
        )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return to_srgb(scaled(to_linear(pixels), size, method))
