"""The studio's tools by name: which cut, which change the size, and when one does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ToolSchemas = Mapping[str, Mapping[str, Any]]
"""The JSON Schema of each tool's input, by `server.tool` name."""

RELIGHT, WHITE_BALANCE = "studio.relight", "studio.white_balance"
EXPOSURE, CONTRAST = "studio.adjust_exposure", "studio.adjust_contrast"
ENHANCE, ENLARGE, RESIZE = "studio.enhance_image", "studio.increase_resolution", "studio.resize"
REPLACE, REMOVE, BLUR = "studio.replace_background", "studio.remove_background", "studio.blur_background"
CROP, PRODUCT_SHOT, EXPORT = "studio.crop_out_foreground", "studio.product_shot", "studio.export"

CUTS = frozenset({REPLACE, REMOVE, CROP, PRODUCT_SHOT})
"""They need to know where the subject ends."""
SIZES = frozenset({CROP, PRODUCT_SHOT, ENLARGE, RESIZE, EXPORT})
"""They may make a picture of another size, for which a mask of the original is none."""
CLEARS = frozenset({REMOVE, CROP})
"""They make pictures with transparency."""
GROUNDS = frozenset({REPLACE, PRODUCT_SHOT})
"""They lay the subject on one colour."""
ONCE = frozenset({WHITE_BALANCE, REPLACE, REMOVE, CROP, PRODUCT_SHOT, RESIZE, EXPORT})
"""Done once more in the same way, they change nothing more."""

IDLE: Mapping[str, Mapping[str, Any]] = {
    WHITE_BALANCE: {"neutralise": 0, "kelvin": 5500, "tint": 0},
    EXPOSURE: {"ev": 0, "shadows_ev": 0, "highlights_ev": 0},
    CONTRAST: {"amount": 0, "saturation": 0},
    ENHANCE: {"denoise": 0, "local_contrast": 0, "sharpen": 0},
    BLUR: {"amount": 0},
    RESIZE: {"width_px": None, "height_px": None},
}
"""With all of these a tool gives back the picture that it was given."""
