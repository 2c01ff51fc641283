"""The form in which a picture goes in: upright, 8-bit RGB in sRGB, without metadata, always the same bytes.

- A JPEG that is upright RGB in sRGB already keeps its compressed pixels: dropping the other segments
  touches none of them, and decoding and encoding once more would only lose. Everything else becomes a PNG.
- Transparency is composited on white, with sRGB values as browsers do it.
- 16 bits a channel become the upper 8; a transparent level of 16-bit grey stays opaque.
- Of what a file says about its colours only an ICC profile counts (not PNG's gAMA or cICP).
- A second picture inside a JPEG (the gain map or depth of a telephone) is metadata and goes. Animations are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from prolight.errors import PictureRefused
from prolight.pictures.colour import is_srgb, to_srgb
from prolight.pictures.containers import JPEG, PNG, WEBP, Container, PictureLimits, damaged, read_container
from prolight.pictures.orientation import UPRIGHT

DEFAULT_LIMITS = PictureLimits()
PNG_COMPRESS_LEVEL = 3

_PILLOW_FORMATS = {JPEG: "JPEG", PNG: "PNG", WEBP: "WEBP"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class IngestedPicture:
    """A picture as ProLight keeps it: 8-bit RGB in sRGB, upright, without metadata."""

    content: bytes
    media_type: str
    width: int
    height: int


def ingest(content: bytes, limits: PictureLimits = DEFAULT_LIMITS) -> IngestedPicture:
    """Check a picture from outside and bring it into the one form. The same bytes in give the same bytes out.

    Raises `PictureRefused`, which names the limit and the fix.
    """
    container = read_container(content, limits)
    with _own_errors():
        pixels = _decode(container)
        if _keeps_its_pixels(container, pixels):
            return IngestedPicture(container.bare, JPEG, pixels.width, pixels.height)
        upright = _upright(to_srgb(pixels, container.profile), container.orientation)
    return IngestedPicture(_png(upright), PNG, upright.width, upright.height)


def _decode(container: Container) -> Image.Image:
    header = container.header
    with Image.open(io.BytesIO(container.bare), formats=[_PILLOW_FORMATS[header.media_type]]) as picture:
        if picture.size != (header.width, header.height):
            raise damaged("its headers contradict each other")
        picture.load()
        return picture


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except (MemoryError, PictureRefused):
        raise
    except Exception as error:  # Pillow raises whatever its parsers stumble over
        raise damaged(f"it cannot be decoded: {type(error).__name__}") from error


def _keeps_its_pixels(container: Container, pixels: Image.Image) -> bool:
    is_rgb_jpeg = container.header.media_type == JPEG and pixels.mode == "RGB"
    return is_rgb_jpeg and container.orientation == UPRIGHT and is_srgb(container.profile)


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture if orientation == UPRIGHT else picture.transpose(_TURNS[orientation])


def _png(picture: Image.Image) -> bytes:
    picture.info.clear()  # Pillow would write the profile that it remembers
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=PNG_COMPRESS_LEVEL)
    return file.getvalue()
