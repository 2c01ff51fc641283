"""White balance: take out the cast that is there, put in the look that is wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prolight.studio.colour import (
    DAYLIGHT_KELVIN,
    LUMA_WEIGHTS,
    Linear,
    Pixels,
    channel_range,
    light_colour,
    shoulder,
    to_linear,
    toned,
)
from prolight.studio.raster import bands, fitted, reduced

MEASURE_SIDE = 128
DARKEST, BRIGHTEST = 0.01, 0.98
"""Linear values outside of which a pixel tells nothing of the light's colour."""
NORM = 6
"""Of shades of grey (Finlayson & Trezzi 2004)."""
NEAR = 0.2
"""Natural logarithm of a ratio of channels by which colours count as the same light on greys."""
LEAST_SHARE = 0.08
"""Of the pixels; when fewer agree on a cast, it is the colour of things."""
STRONGEST_CAST = 0.9
"""Natural logarithm of a ratio of channels beyond which it is no cast but a coloured picture."""
TINT_STOPS = 0.5
"""Green against magenta at full tint."""
BURNT = 0.9
"""From this linear value on a pixel nears white in all channels, and has lost the cast that it had."""
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Cast:
    """The colour of the light on greys, linear RGB at luminance 1; `found` is False where the picture shows none."""

    colour: npt.NDArray[np.float64]
    found: bool


def measure_cast(pixels: Pixels) -> Cast:
    """Halfway between two witnesses: shades of grey, which what is bright rules, and the cluster of colours nearest
    to that (mean shift), which what is most rules. A painted wall alone, or one golden highlight, is no light.
    """
    small = to_linear(reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], MEASURE_SIDE)))
    rgb = small.reshape(-1, 3).astype(np.float64)
    rgb = rgb[(rgb.max(axis=1) < BRIGHTEST) & (rgb.min(axis=1) > DARKEST)]
    if len(rgb) < 32:
        return Cast(np.ones(3), found=False)
    ratios = _ratios(rgb)
    bright = _ratios((np.mean(rgb**NORM, axis=0) ** (1 / NORM))[None])[0]
    most = bright
    near = np.ones(len(rgb))
    for _ in range(_ROUNDS):
        near = np.exp(-np.sum((ratios - most) ** 2, axis=1) / (2 * NEAR**2))
        if near.sum() < 1e-6:
            break
        most = near @ ratios / near.sum()
    middle = (bright + most) / 2
    if near.mean() < LEAST_SHARE or np.abs(middle).max() > STRONGEST_CAST:
        return Cast(np.ones(3), found=False)
    colour = np.exp([middle[0], 0.0, middle[1]])
    return Cast(colour / (colour @ LUMA_WEIGHTS), found=True)


def _ratios(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ln(r/g) and ln(b/g)."""
    return np.asarray(np.log(rgb[:, [0, 2]] / rgb[:, [1]]), np.float64)


def white_balance(pixels: Pixels, cast: Cast, neutralise: float, kelvin: float, tint: float) -> Pixels:
    """Take `neutralise` (0..1) of the cast out, then light with `kelvin` and `tint` (−1 green, +1 magenta)."""
    correction = cast.colour**-neutralise
    look = light_colour(kelvin).astype(np.float64) * _tint(tint)
    if np.allclose(correction, 1, atol=1e-6) and kelvin == DAYLIGHT_KELVIN and not tint:
        return pixels
    neutral, gain = (part.astype(np.float32) for part in (correction - 1, look))

    def balanced(linear: Linear, _: slice) -> Linear:
        if not neutralise or not cast.found:
            return linear * gain
        # What is white in all channels was burnt out: its cast is gone, and taking it out would colour it.
        kept = np.clip((channel_range(linear)[0] - np.float32(BURNT)) / np.float32(1 - BURNT), 0, 1)
        return np.asarray(linear * (1 + neutral * (1 - kept[..., None])) * gain, np.float32)

    brightest = max(float(balanced(to_linear(pixels[rows]), rows).max()) for rows in bands(len(pixels)))
    return toned(pixels, lambda linear, rows: shoulder(balanced(linear, rows), brightest))


def _tint(tint: float) -> npt.NDArray[np.float64]:
    """Gain of green against red and blue, at unchanged luminance."""
    gain = np.exp2(np.array([tint, -tint, tint]) * TINT_STOPS / 2)
    return np.asarray(gain / (gain @ LUMA_WEIGHTS), np.float64)
