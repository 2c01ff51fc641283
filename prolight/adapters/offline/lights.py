"""From what is said of the lights to their numbers, with a photographer's usual set-up where nothing is said.

| Light | Azimuth | Elevation | Strength | Softness |
|---|---|---|---|---|
| key | 45° camera left | 30° | 0 EV | 0.5 |
| fill | the key's, mirrored | 10° | one stop under the key; high key half a stop, low key three | 0.9 |
| rim | 135° on the side away from the key; 180° "from behind" | 30° | as the key | 0.4 |

`from the left` is 45° for key and fill and 135° for the rim; `behind left` is 135° for all. Stops over or under are
counted from the key for fill and rim. High key is +0.7 EV on the whole picture, low key -1 EV.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prolight.adapters.offline.reading import Reading
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN
from prolight.adapters.offline.wishes import Wishes

Light = dict[str, float]

LEFT, RIGHT = -1.0, 1.0
KEY_ANGLE_DEG, RIM_ANGLE_DEG, BEHIND_DEG = 45.0, 135.0, 180.0
ELEVATION_DEG = {"key": 30.0, "fill": 10.0, "rim": 30.0}
SOFTNESS = {"key": 0.5, "fill": 0.9, "rim": 0.4}
FILL_UNDER_KEY_EV = {"": -1.0, "high-key": -0.5, "low-key": -3.0}
STYLE_EXPOSURE_EV = {"": 0.0, "high-key": 0.7, "low-key": -1.0}


def lights(reading: Reading) -> dict[str, Light]:
    """The lights to make, by role: azimuth and elevation in degrees, strength in EV, kelvin, softness 0..1."""
    made: dict[str, Light] = {}
    for role, wishes in reading.lights.items():
        made[role] = {
            "azimuth_deg": _azimuth(role, wishes, made.get("key")),
            "elevation_deg": _elevation(role, wishes),
            "ev": _ev(role, wishes, made, style(reading)),
            "kelvin": wishes.number("kelvin") or NEUTRAL_KELVIN,
            "softness": _given(wishes.number("softness"), SOFTNESS[role]),
        }
    return {role: {name: tidy(value) for name, value in light.items()} for role, light in made.items()}


def exposure_ev(reading: Reading) -> float:
    """Stops by which the whole picture is to change."""
    wishes = reading.wishes.get("picture")
    if wishes is None:
        return 0.0
    said = _level(wishes)
    return tidy(STYLE_EXPOSURE_EV[style(reading)] if said is None else said)


def style(reading: Reading) -> str:
    wishes = reading.wishes.get("picture")
    return str(wishes.chosen["style"].value) if wishes and "style" in wishes.chosen else ""


def background(reading: Reading) -> str | None:
    """The colour of the new background, `#rrggbb`."""
    wishes = reading.wishes.get("background")
    return str(wishes.chosen["color"].value) if wishes else None


def export(reading: Reading) -> dict[str, Any]:
    """Format, long side in pixels and quality, as far as they are said."""
    wishes = reading.wishes.get("export")
    if wishes is None:
        return {}
    said: dict[str, Any] = {"format": str(wishes.chosen["format"].value)} if "format" in wishes.chosen else {}
    if pixels := wishes.number("pixels"):
        said["long_side_px"] = int(pixels)
    if (quality := wishes.number("quality")) is not None:
        said["quality"] = int(quality)
    return said


def number(params: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    """A number in a tool's params; anything else there counts as not given."""
    value = params.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def tidy(value: float) -> float:
    """Two decimals, and whole numbers without a fraction."""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _azimuth(role: str, wishes: Wishes, key: Mapping[str, float] | None) -> float:
    signed = wishes.number("azimuth")
    if signed is not None and "side" not in wishes.chosen:
        return signed
    side = _given(wishes.number("side"), _usual_side(role, key))
    angle = _angle(role, wishes, key) if signed is None else abs(signed)
    return BEHIND_DEG if angle == BEHIND_DEG else side * angle


def _usual_side(role: str, key: Mapping[str, float] | None) -> float:
    key_side = RIGHT if key and key["azimuth_deg"] > 0 else LEFT
    return key_side if role == "key" else -key_side


def _angle(role: str, wishes: Wishes, key: Mapping[str, float] | None) -> float:
    depth = wishes.number("depth")
    sided = "side" in wishes.chosen
    if "angle" in wishes.chosen:
        return wishes.chosen["angle"].amount
    if depth is not None:
        return (RIM_ANGLE_DEG if depth else KEY_ANGLE_DEG) if sided else depth
    if "angle" in wishes.presets and not (sided and wishes.presets["angle"] == BEHIND_DEG):
        return wishes.presets["angle"]
    if role == "rim":
        return RIM_ANGLE_DEG
    if not sided and _overhead(wishes):
        return 0.0
    return abs(key["azimuth_deg"]) if role == "fill" and key and not sided else KEY_ANGLE_DEG


def _overhead(wishes: Wishes) -> bool:
    return "elevation" in wishes.chosen and wishes.chosen["elevation"].kind.value == "above"


def _elevation(role: str, wishes: Wishes) -> float:
    return _given(wishes.number("elevation"), ELEVATION_DEG[role])


def _level(wishes: Wishes) -> float | None:
    """Stops as said, whatever they are counted from; `darken by` turns an amount around."""
    strength = wishes.number("strength")
    if "level" in wishes.chosen:
        return wishes.chosen["level"].amount
    if strength is None or "amount" not in wishes.chosen:
        return strength
    return math.copysign(wishes.chosen["amount"].amount, strength)


def _ev(role: str, wishes: Wishes, made: Mapping[str, Light], style: str) -> float:
    key_ev = made["key"]["ev"] if "key" in made else 0.0
    usual = key_ev + (FILL_UNDER_KEY_EV[style] if role == "fill" else 0.0)
    if "ratio" in wishes.chosen:
        usual = key_ev - wishes.chosen["ratio"].amount
    level = wishes.chosen.get("level")
    if level is not None:
        counted_from = made.get(level.of, {}).get("ev", key_ev)
        return level.amount + (counted_from if level.kind.value == "stops" else 0.0)
    if "amount" in wishes.chosen:
        return key_ev + (_level(wishes) or 0.0)
    return usual + (wishes.number("strength") or 0.0)
