"""Key, fill and rim light on a photograph, in linear light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydantic import Field

from prolight.schemas import Value
from prolight.studio.colour import DAYLIGHT_KELVIN, MIDDLE_GREY, Linear, Plane, light_colour, luminance, shoulder
from prolight.studio.raster import bands, blurred, fitted, reduced, scaled, stretched_rows
from prolight.studio.shape import normals

LIGHT_SIDE = 768
"""Long side at which light is computed; what it does is smooth and is applied at full size."""
BOUNCE = 0.08
"""What a room gives back of each light to the parts that it does not reach."""
WRAP_HARD, WRAP_SOFT = 0.05, 0.65
"""How far around the subject the hardest and the softest light reach (0: half way, 1: all around)."""
FLATTEN = 0.8
"""Share of the light already in the picture that a new key or fill replaces."""
FLATTEN_LIMIT_EV = 1.2
_FIT_DAMPING = 1e-2
BACKDROP_SHARE = 0.5
"""How much of a new light falls on what is behind the subject."""
BACKDROP_FALLOFF_EV = 0.9
"""How much darker the backdrop is at the frame's far side than in the middle."""
RIM_SHARPNESS = 3.0
"""The p of (1 − N·V)^p."""
RIM_BODY, RIM_SHEEN = 1.2, 4.0
"""Strength of a 0 EV rim: on the subject's own colour, and as colourless sheen relative to its general level."""
GRAIN_REACH, GRAIN_LIMIT = 0.012, np.float32(2.5)
"""The size of surface grain that shows in a rim, of the long side, and its strongest contrast."""
FEATHER = 0.06
"""Blur of a mask that is not trusted, of the long side."""


class Light(Value):
    """One light on the subject. Azimuth is negative to camera left, 0 at the camera, ±180 behind the subject."""

    azimuth_deg: float = Field(ge=-180, le=180, description="negative = camera left, 0 = at the camera, ±180 = behind")
    elevation_deg: float = Field(ge=-90, le=90, description="positive = from above")
    ev: float = Field(ge=-4, le=4, description="stops relative to the picture's own exposure of the subject")
    kelvin: float = Field(default=DAYLIGHT_KELVIN, ge=1700, le=15000, description="lower is warmer; 5500 is neutral")
    softness: float = Field(default=0.5, ge=0, le=1, description="0 = hard and small, 1 = very large")

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector to the light: x right, y down, z to the camera."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        level = math.cos(elevation)
        return math.sin(azimuth) * level, -math.sin(elevation), math.cos(azimuth) * level

    @property
    def colour(self) -> npt.NDArray[np.float32]:
        """Linear RGB of the light at its strength."""
        return light_colour(self.kelvin) * np.float32(2.0**self.ev)


@dataclass(frozen=True, slots=True)
class Lighting:
    """What to light with; lights that are None stay off. With neither key nor fill the picture's own light stays."""

    key: Light | None = None
    fill: Light | None = None
    rim: Light | None = None
    exposure_ev: float = 0.0

    @property
    def frontal(self) -> tuple[Light, ...]:
        return tuple(light for light in (self.key, self.fill) if light is not None)

    def without_rim(self) -> Lighting:
        return replace(self, rim=None)


def relight(linear: Linear, alpha: Plane, lighting: Lighting) -> Linear:
    """The picture under these lights, 0..1. `alpha` marks the subject (1) at the size of `linear`."""
    size = fitted(alpha.shape[0], alpha.shape[1], LIGHT_SIDE)
    scene = _Scene.of(reduced(linear, size), reduced(alpha, size))
    lit = linear.copy()
    if lighting.frontal:
        _spread(lit, scene, lighting.frontal, alpha)
    if lighting.rim is not None:
        _add_rim(lit, scene, lighting.rim, linear, alpha)
    lit *= np.float32(2.0**lighting.exposure_ev)
    brightest = float(lit.max())
    for rows in bands(len(lit)):
        lit[rows] = shoulder(lit[rows], brightest)
    return lit


def feather(alpha: Plane) -> Plane:
    """A wide, soft version of a mask whose outline is not to be believed."""
    return blurred(alpha, max(1.0, FEATHER * max(alpha.shape)))


@dataclass(frozen=True, slots=True)
class _Scene:
    """The picture at light size. `level` is the subject's median luminance, `flat` takes out its own light."""

    light: Plane
    alpha: Plane
    normals: Linear
    level: float
    flat: Plane

    @classmethod
    def of(cls, linear: Linear, alpha: Plane) -> _Scene:
        light = luminance(linear)
        shape = normals(alpha, light)
        subject = alpha > 0.5
        if not subject.any():
            subject = np.ones_like(subject)
        return cls(light, alpha, shape, float(np.median(light[subject])), _flattening(light, shape, subject))


def _flattening(light: Plane, shape: Linear, subject: npt.NDArray[np.bool_]) -> Plane:
    """The gain that takes out the direction of the light already there.

    It is estimated as the part of log luminance that follows the normals' x and y (the first order of spherical
    harmonics, Ramamoorthi & Hanrahan 2001) and the way across the subject, all of it at once.
    """
    sample = subject & (light > 1e-3) & (light < 0.98)
    if sample.sum() < 64:
        return np.ones_like(light)
    columns = np.nonzero(sample)[1].astype(np.float64)
    middle, reach = columns.mean(), max(float(columns.std()), 1.0)
    terms = np.column_stack(
        [shape[sample][:, :2].astype(np.float64), (columns - middle) / reach, np.ones(len(columns))]
    )
    stops = np.log2(light[sample].astype(np.float64))
    # Deviations beyond two stops are the subject's own blacks and whites, not shading.
    stops = np.clip(stops, np.median(stops) - 2, np.median(stops) + 2)
    damping = _FIT_DAMPING * len(stops) * np.diag([1, 1, 1, 0])
    x, y, across, _ = np.linalg.solve(terms.T @ terms + damping, terms.T @ stops).astype(np.float32)
    way = np.clip((np.arange(light.shape[1], dtype=np.float32) - np.float32(middle)) / np.float32(reach), -2, 2)
    own = np.float32(FLATTEN) * (x * shape[..., 0] + y * shape[..., 1] + across * way)
    return np.asarray(np.exp2(-np.clip(own, -FLATTEN_LIMIT_EV, FLATTEN_LIMIT_EV)), np.float32)


def _spread(lit: Linear, scene: _Scene, lights: tuple[Light, ...], alpha: Plane) -> None:
    """Multiply `lit`, at full size, by what key and fill do to each pixel."""
    subject = np.zeros_like(scene.normals)
    backdrop = np.full_like(scene.normals, 1 - BACKDROP_SHARE)
    for light in lights:
        subject += _on_subject(scene, light)[..., None] * light.colour
        backdrop += BACKDROP_SHARE * _on_backdrop(scene.light.shape, light)[..., None] * light.colour
    height, width = alpha.shape
    gain, backdrop = (scaled(part, (width, len(part))) for part in (subject - backdrop, backdrop))
    for rows in bands(height):
        lit[rows] *= stretched_rows(backdrop, height, rows) + alpha[rows, :, None] * stretched_rows(gain, height, rows)


def _on_subject(scene: _Scene, light: Light) -> Plane:
    """Wrapped Lambert, (N·L + w)/(1 + w), scaled so that a 0 EV light keeps the subject's median luminance."""
    wrap = WRAP_HARD + (WRAP_SOFT - WRAP_HARD) * light.softness
    gain = (np.float32(BOUNCE) + np.float32(1 - BOUNCE) * _facing(scene, light, wrap)) * scene.flat
    subject = scene.alpha > 0.5
    lit = (scene.light * gain)[subject]
    middle = float(np.median(lit)) if lit.size else 0.0
    return gain * np.float32(scene.level / middle) if middle > 0 else gain


def _on_backdrop(shape: tuple[int, ...], light: Light) -> Plane:
    """Light on a wall behind the subject: it falls off away from the light, and is 1 in the middle."""
    height, width = shape
    x, y, _ = light.direction
    across = np.linspace(-1, 1, width, dtype=np.float32)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    stops = np.float32(BACKDROP_FALLOFF_EV) * (np.float32(x) * across + np.float32(y) * down)
    return np.asarray(np.exp2(stops), np.float32)


def _add_rim(lit: Linear, scene: _Scene, light: Light, linear: Linear, alpha: Plane) -> None:
    """Add a rim's light to `lit`, at full size: on the subject's own colour, and as sheen that keeps its grain."""
    reach = GRAIN_REACH * max(scene.light.shape)
    share = blurred(scene.alpha, reach) + np.float32(1e-3)
    around = blurred(scene.light * scene.alpha, reach) / share + np.float32(0.1 * scene.level + 1e-4)
    strength = np.float32(RIM_SHEEN * (scene.level + MIDDLE_GREY) / 2)
    height, width = alpha.shape
    shape, around = (scaled(part, (width, len(part))) for part in (_rim_shape(scene, light), around))
    for rows in bands(height):
        grain = np.minimum(luminance(linear[rows]) / stretched_rows(around, height, rows), GRAIN_LIMIT)
        glow = stretched_rows(shape, height, rows) * alpha[rows]
        sheen = linear[rows] * np.float32(RIM_BODY) + (strength * grain)[..., None]
        lit[rows] += sheen * light.colour * glow[..., None]


def _rim_shape(scene: _Scene, light: Light) -> Plane:
    """Where a light from behind catches the outline: (1 − N·V)^p, on the side that faces it."""
    wrap = 0.1 + 0.5 * light.softness
    grazing = np.clip(1 - scene.normals[..., 2], 0, 1) ** np.float32(RIM_SHARPNESS)
    return np.asarray(_facing(scene, light, wrap) * grazing, np.float32)


def _facing(scene: _Scene, light: Light, wrap: float) -> Plane:
    """(N·L + w)/(1 + w), 0 where it is negative."""
    cosine = scene.normals @ np.array(light.direction, np.float32)
    return np.asarray(np.maximum(cosine + np.float32(wrap), 0) / np.float32(1 + wrap), np.float32)
