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


SCHEMAS: dict[str, dict[str, Any]] = {
    "studio.inspect_image": _closed(["picture"], picture=PICTURE),
    "studio.relight": {
        "$defs": {"Light": LIGHT},
        **_closed(
            ["picture"],
            picture=PICTURE,
            key=A_LIGHT,
            fill=A_LIGHT,
            rim=A_LIGHT,
            exposure_ev={"type": "number", "minimum": -4, "maximum": 4, "default": 0},
            mask_of=MASK_OF,
        ),
    },
    "studio.replace_background": _closed(
        ["picture", "color"],
        picture=PICTURE,
        color={"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
        mask_of=MASK_OF,
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
