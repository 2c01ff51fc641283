"""Picture files to pixels and back."""

from __future__ import annotations

import io
from functools import cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from prolight.errors import PictureRefused
from prolight.pictures import PictureLimits, measure
from prolight.studio.colour import Pixels

ALLOWED_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
FAST_COMPRESSION = 1
"""zlib level of intermediate pictures: level 3 takes twice as long for 6 % fewer bytes (helmet, 1 MP)."""

Format = Literal["jpeg", "png", "webp"]


def decode(content: bytes) -> Pixels:
    """RGB codes of a stored JPEG, PNG or WebP; transparent parts are laid on white.

    Raises `PictureRefused` for other formats, broken files, more than 8 bits a channel, or more pixels than
    `PictureLimits` allows.
    """
    header = measure(content)
    limit = PictureLimits().max_pixels
    if header.width * header.height > limit:
        raise PictureRefused(f"is {header.width} × {header.height} px, at most {limit:,} pixels", field="picture")
    try:
        with Image.open(io.BytesIO(content), formats=(header.media_type.removeprefix("image/"),)) as image:
            return np.asarray(_opaque(image))
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureRefused(f"cannot be read ({error}); send an intact file", field="picture") from error


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode not in ALLOWED_MODES:
        raise ValueError(f"pixels of mode {image.mode}, 8 bits a channel are taken")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def encode_lossless(pixels: Pixels) -> bytes:
    """PNG, quick to write: the form of every picture on its way to the next step."""
    return _save(pixels, "PNG", compress_level=FAST_COMPRESSION)


def encode(pixels: Pixels, form: Format, quality: int) -> bytes:
    """A finished file: sRGB profile, no other metadata. `quality` (1..100) is not used for PNG."""
    profile = srgb_profile()
    match form:
        case "jpeg":
            return _save(pixels, "JPEG", quality=quality, optimize=True, icc_profile=profile)
        case "png":
            return _save(pixels, "PNG", compress_level=6, icc_profile=profile)
        case "webp":
            return _save(pixels, "WEBP", quality=quality, method=4, icc_profile=profile)


def _save(pixels: Pixels, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


@cache
def srgb_profile() -> bytes:
    """An sRGB ICC profile whose creation date (bytes 24..35 of the header) is zero, so that files are repeatable."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)
