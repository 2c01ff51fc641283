"""Pictures to test with: the photographs of tests/photos, and small ones that are drawn."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from prolight.studio.codec import decode
from prolight.studio.colour import Linear, Pixels, Plane
from prolight.studio.mask import Subject, find_subject
from prolight.studio.raster import fitted, reduced

PHOTOS = Path(__file__).parents[2] / "photos"
HELMET, VASE = "demo-helmet.jpg", "demo-vase.jpg"
DUFFEL, CONSOLE = "duffel-textile-white-background.jpg", "console-wood-white-background.jpg"
HEADSET = "headset-thin-parts-holes.jpg"
CAT, SWITCH, MARBLES = "cat-hair-fills-frame.jpg", "switch-macro-fills-frame.jpg", "marbles-glass-cluttered.jpg"
PLAIN = (HELMET, VASE, DUFFEL, CONSOLE, HEADSET)
UNCLEAR = (CAT, SWITCH, MARBLES)


@cache
def photo(name: str, side: int = 2000) -> Pixels:
    pixels = decode((PHOTOS / name).read_bytes()).pixels
    return reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], side))


@cache
def subject_of(name: str, side: int = 2000) -> Subject:
    return find_subject(photo(name, side))


def disc(size: int = 160, radius: float = 0.3, centre: float = 0.5) -> Plane:
    """The alpha of a disc with a soft edge, in the middle of the height."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
    distance = np.hypot(x - centre * size, y - size / 2)
    return np.asarray(np.clip(radius * size - distance + np.float32(0.5), 0, 1), np.float32)


def ball(size: int = 160, grey: float = 0.1, backdrop: float = 0.3) -> tuple[Linear, Plane]:
    """A flat disc in linear light before a flat wall, and its alpha."""
    alpha = disc(size)
    level = backdrop + alpha * np.float32(grey - backdrop)
    return np.repeat(level[..., None], 3, axis=2).astype(np.float32), alpha


def noise(size: int = 160, seed: int = 5) -> Pixels:
    """Coarse coloured clutter without any subject."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def flat(level: int, size: int = 64) -> Pixels:
    return np.full((size, size, 3), level, np.uint8)


def as_file(pixels: Pixels, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()
