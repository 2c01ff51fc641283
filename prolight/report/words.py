"""Plans, lights, times and money in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import UnionType
from typing import Any

from prolight.schemas import INPUT, Step

ROLES = ("key", "fill", "rim")
RELIGHT = "studio.relight"
TITLES = {
    RELIGHT: "Relight",
    "studio.white_balance": "Balance the colours",
    "studio.adjust_exposure": "Adjust the exposure",
    "studio.adjust_contrast": "Adjust contrast and saturation",
    "studio.enhance_image": "Enhance",
    "studio.replace_background": "Replace the background",
    "studio.remove_background": "Remove the background",
    "studio.blur_background": "Blur the background",
    "studio.crop_out_foreground": "Cut out and crop the subject",
    "studio.product_shot": "Product shot",
    "studio.increase_resolution": "Increase the resolution",
    "studio.resize": "Resize",
    "studio.export": "Export",
    "studio.inspect_image": "Measure the picture",
    "studio.check_picture": "Check the finished picture",
}
DEFAULT_KELVIN, DEFAULT_SOFTNESS = 5500.0, 0.5
MAX_VALUE_CHARS = 300
"""Of a parameter that the report has no words for."""

MAX_EV = 20
"""Beyond it a number is no exposure and is shown as it is written."""

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Light:
    """One light of a relight step. Angles in degrees: azimuth 0 at the camera, negative to its left."""

    role: str
    azimuth_deg: float
    elevation_deg: float
    ev: float
    kelvin: float
    softness: float

    def __str__(self) -> str:
        parts = (direction(self.azimuth_deg), height(self.elevation_deg), exposure(self.ev), f"{self.kelvin:.0f} K")
        return f"{self.role} light {', '.join(parts)}, {quality(self.softness)}"


def lights(step: Step) -> tuple[Light, ...]:
    """The lights of a step, in the order key, fill, rim; none for other tools."""
    if step.tool != RELIGHT:
        return ()
    found = ((role, step.params.get(role)) for role in ROLES)
    return tuple(light for role, params in found if (light := _light(role, params)))


def _light(role: str, params: Any) -> Light | None:
    """None for what is no light as the studio takes it: a report shows such a plan, it does not judge it."""
    if not isinstance(params, Mapping):
        return None
    defaults = {"kelvin": DEFAULT_KELVIN, "softness": DEFAULT_SOFTNESS}
    bounds = {"azimuth_deg": 180, "elevation_deg": 90, "ev": MAX_EV, "kelvin": 100_000, "softness": 1}
    values = {name: params.get(name, defaults.get(name)) for name in bounds}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= bounds[name]:
            return None
    if values["kelvin"] <= 0 or values["softness"] < 0:
        return None
    return Light(role, **{name: float(value) for name, value in values.items()})


def direction(azimuth_deg: float) -> str:
    angle = abs(azimuth_deg)
    side = "left" if azimuth_deg < 0 else "right"
    if angle < 10:
        return "from the camera"
    if angle > 170:
        return "from behind"
    return f"from behind {side}, {angle:.0f}°" if angle > 112.5 else f"from the {side}, {angle:.0f}°"


def height(elevation_deg: float) -> str:
    if abs(elevation_deg) < 0.5:
        return "level with the subject"
    return f"{abs(elevation_deg):.0f}° {'high' if elevation_deg > 0 else 'low'}"


def exposure(ev: float) -> str:
    return f"{ev:+.1f} EV".replace("-", "−") if abs(ev) >= 0.05 else "±0 EV"


def quality(softness: float) -> str:
    return "hard" if softness < 0.34 else "half soft" if softness < 0.6 else "soft"


def title(step: Step) -> str:
    """What a step does, in a word or two; the tool's own name where we have none."""
    return TITLES.get(step.tool, step.tool)


def sentences(step: Step) -> Iterator[str]:
    """What a step does, in lines. Every parameter is said, also those without words of their own."""
    params = {name: value for name, value in step.params.items() if value is not None}
    for light in lights(step):
        del params[light.role]
        yield _capital(str(light))
    phrases = [_parameter(name, value) for name, value in params.items()]
    if phrases:
        yield _capital(", ".join(phrases))


def _parameter(name: str, value: Any) -> str:
    kind, phrase = _PHRASES.get(name, (None, str))
    if kind and isinstance(value, kind):
        return phrase(value)
    return f"{name}: {_short(json.dumps(value, ensure_ascii=False, default=str))}"


def _source(reference: str) -> str:
    if reference == INPUT:
        return "the input picture"
    return f"the picture of step {reference[1:]}" if reference.startswith("$") else f"picture {reference}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE_CHARS else value[:MAX_VALUE_CHARS] + "…"


def dollars(amount: Decimal) -> str:
    if not amount:
        return "no cost"
    exact = f"{amount.normalize():f}"
    return f"${amount:.2f}" if len(exact.partition(".")[2]) <= 2 else f"${exact}"


_PHRASES: dict[str, tuple[type | UnionType, Callable[[Any], str]]] = {
    "picture": (str, lambda reference: f"on {_source(reference)}"),
    "mask_of": (str, lambda reference: f"subject as in {_source(reference)}"),
    "format": (str, lambda name: f"as {name.upper()}"),
    "long_side_px": (int, lambda pixels: f"long side {pixels} px"),
    "quality": (int, lambda level: f"quality {level} of 100"),
    "color": (str, lambda colour: f"colour {colour}"),
    "exposure_ev": (int | float, lambda ev: f"whole picture {exposure(ev)}"),
}
