"""Any picture that Pillow decodes, as 8-bit RGB in sRGB."""

from __future__ import annotations

import io

from PIL import Image, ImageChops, ImageCms

from prolight.errors import PictureRefused
from prolight.pictures.containers import refused

SRGB_TOLERANCE = 2
"""Levels of 255: profiles that different makers call sRGB lie this close to each other."""

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_WITH_ALPHA = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
_WITHOUT_ALPHA = {"1": "L", "LA": "L", "P": "RGB", "RGBA": "RGB", "RGBX": "RGB"}
_PROBE_LEVELS = range(0, 256, 17)


def to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Eight bits, composited on white, in sRGB. Raises `PictureRefused` for a profile that does not fit."""
    if picture.mode == "I;16":
        picture = picture.point(lambda level: level * (1 / 256)).convert("L")
        picture.info.pop("transparency", None)  # a level of 16 bits, which means another one now
    if picture.has_transparency_data:
        picture = _in_mode(picture, _WITH_ALPHA.get(picture.mode, picture.mode))
    rgb = _converted(_in_mode(picture, _WITHOUT_ALPHA.get(picture.mode, picture.mode)), profile)
    if picture.has_transparency_data:
        rgb.paste("white", mask=ImageChops.invert(picture.getchannel("A")))
    return rgb


def is_srgb(profile: bytes) -> bool:
    """Whether RGB pixels with this ICC profile mean the same in sRGB. No profile is sRGB (as in CSS Color 4)."""
    if not profile:
        return True
    probe = _probe()
    difference = ImageChops.difference(probe, _converted(probe, profile))
    return max(difference.tobytes()) <= SRGB_TOLERANCE


def _probe() -> Image.Image:
    """Every combination of 16 levels a channel, one pixel each."""
    levels = bytes(value for r in _PROBE_LEVELS for g in _PROBE_LEVELS for b in _PROBE_LEVELS for value in (r, g, b))
    return Image.frombytes("RGB", (len(_PROBE_LEVELS), len(_PROBE_LEVELS) ** 2), levels)


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """`convert` would copy 200 MB of a large picture to change nothing."""
    return picture if picture.mode == mode else picture.convert(mode)


def _converted(colours: Image.Image, profile: bytes) -> Image.Image:
    if not profile:
        return _in_mode(colours, "RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return _transformed(colours, source)
    except (OSError, TypeError, ValueError) as error:
        raise _misfit("cannot be used") from error


def _transformed(colours: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    space = source.profile.xcolor_space.strip()
    if space == "RGB" and colours.mode == "L":
        colours = colours.convert("RGB")
    if space != _SPACES[colours.mode]:
        raise _misfit(f"is for {space}, the picture is {_SPACES[colours.mode]}")
    transform = ImageCms.ImageCmsTransform(
        source,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        colours.mode,
        "RGB",
        intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return transform.apply(colours)


def _misfit(what: str) -> PictureRefused:
    return refused(f"has a colour profile that {what}; export it with an sRGB profile or none")
