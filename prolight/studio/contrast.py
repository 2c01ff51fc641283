"""Contrast around middle grey, and saturation."""

from __future__ import annotations

import numpy as np

from prolight.studio.colour import MIDDLE_GREY, Linear, Pixels, Plane, into_gamut, luminance, toned

PERCEIVED_GREY = np.float32(MIDDLE_GREY ** (1 / 2.4))
MORE_COLOUR = 0.6
DARKEST = np.float32(1e-6)


def adjust_contrast(pixels: Pixels, amount: float, saturation: float = 0) -> Pixels:
    """Both −1..1, 0 changes nothing. Black, middle grey and white keep their places, colours their hue.

    At −1 colours are grey, at +1 they are `MORE_COLOUR` further from it, as far as sRGB reaches.
    """
    if not (amount or saturation):
        return pixels

    colour = np.float32(1 + saturation * (MORE_COLOUR if saturation > 0 else 1))

    def changed(linear: Linear, _: slice) -> Linear:
        light = luminance(linear)
        bent = _bend(light, amount) if amount else light
        coloured = linear * (bent / np.maximum(light, DARKEST))[..., None]
        grey = bent[..., None]
        return into_gamut(np.asarray(grey + colour * (coloured - grey), np.float32))

    return toned(pixels, changed)


def _bend(light: Plane, amount: float) -> Plane:
    """An S of slope 2^amount at middle grey on perceived brightness; −amount undoes amount exactly.

    Each half is t / (t + s·(1 − t)), whose slope stays between 1/s and s: no black gets steeper than that.
    """
    steepness = np.float32(2.0**amount)
    seen = np.power(np.clip(light, 0, 1), np.float32(1 / 2.4))
    grey = PERCEIVED_GREY
    low, high = np.minimum(seen / grey, 1), np.minimum((1 - seen) / (1 - grey), 1)
    below = grey * low / (low + steepness * (1 - low))
    above = 1 - (1 - grey) * high / (high + steepness * (1 - high))
    return np.asarray(np.power(np.where(seen < grey, below, above), np.float32(2.4)), np.float32)
