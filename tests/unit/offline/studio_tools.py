"""The studio's tools as the Planner and the Critic are told of them; a test holds them against the real server."""

from __future__ import annotations

from typing import Any

LIGHT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["azimuth_deg", "elevation_deg", "ev"],
    "properties": {
        "azimuth_deg": {"type": "number", "minimum": -180, "maximum": 180},
        "elevation_deg": {"type": "number", "minimum": -90, "maximum": 90},
        "ev": {"type": "number", "minimum": -4, "maximum": 4},
        "kelvin": {"type": "number", "minimum": 1700, "maximum": 15000, "default": 5500},
        "softness": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
    },
}
PICTURE = {"type": "string"}
NO = {"type": "null"}
A_LIGHT = {"anyOf": [{"$ref": "#/$defs/Light"}, NO], "default": None}
MASK_OF = {"anyOf": [PICTURE, NO], "default": None}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


MASKING = {"mask_of": MASK_OF, "mask": MASK_OF}


def _number(least: float, most: float, default: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most, "default": default}


def _side(default: int | None) -> dict[str, Any]:
    side = {"type": "integer", "minimum": 16, "maximum": 10000}
    return {"anyOf": [side, NO], "default": None} if default is None else {**side, "default": default}


def _choice(default: str, *choices: str) -> dict[str, Any]:
    return {"enum": list(choices), "default": default}


COLOR = {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}
WHITE = {**COLOR, "default": "#ffffff"}

SCHEMAS: dict[str, dict[str, Any]] = {
    "studio.inspect_image": _closed(["picture"], picture=PICTURE, **MASKING),
    "studio.relight": {
        "$defs": {"Light": LIGHT},
        **_closed(
            ["picture"],
            picture=PICTURE,
            key=A_LIGHT,
            fill=A_LIGHT,
            rim=A_LIGHT,
            exposure_ev={"type": "number", "minimum": -4, "maximum": 4, "default": 0},
            **MASKING,
        ),
    },
    "studio.white_balance": _closed(
        ["picture"],
        picture=PICTURE,
        neutralise=_number(0, 1, 1),
        kelvin=_number(1700, 15000, 5500),
        tint=_number(-1, 1, 0),
    ),
    "studio.adjust_exposure": _closed(
        ["picture"],
        picture=PICTURE,
        ev=_number(-4, 4, 0),
        shadows_ev=_number(-2, 2, 0),
        highlights_ev=_number(-2, 2, 0),
    ),
    "studio.adjust_contrast": _closed(
        ["picture"], picture=PICTURE, amount=_number(-1, 1, 0), saturation=_number(-1, 1, 0)
    ),
    "studio.enhance_image": _closed(
        ["picture"],
        picture=PICTURE,
        denoise=_number(0, 1, 0),
        local_contrast=_number(0, 1, 0),
        sharpen=_number(0, 1, 0),
    ),
    "studio.replace_background": _closed(["picture", "color"], picture=PICTURE, color=COLOR, **MASKING),
    "studio.remove_background": _closed(["picture"], picture=PICTURE, **MASKING),
    "studio.blur_background": _closed(["picture"], picture=PICTURE, amount=_number(0, 1, 0.5), **MASKING),
    "studio.crop_out_foreground": _closed(["picture"], picture=PICTURE, margin_percent=_number(0, 100, 0), **MASKING),
    "studio.product_shot": _closed(
        ["picture"],
        picture=PICTURE,
        color=WHITE,
        width_px=_side(2000),
        height_px=_side(2000),
        fill_percent=_number(10, 100, 85),
        shadow=_choice("none", "none", "contact"),
        **MASKING,
    ),
    "studio.increase_resolution": _closed(
        ["picture"], picture=PICTURE, factor={"type": "integer", "enum": [2, 4], "default": 2}
    ),
    "studio.resize": _closed(
        ["picture"],
        picture=PICTURE,
        width_px=_side(None),
        height_px=_side(None),
        fit=_choice("inside", "inside", "cover", "pad"),
        color=WHITE,
    ),
    "studio.export": _closed(
        ["picture", "format"],
        picture=PICTURE,
        format={"enum": ["jpeg", "png", "webp"]},
        long_side_px={"anyOf": [{"type": "integer", "minimum": 16, "maximum": 10000}, NO], "default": None},
        quality={"type": "integer", "minimum": 1, "maximum": 100, "default": 92},
    ),
}
TOOLS: dict[str, dict[str, Any]] = {
    name: {"description": name, "input_schema": schema} for name, schema in SCHEMAS.items()
}
