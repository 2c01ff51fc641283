"""What each operation of the studio costs at one megapixel on one core, beside Pillow or OpenCV alone, and how much
memory the studio takes.

An operation here is pixels to pixels: reading and writing files are figures of their own, and so is finding the mask,
which the operations are given. A counterpart is the nearest single call that either library has; it does less.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prolight.bench.parts import bundled_picture, picture_size
from prolight.bench.relight import one_core
from prolight.bench.terms import BenchFailed, Effort, Figures, Goal, Say, rounded

if TYPE_CHECKING:
    from prolight.studio.colour import Pixels, Plane

FULL, QUICK = Effort(repeat=1, runs=5), Effort(repeat=1, runs=1)
CALLS, CALL_PIXELS = 4, 1_000_000
HUGE_PIXELS = 49_900_000
"""As large as pictures are let in."""
GOALS = (Goal("peak_mb_of_4_calls", at_most=400), Goal("peak_mb_of_50_megapixels", at_most=1500))
MEMORY_SECONDS = 600

Work = Callable[[], Any]


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """`cpu_seconds` by operation, `times_counterpart` where there is one; `peak_mb_…` of whole studios."""
    pixels, alpha = _picture()
    seconds: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with one_core() as pinned:
        counterparts = _counterparts(pixels, alpha)
        for name, work in _operations(pixels, alpha).items():
            seconds[name] = _cpu(work, effort.runs)
            if name in counterparts:
                ratios[name] = rounded(seconds[name] / _cpu(counterparts[name], effort.runs), 2)
            say(f"{name} {seconds[name]:.3f} s")
    many = _memory(home, CALL_PIXELS, CALLS)
    huge = _memory(home, HUGE_PIXELS, 1)
    return {
        "cpu_seconds": {name: rounded(value, 2) for name, value in seconds.items()},
        "times_counterpart": ratios,
        "peak_mb_of_4_calls": many["peak_mb"],
        "peak_mb_of_50_megapixels": huge["peak_mb"],
        "done_at_50_megapixels": huge["done"],
        "refused_at_50_megapixels": huge["refused"],
        "megapixels": rounded(pixels.shape[0] * pixels.shape[1] / 1e6, 3),
        "one_core": pinned,
    }


def _cpu(work: Work, runs: int) -> float:
    """The median processor time of some runs, after one that warms up."""
    work()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def _picture() -> tuple[Pixels, Plane]:
    """The demo picture at one megapixel, and its subject."""
    from prolight.studio.codec import decode
    from prolight.studio.mask import find_subject
    from prolight.studio.raster import scaled

    pixels = scaled(decode(bundled_picture()).pixels, picture_size(CALL_PIXELS))
    return pixels, find_subject(pixels).alpha


def _operations(pixels: Pixels, alpha: Plane) -> Mapping[str, Work]:
    from prolight.studio.background import replace_background
    from prolight.studio.balance import measure_cast, white_balance
    from prolight.studio.blur import blur_background
    from prolight.studio.codec import decode, encode, encode_lossless
    from prolight.studio.colour import to_linear, to_srgb
    from prolight.studio.contrast import adjust_contrast
    from prolight.studio.cutout import crop_out_foreground, remove_background
    from prolight.studio.enhance import enhance_image, increase_resolution
    from prolight.studio.exposure import adjust_exposure
    from prolight.studio.light import Light, Lighting, relight
    from prolight.studio.mask import find_subject
    from prolight.studio.picture import Picture
    from prolight.studio.product import Shot, product_shot
    from prolight.studio.resize import resize

    lighting = Lighting(
        key=Light(azimuth_deg=-45, elevation_deg=35, ev=0.5), rim=Light(azimuth_deg=160, elevation_deg=30, ev=0.5)
    )
    picture, written = Picture(pixels), encode_lossless(Picture(pixels))
    height, width = alpha.shape
    return {
        "decode": lambda: decode(written),
        "encode_lossless": lambda: encode_lossless(picture),
        "export": lambda: encode(picture, "jpeg", 92),
        "find_subject": lambda: find_subject(pixels),
        "relight": lambda: to_srgb(relight(to_linear(pixels), alpha, lighting)),
        "white_balance": lambda: white_balance(pixels, measure_cast(pixels), 1, 4200, 0.1),
        "adjust_exposure": lambda: adjust_exposure(pixels, 0.5),
        "adjust_exposure_local": lambda: adjust_exposure(pixels, 0.5, 1, -1),
        "adjust_contrast": lambda: adjust_contrast(pixels, 0.3, 0.2),
        "enhance_denoise": lambda: enhance_image(pixels, denoise=0.5),
        "enhance_local_contrast": lambda: enhance_image(pixels, local_contrast=0.5),
        "enhance_sharpen": lambda: enhance_image(pixels, sharpen=0.5),
        "replace_background": lambda: to_srgb(replace_background(to_linear(pixels), alpha, "#ffffff")),
        "remove_background": lambda: remove_background(pixels, alpha),
        "blur_background": lambda: blur_background(pixels, alpha, 0.7),
        "crop_out_foreground": lambda: crop_out_foreground(pixels, alpha),
        "product_shot": lambda: product_shot(pixels, alpha, Shot(width=width, height=height)),
        "increase_resolution": lambda: increase_resolution(picture, 2),
        "resize": lambda: resize(picture, width // 2, None, "inside", "#ffffff"),
    }


def _counterparts(pixels: Pixels, alpha: Plane) -> Mapping[str, Work]:
    """The same by one call of Pillow or OpenCV, on codes."""
    import cv2
    import numpy as np
    from PIL import Image, ImageEnhance, ImageFilter

    from prolight.studio.picture import as_alpha

    image, mask = Image.fromarray(pixels), Image.fromarray(as_alpha(alpha))
    ground = Image.new("RGB", image.size, "white")
    curves = [min(255, round(code * gain)) for gain in (1.1, 1.0, 0.8) for code in range(256)]
    small = cv2.resize(pixels, (400, 400), interpolation=cv2.INTER_AREA)

    def grab_cut() -> None:
        seeds, models = np.zeros(small.shape[:2], np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
        cv2.grabCut(small, seeds, (20, 20, 360, 360), *models, 5, cv2.GC_INIT_WITH_RECT)

    return {
        "export": lambda: image.save(io.BytesIO(), "JPEG", quality=92, optimize=True),
        "find_subject": grab_cut,
        "white_balance": lambda: image.point(curves),
        "adjust_exposure": lambda: ImageEnhance.Brightness(image).enhance(1.4),
        "adjust_contrast": lambda: ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(1.3)).enhance(1.2),
        "enhance_denoise": lambda: cv2.bilateralFilter(pixels, 5, 20, 20),
        "enhance_sharpen": lambda: image.filter(ImageFilter.UnsharpMask(1, 75, 0)),
        "replace_background": lambda: Image.composite(image, ground, mask),
        "blur_background": lambda: Image.composite(image, image.filter(ImageFilter.GaussianBlur(20)), mask),
        "increase_resolution": lambda: image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS),
        "resize": lambda: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    }


def _memory(home: Path, pixels: int, calls: int) -> dict[str, Any]:
    """What a studio in a process of its own reports. Raises `BenchFailed`."""
    done = subprocess.run(
        [sys.executable, "-m", "prolight.bench.studio_memory", str(home), str(pixels), str(calls)],
        capture_output=True,
        text=True,
        timeout=MEMORY_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchFailed(f"the studio ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    reported: dict[str, Any] = json.loads(done.stdout)
    return reported
