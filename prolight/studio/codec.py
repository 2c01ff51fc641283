"""Picture files to pixels and back."""

from __future__ import annotations

import io
from functools import cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from prolight.errors import PictureRefused
from prolight.pictures import PictureLimits, measure
from prolight.studio.picture import Picture

ALLOWED_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
FAST_COMPRESSION = 1
"""zlib level of intermediate pictures: level 3 takes twice as long for 6 % fewer bytes (helmet, 1 MP)."""

Format = Literal["jpeg", "png", "webp"]


def decode(content: bytes) -> Picture:
    """The pixels of a stored JPEG, PNG or WebP.

    Raises `PictureRefused` for other formats, broken files, more than 8 bits a channel, or more pixels than
    `PictureLimits` allows.
    """
    header = measure(content)
    limit = PictureLimits().max_pixels
    if header.width * header.height > limit:
        raise PictureRefused(f"is {header.width} × {header.height} px, at most {limit:,} pixels", field="picture")
    try:
        with Image.open(io.BytesIO(content), formats=(header.media_type.removeprefix("image/"),)) as image:
            return _pixels(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureRefused(f"cannot be read ({error}); send an intact file", field="picture") from error


def _pixels(image: Image.Image) -> Picture:
    if image.mode not in ALLOWED_MODES:
        raise ValueError(f"pixels of mode {image.mode}, 8 bits a channel are taken")
    if not image.has_transparency_data:
        return Picture(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
    layers = np.asarray(image.convert("RGBA"))
    return Picture(np.ascontiguousarray(layers[..., :3]), np.ascontiguousarray(layers[..., 3]))


def encode_lossless(picture: Picture) -> bytes:
    """PNG, quick to write: the form of every picture on its way to the next step."""
    return _save(_image(picture), "PNG", compress_level=FAST_COMPRESSION)


def encode(picture: Picture, form: Format, quality: int) -> bytes:
    """A finished file: sRGB profile, no other metadata. `quality` (1..100) is not used for PNG.

    PNG and WebP stay transparent where the picture is; a JPEG cannot, and is laid on white.
    """
    profile = srgb_profile()
    match form:
        case "jpeg":
            opaque = Picture(picture.opaque())
            return _save(_image(opaque), "JPEG", quality=quality, optimize=True, icc_profile=profile)
        case "png":
            return _save(_image(picture), "PNG", compress_level=6, icc_profile=profile)
        case "webp":
            return _save(_image(picture), "WEBP", quality=quality, method=4, icc_profile=profile)


def _image(picture: Picture) -> Image.Image:
    layers = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    return Image.fromarray(layers)


def _save(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@cache
def srgb_profile() -> bytes:
    """An sRGB ICC profile whose creation date (bytes 24..35 of the header) is zero, so that files are repeatable."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)
