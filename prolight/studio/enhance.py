"""Clearer without inventing anything: less noise, more local contrast, sharper edges; larger."""

from __future__ import annotations

import cv2
import numpy as np

from prolight.studio.colour import Linear, Pixels, Plane, into_gamut, toned
from prolight.studio.picture import Picture
from prolight.studio.raster import averaged, blurred, strips
from prolight.studio.resize import rescale
from prolight.studio.tones import stops, surroundings

LOCAL_REACH = 0.04
LOCAL_GAIN = 0.8
"""By how much differences from the surroundings grow at full local contrast."""
LOCAL_LIMIT = np.float32(1.0)
"""Stops by which local contrast changes a pixel at most."""
SHARPEN_SIGMA, SHARPEN_GAIN = 1.0, 1.5
OVERSHOOT = 4.0
"""Codes by which a sharpened edge may leave the range of what is around it: more is a halo."""
NOISE_RADIUS = 2
CHROMA_FACTOR = 4.0
"""Noise of colour is taken out so much more strongly than noise of brightness: the eye misses it less."""
STRIP_ROWS = 256
"""Rows that are worked on at a time, which bounds the memory that a large picture takes."""
LANCZOS_REACH = 4
MEASURE_ROWS = 1024
"""From the middle of the picture, to measure its noise in."""
NOISE_FLOOR = 0.6
"""Codes (0..255) of noise that rounding alone makes."""


def enhance_image(pixels: Pixels, denoise: float = 0, local_contrast: float = 0, sharpen: float = 0) -> Pixels:
    """Each 0..1, 0 changes nothing, in this order: what was noise is not made clearer."""
    if denoise:
        pixels = _denoised(pixels, denoise)
    if local_contrast:
        pixels = _local_contrast(pixels, local_contrast)
    return sharpened(pixels, sharpen, SHARPEN_SIGMA) if sharpen else pixels


def increase_resolution(picture: Picture, factor: int) -> Picture:
    """2 or 4 times the sides: Lanczos and an unsharp mask. Nothing that the picture does not show is added."""
    height, width = picture.pixels.shape[:2]
    pixels = np.empty((height * factor, width * factor, 3), np.uint8)
    alpha = None if picture.alpha is None else np.empty(pixels.shape[:2], np.uint8)
    for made, seen, part in strips(height, STRIP_ROWS, LANCZOS_REACH):
        strip = Picture(picture.pixels[seen], None if picture.alpha is None else picture.alpha[seen])
        large = rescale(strip, width * factor, len(strip.pixels) * factor)
        to, of = (slice(rows.start * factor, rows.stop * factor) for rows in (made, part))
        pixels[to] = large.pixels[of]
        if alpha is not None and large.alpha is not None:
            alpha[to] = large.alpha[of]
    return Picture(sharpened(pixels, 0.5, SHARPEN_SIGMA * factor / 2), alpha)


def sharpened(pixels: Pixels, amount: float, sigma: float) -> Pixels:
    """An unsharp mask on brightness, held within what is around each pixel.

    It works on codes, which are even steps to the eye: in linear light bright sides of edges would get more.
    """
    reach = 2 * int(np.ceil(sigma)) + 1
    box = np.ones((reach, reach), np.uint8)
    slack = np.float32(OVERSHOOT * amount)
    codes = np.empty_like(pixels)
    for made, seen, part in strips(len(pixels), STRIP_ROWS, int(np.ceil(5 * sigma)) + reach):
        luma = _luma(pixels[seen])
        sharp = luma + np.float32(SHARPEN_GAIN * amount) * (luma - blurred(luma, sigma))
        low, high = np.asarray(cv2.erode(luma, box), np.float32), np.asarray(cv2.dilate(luma, box), np.float32)
        codes[made] = _shifted(pixels[made], (np.clip(sharp, low - slack, high + slack) - luma)[part])
    return codes


def _local_contrast(pixels: Pixels, amount: float) -> Pixels:
    around = surroundings(pixels, LOCAL_REACH)

    def clearer(linear: Linear, rows: slice) -> Linear:
        tone = stops(linear)
        own = np.float32(LOCAL_GAIN * amount) * (tone - around.tone(tone, rows))
        return into_gamut(linear * np.exp2(np.clip(own, -LOCAL_LIMIT, LOCAL_LIMIT))[..., None])

    return toned(pixels, clearer)


def _denoised(pixels: Pixels, amount: float) -> Pixels:
    """A guided filter (He, Sun & Tang 2013) as strong as the noise that is there, on codes, where noise is even."""
    middle = max(0, len(pixels) - MEASURE_ROWS) // 2
    noise = max(NOISE_FLOOR, measure_noise(_luma(pixels[middle : middle + MEASURE_ROWS])))
    codes = np.empty_like(pixels)
    for made, seen, part in strips(len(pixels), STRIP_ROWS, 2 * NOISE_RADIUS + 1):
        guide = _luma(pixels[seen])
        luma = _smooth(guide, guide, (2.0 * amount * noise) ** 2)
        for channel in range(3):
            tint = pixels[seen][..., channel].astype(np.float32) - guide
            calm = _smooth(guide, tint, (CHROMA_FACTOR * amount * noise) ** 2)
            codes[made, :, channel] = np.clip(np.round(luma + calm), 0, 255)[part]
    return codes


def measure_noise(luma: Plane) -> float:
    """Standard deviation of the noise in codes, by Immerkær 1996, with the median in place of the mean."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(luma, -1, kernel)))) / (0.6745 * 6)


def _smooth(guide: Plane, target: Plane, eps: float) -> Plane:
    middle, level = averaged(guide, NOISE_RADIUS), averaged(target, NOISE_RADIUS)
    variance = averaged(guide * guide, NOISE_RADIUS) - middle * middle
    together = averaged(guide * target, NOISE_RADIUS) - middle * level
    slope = np.asarray(together / (np.maximum(variance, 0) + np.float32(eps)), np.float32)
    offset = level - slope * middle
    return averaged(slope, NOISE_RADIUS) * guide + averaged(offset, NOISE_RADIUS)


def _luma(pixels: Pixels) -> Plane:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def _shifted(pixels: Pixels, by: Plane) -> Pixels:
    return np.clip(np.round(pixels + by[..., None]), 0, 255).astype(np.uint8)
