"""Every operation of the studio on a few photographs, on one sheet to be looked at.

`python -m tests.unit.studio.contact_sheet` writes `contact_sheet.jpg` beside this file. A test makes sure that the
committed sheet shows all of the operations.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from prolight.studio.background import replace_background
from prolight.studio.balance import measure_cast, white_balance
from prolight.studio.blur import blur_background
from prolight.studio.colour import Pixels, Plane, to_linear, to_srgb
from prolight.studio.contrast import adjust_contrast
from prolight.studio.cutout import crop_out_foreground, remove_background
from prolight.studio.enhance import enhance_image, increase_resolution
from prolight.studio.exposure import adjust_exposure
from prolight.studio.light import Light, Lighting, relight
from prolight.studio.picture import Picture
from prolight.studio.product import Shot, product_shot
from prolight.studio.raster import fitted, reduced, size_of
from prolight.studio.resize import resize

from .pictures import DUFFEL, HELMET, VASE, photo, subject_of

SHEET = Path(__file__).with_name("contact_sheet.jpg")
SHOWN = (HELMET, VASE, DUFFEL, "armchair-textile-bright-room.jpg", "tray-matte-cast-shadow.jpg")
SIDE, CELL, LABEL = 900, 160, 16
QUALITY = 75

Operation = Callable[[Pixels, Plane], Pixels]
KEY = Light(azimuth_deg=-50, elevation_deg=35, ev=0.3, kelvin=4200)
RIM = Light(azimuth_deg=150, elevation_deg=30, ev=0.5, kelvin=7500)


def _checked(picture: Picture) -> Pixels:
    """On a chequered ground, so that what is transparent shows."""
    assert picture.alpha is not None
    rows, columns = np.indices(picture.alpha.shape) // 24
    ground = np.where((rows + columns) % 2, 200, 255).astype(np.float32)[..., None]
    alpha = picture.alpha.astype(np.float32)[..., None] / 255
    return np.round(ground + alpha * (picture.pixels - ground)).astype(np.uint8)


def _enlarged_detail(pixels: Pixels, _: Plane) -> Pixels:
    height, width = pixels.shape[:2]
    rows, columns = slice(height // 3, height // 3 + 100), slice(width // 3, width // 3 + 100)
    return increase_resolution(Picture(np.ascontiguousarray(pixels[rows, columns])), 4).pixels


OPERATIONS: dict[str, Operation] = {
    "as it is": lambda pixels, alpha: pixels,
    "mask": lambda pixels, alpha: np.repeat(np.round(alpha * 255).astype(np.uint8)[..., None], 3, axis=2),
    "relight": lambda pixels, alpha: to_srgb(relight(to_linear(pixels), alpha, Lighting(key=KEY, rim=RIM))),
    "white_balance 3800 K": lambda pixels, alpha: white_balance(pixels, measure_cast(pixels), 1, 3800, 0),
    "white_balance 9000 K": lambda pixels, alpha: white_balance(pixels, measure_cast(pixels), 1, 9000, 0),
    "adjust_exposure +1": lambda pixels, alpha: adjust_exposure(pixels, 1),
    "adjust_exposure shadows +2": lambda pixels, alpha: adjust_exposure(pixels, 0, 2, 0),
    "adjust_exposure highl. -2": lambda pixels, alpha: adjust_exposure(pixels, 0, 0, -2),
    "adjust_contrast +0.7": lambda pixels, alpha: adjust_contrast(pixels, 0.7),
    "adjust_contrast -0.7": lambda pixels, alpha: adjust_contrast(pixels, -0.7),
    "saturation +0.7": lambda pixels, alpha: adjust_contrast(pixels, 0, 0.7),
    "saturation -1": lambda pixels, alpha: adjust_contrast(pixels, 0, -1),
    "enhance_image 0.5 each": lambda pixels, alpha: enhance_image(pixels, 0.5, 0.5, 0.5),
    "enhance_image 1 each": lambda pixels, alpha: enhance_image(pixels, 1, 1, 1),
    "replace_background": lambda pixels, alpha: to_srgb(replace_background(to_linear(pixels), alpha, "#2f6f8f")),
    "remove_background": lambda pixels, alpha: _checked(remove_background(pixels, alpha)),
    "crop_out_foreground 5 %": lambda pixels, alpha: _checked(crop_out_foreground(pixels, alpha, 5)),
    "blur_background 1": lambda pixels, alpha: blur_background(pixels, alpha, 1),
    "product_shot": lambda pixels, alpha: product_shot(pixels, alpha, Shot(width=900, height=900))[0],
    "product_shot, shadow": lambda pixels, alpha: product_shot(pixels, alpha, Shot("#f2f2f0", 900, 900, 80, "contact"))[
        0
    ],
    "increase_resolution 4, part": _enlarged_detail,
    "resize pad": lambda pixels, alpha: resize(Picture(pixels), 900, 700, "pad", "#d0d0d0").pixels,
}
"""By the name that the sheet shows; a tool's name comes first in its own."""


def sheet() -> Pixels:
    """All operations, one row each, on all photographs."""
    given = [(photo(name, SIDE), subject_of(name, SIDE).alpha) for name in SHOWN]
    return np.vstack([_row(name, [operate(*pair) for pair in given]) for name, operate in OPERATIONS.items()])


def cell(pixels: Pixels) -> Pixels:
    small = reduced(pixels, fitted(pixels.shape[0], pixels.shape[1], CELL))
    ground = np.full((CELL, CELL, 3), 128, np.uint8)
    width, height = size_of(small)
    ground[:height, :width] = small
    return ground


def _row(name: str, made: list[Pixels]) -> Pixels:
    row = np.hstack([cell(pixels) for pixels in made])
    label = np.full((LABEL, row.shape[1], 3), 255, np.uint8)
    cv2.putText(label, name, (4, LABEL - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([label, row])


def main() -> None:
    file = io.BytesIO()
    Image.fromarray(sheet()).save(file, "JPEG", quality=QUALITY, optimize=True)
    SHEET.write_bytes(file.getvalue())


if __name__ == "__main__":
    main()
