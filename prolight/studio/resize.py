"""Other sizes, in linear light."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from prolight.studio.background import parse_colour
from prolight.studio.colour import Linear, to_linear, to_srgb
from prolight.studio.picture import Picture, as_alpha
from prolight.studio.raster import scaled

MAX_ENLARGEMENT = 2.0
"""Beyond this an enlargement would have to invent what the picture does not show."""
OPAQUE = np.float32(255)

Fit = Literal["inside", "cover", "pad"]


class TooLarge(ValueError):
    """The asked size would enlarge the picture more than `MAX_ENLARGEMENT` times."""


def resize(picture: Picture, width_px: int | None, height_px: int | None, fit: Fit, colour: str) -> Picture:
    """The picture within these sides ("inside"), filling them and cropped ("cover"), or inside and padded ("pad").

    With one side None the other alone decides. Raises `TooLarge`.
    """
    height, width = picture.pixels.shape[:2]
    scales = [side / own for side, own in ((width_px, width), (height_px, height)) if side is not None]
    scale = (max if fit == "cover" else min)(scales, default=1.0)
    if scale > MAX_ENLARGEMENT:
        raise TooLarge(
            f"this would enlarge the picture {scale:.3g} times, at most {MAX_ENLARGEMENT:g} times: "
            f"ask for {int(MAX_ENLARGEMENT * width)} x {int(MAX_ENLARGEMENT * height)} px or less"
        )
    sized = rescale(picture, max(1, round(width * scale)), max(1, round(height * scale)))
    if width_px is None or height_px is None or fit == "inside":
        return sized
    return _cropped(sized, width_px, height_px) if fit == "cover" else _padded(sized, width_px, height_px, colour)


def to_long_side(picture: Picture, long_side_px: int) -> Picture:
    """This long side, in the picture's shape. Raises `TooLarge`."""
    height, width = picture.pixels.shape[:2]
    scale = long_side_px / max(height, width)
    if scale > MAX_ENLARGEMENT:
        limit = int(MAX_ENLARGEMENT * max(height, width))
        raise TooLarge(
            f"long_side_px {long_side_px} is more than {MAX_ENLARGEMENT:g} times the picture: ask for {limit} or less"
        )
    return rescale(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def rescale(picture: Picture, width: int, height: int) -> Picture:
    """Exactly this size: area average where smaller, Lanczos where larger."""
    if picture.pixels.shape[:2] == (height, width):
        return picture
    method = cv2.INTER_AREA if height * width < picture.pixels[..., 0].size else cv2.INTER_LANCZOS4
    linear = to_linear(picture.pixels)
    if picture.alpha is None:
        return Picture(to_srgb(scaled(linear, (width, height), method)))
    alpha = picture.alpha.astype(np.float32) / OPAQUE
    opacity = np.clip(scaled(alpha, (width, height), method), 0, 1)
    mixed = scaled(linear * alpha[..., None], (width, height), method)
    return Picture(to_srgb(_divided(mixed, opacity)), as_alpha(opacity))


def _divided(mixed: Linear, opacity: Linear) -> Linear:
    return np.asarray(mixed / np.maximum(opacity, np.float32(1e-3))[..., None], np.float32)


def _cropped(picture: Picture, width: int, height: int) -> Picture:
    """The middle. Rounding may have left a row too few, which `rescale` makes up for."""
    high, wide = picture.pixels.shape[:2]
    if high < height or wide < width:
        picture = rescale(picture, max(wide, width), max(high, height))
        high, wide = picture.pixels.shape[:2]
    top, left = (high - height) // 2, (wide - width) // 2
    rows, columns = slice(top, top + height), slice(left, left + width)
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha[rows, columns])
    return Picture(np.ascontiguousarray(picture.pixels[rows, columns]), alpha)


def _padded(picture: Picture, width: int, height: int, colour: str) -> Picture:
    """In the middle of a ground of one colour; a transparent picture stays so around it."""
    high, wide = min(picture.pixels.shape[0], height), min(picture.pixels.shape[1], width)
    top, left = (height - high) // 2, (width - wide) // 2
    rows, columns = slice(top, top + high), slice(left, left + wide)
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = to_srgb(parse_colour(colour))
    pixels[rows, columns] = picture.pixels[:high, :wide]
    if picture.alpha is None:
        return Picture(pixels)
    alpha = np.zeros((height, width), np.uint8)
    alpha[rows, columns] = picture.alpha[:high, :wide]
    return Picture(pixels, alpha)
