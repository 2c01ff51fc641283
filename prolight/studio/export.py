"""The finished file: size and format."""

from __future__ import annotations

from prolight.studio.codec import Format, encode
from prolight.studio.picture import Picture
from prolight.studio.resize import to_long_side


def export(picture: Picture, form: Format, long_side_px: int | None, quality: int) -> bytes:
    """The encoded file. Raises `TooLarge`."""
    sized = picture if long_side_px is None else to_long_side(picture, long_side_px)
    return encode(sized, form, quality)
