"""The lights of a step, drawn: a plan seen from above, and their height seen from the side.

Angles as in the plans: azimuth 0 at the camera, negative to the camera's left, ±180 behind the subject.
On paper the camera stands below and looks up, so its left is our left and behind is above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import cos, radians, sin

from prolight.report.markup import Markup, el
from prolight.report.words import Light, exposure

PLAN_WIDTH, PLAN_HEIGHT = 460, 400
CENTRE_X, CENTRE_Y, RADIUS = 230, 182, 124
LABEL_RADIUS = RADIUS + 32
CROWDED_DEG = 26
"""Lights nearer to each other than this step back, and their labels move apart."""
STEP_BACK = 34

SIDE_WIDTH, SIDE_HEIGHT, SIDE_X, SIDE_RADIUS, SIDE_STEP = 260, 250, 34, 160, 46


def kelvin_colour(kelvin: float) -> str:
    """The colour of a black body as "#rrggbb", as bright as it can be.

    Planckian locus by Kang et al. 2002 (J. Korean Phys. Soc. 41, 865), 1667–25000 K; XYZ to sRGB by IEC 61966-2-1.
    """
    t = min(max(kelvin, 1667.0), 25_000.0)
    if t <= 4000:
        x = -0.2661239e9 / t**3 - 0.2343589e6 / t**2 + 0.8776956e3 / t + 0.179910
    else:
        x = -3.0258469e9 / t**3 + 2.1070379e6 / t**2 + 0.2226347e3 / t + 0.240390
    if t <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif t <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    return _srgb(x / y, 1.0, (1 - x - y) / y)


def _srgb(x: float, y: float, z: float) -> str:
    linear = (
        3.2406 * x - 1.5372 * y - 0.4986 * z,
        -0.9689 * x + 1.8758 * y + 0.0415 * z,
        0.0557 * x - 0.2040 * y + 1.0570 * z,
    )
    brightest = max(linear)
    levels = (max(value / brightest, 0.0) for value in linear)
    encoded = (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in levels)
    return "#" + "".join(f"{round(255 * level):02x}" for level in encoded)


def plan_view(lights: Sequence[Light], name: str) -> Markup:
    """The set from above as SVG. `name` makes its ids unique on the page."""
    drawn = list(_placed(sorted(lights, key=lambda light: light.azimuth_deg)))
    return _picture(
        name,
        f"0 0 {PLAN_WIDTH} {PLAN_HEIGHT}",
        "The set seen from above",
        lights,
        _dial(),
        (_beam(light, radius) for light, radius, _ in drawn),
        _subject_from_above(),
        _camera(CENTRE_X, 352),
        (_source(light, radius, label_deg) for light, radius, label_deg in drawn),
    )


def _picture(name: str, box: str, title: str, lights: Iterable[Light], *children: Iterable[str] | str) -> Markup:
    described = "; ".join(map(str, lights))
    heads = el("title", title, id=f"{name}-title"), el("desc", described, id=f"{name}-desc")
    labels = f"{name}-title {name}-desc"
    return el("svg", heads, children, viewBox=box, role="img", aria_labelledby=labels, class_="diagram")


def _placed(lights: Iterable[Light]) -> Iterator[tuple[Light, float, float]]:
    """Light, distance from the subject, and the azimuth of its label."""
    previous, radius, label_deg = -1000.0, float(RADIUS), -1000.0
    for light in lights:
        crowded = light.azimuth_deg - previous < CROWDED_DEG
        radius = radius - STEP_BACK if crowded else float(RADIUS)
        label_deg = _beside_the_camera(max(light.azimuth_deg, label_deg + CROWDED_DEG), label_deg)
        previous = light.azimuth_deg
        yield light, radius, label_deg


def _beside_the_camera(label_deg: float, previous_deg: float) -> float:
    """To the left of it while there is room, else to the right."""
    if abs(label_deg) >= CROWDED_DEG:
        return label_deg
    return -CROWDED_DEG if previous_deg <= -2 * CROWDED_DEG else CROWDED_DEG


def _from_above(azimuth_deg: float, radius: float) -> tuple[float, float]:
    return CENTRE_X + radius * sin(radians(azimuth_deg)), CENTRE_Y + radius * cos(radians(azimuth_deg))


def _dial() -> Iterator[Markup]:
    yield el("circle", cx=CENTRE_X, cy=CENTRE_Y, r=RADIUS, class_="dial")
    for angle in range(-180, 180, 45):
        (x1, y1), (x2, y2) = _from_above(angle, RADIUS - 4), _from_above(angle, RADIUS + 4)
        yield el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="dial")


def _beam(light: Light, radius: float) -> Markup:
    half = _half_width(light)
    x, y = _from_above(light.azimuth_deg, radius)
    along_x, along_y = cos(radians(light.azimuth_deg)), -sin(radians(light.azimuth_deg))
    corners = (
        (x - half * along_x, y - half * along_y),
        (x + half * along_x, y + half * along_y),
        (CENTRE_X + 24 * along_x, CENTRE_Y + 24 * along_y),
        (CENTRE_X - 24 * along_x, CENTRE_Y - 24 * along_y),
    )
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners)
    return el("polygon", points=points, fill=kelvin_colour(light.kelvin), class_="beam")


def _half_width(light: Light) -> float:
    return 7 + 24 * light.softness


def _source(light: Light, radius: float, label_deg: float) -> Markup:
    x, y = _from_above(light.azimuth_deg, radius)
    half = _half_width(light)
    lamp = el(
        "rect",
        x=x - half,
        y=y - 5,
        width=2 * half,
        height=10,
        rx=5,
        transform=f"rotate({-light.azimuth_deg:.1f} {x:.1f} {y:.1f})",
        fill=kelvin_colour(light.kelvin),
        class_="lamp",
    )
    return el("g", lamp, _label(light, label_deg), data_light=light.role, data_x=x, data_y=y)


def _label(light: Light, azimuth_deg: float) -> Markup:
    x, y = _from_above(azimuth_deg, LABEL_RADIUS)
    sideways = sin(radians(azimuth_deg))
    anchor = "start" if sideways > 0.3 else "end" if sideways < -0.3 else "middle"
    lines = el("tspan", light.role, x=x, class_="role"), el("tspan", exposure(light.ev), x=x, dy="1.2em")
    return el("text", lines, x=x, y=y - 3, text_anchor=anchor)


def _subject_from_above() -> Iterator[Markup]:
    yield el("circle", cx=CENTRE_X, cy=CENTRE_Y, r=26, class_="subject")
    yield el("text", "subject", x=CENTRE_X, y=CENTRE_Y + 4, text_anchor="middle", class_="quiet")


def _camera(x: float, y: float) -> Markup:
    body = el("rect", x=x - 17, y=y, width=34, height=22, rx=4)
    lens = el("path", d=f"M{x - 8} {y} l-4 -9 h24 l-4 9 z")
    label = el("text", "camera", x=x, y=y + 40, text_anchor="middle", class_="quiet")
    return el("g", body, lens, label, class_="camera")


def side_view(lights: Sequence[Light], name: str) -> Markup:
    """How high each light stands, as SVG; which way round is the plan view's business."""
    lowest = min(0.0, *(light.elevation_deg for light in lights)) if lights else 0.0
    below = SIDE_RADIUS * sin(radians(-lowest))
    level = (SIDE_HEIGHT + SIDE_RADIUS) / 2
    radii = (SIDE_RADIUS - SIDE_STEP * place for place in range(len(lights)))
    return _picture(
        name,
        f"0 0 {SIDE_WIDTH} {SIDE_HEIGHT + below:.0f}",
        "Height of the lights",
        lights,
        _protractor(level),
        (_height(light, radius, level) for light, radius in zip(lights, radii, strict=True)),
    )


def _from_the_side(elevation_deg: float, radius: float, level: float) -> tuple[float, float]:
    return SIDE_X + radius * cos(radians(elevation_deg)), level - radius * sin(radians(elevation_deg))


def _protractor(level: float) -> Iterator[Markup]:
    yield el("line", x1=6, y1=level, x2=SIDE_WIDTH - 6, y2=level, class_="dial")
    top = level - SIDE_RADIUS
    yield el(
        "path", d=f"M{SIDE_X} {top} A{SIDE_RADIUS} {SIDE_RADIUS} 0 0 1 {SIDE_X + SIDE_RADIUS} {level}", class_="dial"
    )
    for angle in (30, 60, 90):
        (x1, y1), (x2, y2) = (_from_the_side(angle, SIDE_RADIUS + reach, level) for reach in (-4, 4))
        yield el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="dial")
    yield el("circle", cx=SIDE_X, cy=level, r=16, class_="subject")


def _height(light: Light, radius: float, level: float) -> Markup:
    x, y = _from_the_side(light.elevation_deg, radius, level)
    ray = el("line", x1=SIDE_X, y1=level, x2=x, y2=y, stroke=kelvin_colour(light.kelvin), class_="ray")
    lamp = el("circle", cx=x, cy=y, r=7, fill=kelvin_colour(light.kelvin), class_="lamp")
    label = f"{light.elevation_deg:.0f}°".replace("-", "−")
    lines = el("tspan", light.role, class_="role"), f" {label}"
    return el(
        "g",
        ray,
        lamp,
        el("text", lines, x=x, y=y + (24 if light.elevation_deg < 0 else -13), text_anchor="middle"),
        data_light=light.role,
        data_y=y,
    )
