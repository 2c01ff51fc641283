"""Colour in linear light: the sRGB curve, luminance, the colour of a light, the shoulder near white."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.raster import bands

# One thread and none of OpenCV's processor-specific paths, so that the same picture gives the same bits again.
cv2.setNumThreads(1)
cv2.setUseOptimized(False)

Pixels = npt.NDArray[np.uint8]
"""Height × width × 3, sRGB-encoded RGB."""
Linear = npt.NDArray[np.float32]
"""Height × width × 3, linear-light RGB with sRGB primaries; 1.0 is display white, values above it are allowed."""
Plane = npt.NDArray[np.float32]
"""Height × width."""

MIDDLE_GREY = 0.18
LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Luminance of linear RGB with sRGB primaries (IEC 61966-2-1)."""

DAYLIGHT_KELVIN = 5500
"""The light that changes no colour: pictures are balanced for photographic daylight and flash."""
ADAPTATION = 0.55
"""How much of a light's distance to daylight, in mired, the viewer's eye takes back. The full gain of a
3200 K lamp triples red over blue, which no photographer would leave in a picture; half is what is left
when a camera set between the two takes it."""

SHOULDER_START = 0.8
"""Linear value up to which light is passed on unchanged."""
WHITE_LIMIT = 6.0
"""The brightest linear value that the shoulder still keeps apart from white."""

_ENCODE_STEPS = 65535


@cache
def _decode_table() -> Plane:
    code = np.arange(256, dtype=np.float64) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


@cache
def _encode_table() -> npt.NDArray[np.uint8]:
    linear = np.arange(_ENCODE_STEPS + 1, dtype=np.float64) / _ENCODE_STEPS
    code = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)


def to_linear(pixels: Pixels) -> Linear:
    """sRGB codes (0..255) to linear light (0..1). IEC 61966-2-1."""
    return np.asarray(cv2.LUT(pixels, _decode_table()), np.float32)


def to_srgb(linear: Linear) -> Pixels:
    """Linear light to sRGB codes, rounded; values outside 0..1 are clipped. Inverse of `to_linear`."""
    codes = np.empty(linear.shape, np.uint8)
    for rows in bands(len(linear)):
        steps = np.clip(linear[rows], 0, 1) * np.float32(_ENCODE_STEPS) + np.float32(0.5)
        codes[rows] = np.take(_encode_table(), steps.astype(np.uint16))
    return codes


def toned(pixels: Pixels, tone: Callable[[Linear, slice], Linear]) -> Pixels:
    """`tone` on linear light, some rows at a time, which bounds the memory that a large picture takes."""
    codes = np.empty_like(pixels)
    for rows in bands(len(pixels)):
        codes[rows] = to_srgb(tone(to_linear(pixels[rows]), rows))
    return codes


def luminance(linear: Linear) -> Plane:
    """Relative luminance Y of linear RGB."""
    return np.asarray(cv2.transform(linear, LUMA_WEIGHTS.reshape(1, 3)), np.float32).reshape(linear.shape[:2])


def planckian_rgb(kelvin: float) -> npt.NDArray[np.float64]:
    """Linear sRGB of a black body, scaled to luminance 1.

    The chromaticity is the cubic of Kang et al. 2002, J. Korean Phys. Soc. 41(6) 865, for 1667..25000 K.
    """
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    if kelvin <= 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif kelvin <= 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    to_rgb = np.array(
        [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
    )
    rgb = np.clip(to_rgb @ xyz, 0, None)
    scaled: npt.NDArray[np.float64] = rgb / (rgb @ LUMA_WEIGHTS)
    return scaled


def light_colour(kelvin: float) -> npt.NDArray[np.float32]:
    """What a light of this colour temperature does to linear RGB, at unchanged luminance; daylight does nothing.

    The distance to `DAYLIGHT_KELVIN` is measured in mired (10⁶/K, about even steps to the eye), and
    `ADAPTATION` of it is taken back.
    """
    daylight = 1e6 / DAYLIGHT_KELVIN
    seen = daylight + (1 - ADAPTATION) * (1e6 / kelvin - daylight)
    gain = planckian_rgb(1e6 / seen) / planckian_rgb(DAYLIGHT_KELVIN)
    return (gain / (gain @ LUMA_WEIGHTS)).astype(np.float32)


def shoulder(linear: Linear, brightest: float | None = None) -> Linear:
    """Bring light above white back into 0..1: exactly linear up to `SHOULDER_START`, then a soft roll-off.

    Extended Reinhard (Reinhard et al. 2002, eq. 4) on what lies above the start, with the picture's own
    maximum (`brightest`, where `linear` is a part of it) as white point: a picture without anything above
    white passes unchanged.
    """
    room = 1 - np.float32(SHOULDER_START)
    top = float(linear.max()) if brightest is None else brightest
    white = (min(max(top, 1.0), WHITE_LIMIT) - SHOULDER_START) / float(room)
    if white <= 1:
        return linear
    rolled = np.minimum(linear, np.float32(SHOULDER_START))
    for rows in bands(len(linear)):
        over = np.maximum(linear[rows] - np.float32(SHOULDER_START), 0) / room
        rolled[rows] += room * over * (1 + over / np.float32(white**2)) / (1 + over)
    return rolled


def into_gamut(linear: Linear) -> Linear:
    """Colours outside 0..1 moved towards the grey of their luminance until they fit; hue and luminance stay."""
    least, most = channel_range(linear)
    if least.min() >= 0 and most.max() <= 1:
        return linear
    grey = np.clip(luminance(linear), 0, 1)
    tiny = np.float32(1e-6)
    above = np.where(most > 1, (1 - grey) / np.maximum(most - grey, tiny), np.float32(1))
    below = np.where(least < 0, grey / np.maximum(grey - least, tiny), np.float32(1))
    return np.asarray(grey[..., None] + np.minimum(above, below)[..., None] * (linear - grey[..., None]), np.float32)


def channel_range(linear: Linear) -> tuple[Plane, Plane]:
    """The least and the greatest of each pixel's channels."""
    red, green, blue = (linear[..., channel] for channel in range(3))
    least = np.minimum(np.minimum(red, green), blue)
    return least, np.maximum(np.maximum(red, green), blue)
