"""What the studio's tools are asked for, in the order in which they are to run, and how each step reads.

| Step | Why there |
|---|---|
| white balance | the colour of a light is meant on a neutral picture |
| exposure, shadows, highlights | tone of the whole picture; beside lights, their own tool takes the exposure |
| relight | |
| contrast and saturation, detail | they work on what the light has left |
| blurred, cut out, new background, product shot | nothing may touch a ground that has to be exact |
| enlarge, resize | no step has to work on pixels that were made |
| export | the finished file |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prolight.adapters.offline.lights import BEHIND_DEG, background, export, exposure_ev, lights, number, tidy
from prolight.adapters.offline.marks import Mark
from prolight.adapters.offline.reading import ROLES, Reading
from prolight.adapters.offline.tools import (
    BLUR,
    CONTRAST,
    CROP,
    ENHANCE,
    ENLARGE,
    EXPORT,
    EXPOSURE,
    PRODUCT_SHOT,
    RELIGHT,
    REMOVE,
    REPLACE,
    RESIZE,
    WHITE_BALANCE,
)
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN

Params = dict[str, Any]
DEFAULT_FORMAT, DEFAULT_QUALITY = "jpeg", 92
WHITE = "#ffffff"


@dataclass(frozen=True, slots=True)
class Operation:
    """`owners` are what of the brief the tool serves; `params` are None when the brief asks for nothing of it."""

    tool: str
    owners: tuple[str, ...]
    params: Callable[[Reading], Params | None]
    described: Callable[[Mapping[str, Any]], str]


def _settings(reading: Reading, owner: str, **names: str) -> Params:
    """The tool's params by the fields of `owner` that are said."""
    wishes = reading.wishes.get(owner)
    found = {param: wishes.number(field) for param, field in names.items()} if wishes else {}
    return {param: tidy(value) for param, value in found.items() if value is not None}


def _says(reading: Reading, owner: str, field: str) -> bool:
    return owner in reading.wishes and field in reading.wishes[owner].chosen


def _word(reading: Reading, owner: str, field: str) -> str:
    return str(reading.wishes[owner].chosen[field].value) if _says(reading, owner, field) else ""


def _balance(reading: Reading) -> Params | None:
    asked = _settings(reading, "balance", neutralise="neutralise", kelvin="kelvin")
    warmth = _settings(reading, "picture", kelvin="kelvin")
    return {"neutralise": 1 if asked else 0, "kelvin": NEUTRAL_KELVIN, **warmth, **asked} if asked or warmth else None


def _exposure(reading: Reading) -> Params | None:
    ev = 0.0 if reading.lights else exposure_ev(reading)
    tones = _settings(reading, "tones", shadows_ev="shadows_ev", highlights_ev="highlights_ev")
    return {**({"ev": ev} if ev else {}), **tones} or None


def _relight(reading: Reading) -> Params | None:
    made: Params = dict(lights(reading))
    ev = exposure_ev(reading)
    return {**made, **({"exposure_ev": ev} if ev else {})} if made else None


def _contrast(reading: Reading) -> Params | None:
    return _settings(reading, "contrast", amount="contrast", saturation="saturation") or None


def _detail(reading: Reading) -> Params | None:
    return _settings(reading, "detail", denoise="denoise", local_contrast="local_contrast", sharpen="sharpen") or None


def _blur(reading: Reading) -> Params | None:
    """Nothing where the ground becomes a plain colour: there is nothing left of it to blur."""
    if background(reading) or _shot(reading):
        return None
    return _settings(reading, "blur", amount="blur") or None


def _cut(reading: Reading) -> Params | None:
    alone = not (_cropped(reading) or background(reading) or _shot(reading))
    return {} if _says(reading, "cut", "out") and alone else None


def _cropped(reading: Reading) -> bool:
    """A margin is one around what is cut out."""
    around = _says(reading, "cut", "out") and _says(reading, "cut", "margin") and not background(reading)
    return around or _says(reading, "cut", "crop")


def _crop(reading: Reading) -> Params | None:
    if not _cropped(reading) or _shot(reading):
        return None
    return _settings(reading, "cut", margin_percent="margin")


def _background(reading: Reading) -> Params | None:
    color = background(reading)
    return {"color": color} if color and not _shot(reading) else None


def _shot(reading: Reading) -> Params | None:
    asked = _says(reading, "shot", "made") or _says(reading, "shot", "fill")
    if not asked or "background" in reading.excluded:
        return None
    width, height = _box(reading) or (2000, 2000)
    return {
        "color": background(reading) or WHITE,
        "width_px": width,
        "height_px": height,
        "fill_percent": 85,
        "shadow": _word(reading, "shot", "shadow") or "none",
        **_settings(reading, "shot", fill_percent="fill"),
    }


def _enlarge(reading: Reading) -> Params | None:
    return _settings(reading, "enlarge", factor="factor") or None


def _resize(reading: Reading) -> Params | None:
    sides = _settings(reading, "size", width_px="width", height_px="height")
    box = None if _shot(reading) else _box(reading)
    if box is None:
        return sides or None
    color = background(reading)
    fit = _word(reading, "size", "fit") or ("pad" if color else "cover")
    ground = {"color": color or WHITE} if fit == "pad" else {}
    return {"width_px": box[0], "height_px": box[1], "fit": fit, **ground}


def _box(reading: Reading) -> tuple[int, int] | None:
    box = _word(reading, "size", "box").split("x")
    return (int(box[0]), int(box[1])) if len(box) == 2 else None


def _export(reading: Reading) -> Params | None:
    if "export" not in reading.wishes:
        return None
    said = export(reading)
    if _transparent(reading) and said.get("format") == DEFAULT_FORMAT:
        del said["format"]
    return {**default_export(reading), **said}


def default_export(reading: Reading) -> Params:
    """A cut-out keeps its transparency, which a JPEG has not."""
    return {"format": "png" if _transparent(reading) else DEFAULT_FORMAT, "quality": DEFAULT_QUALITY}


def _transparent(reading: Reading) -> bool:
    return _cut(reading) is not None or (_crop(reading) is not None and not background(reading))


def ignored(reading: Reading) -> list[Mark]:
    """What is said and no step takes: a margin around nothing that is cut out, JPEG for what is transparent."""
    unused = [("cut", "margin")] if _crop(reading) is None else []
    if _transparent(reading) and _word(reading, "export", "format") == DEFAULT_FORMAT:
        unused.append(("export", "format"))
    wishes = [(reading.wishes[owner], field) for owner, field in unused if _says(reading, owner, field)]
    # What a preset's own brief asked for is no word of this one.
    return [each.chosen[field] for each, field in wishes if each.chosen[field] in each.said]


def _told(**params_by_word: str) -> Callable[[Mapping[str, Any]], str]:
    """`word +0.3` for those of these params that are there."""
    return lambda params: ", ".join(
        f"{word.replace('_', ' ')} {number(params, name):+g}" for word, name in params_by_word.items() if name in params
    )


def _told_relight(params: Mapping[str, Any]) -> str:
    made = [_told_light(role, params[role]) for role in ROLES if isinstance(params.get(role), Mapping)]
    if exposure := number(params, "exposure_ev"):
        made.append(f"exposure {exposure:+g} EV")
    return "relight with " + " and ".join(made) if made else "relight"


def _told_light(role: str, light: Mapping[str, Any]) -> str:
    azimuth = number(light, "azimuth_deg")
    side = f"{abs(azimuth):g}° camera {'left' if azimuth < 0 else 'right'}"
    place = "in front" if azimuth == 0 else "behind" if abs(azimuth) == BEHIND_DEG else side
    figures = (number(light, "ev"), number(light, "kelvin", NEUTRAL_KELVIN), number(light, "softness"))
    return "{} {} ({:+g} EV, {:g} K, softness {:g})".format(role, place, *figures)


def _told_balance(params: Mapping[str, Any]) -> str:
    taken = "take the colour cast out" if number(params, "neutralise", 1) else "leave the colour cast"
    return f"{taken}, look {number(params, 'kelvin', NEUTRAL_KELVIN):g} K"


def _told_exposure(params: Mapping[str, Any]) -> str:
    parts = {"exposure": "ev", "shadows": "shadows_ev", "highlights": "highlights_ev"}
    return ", ".join(f"{part} {number(params, name):+g} EV" for part, name in parts.items() if number(params, name))


def _told_shot(params: Mapping[str, Any]) -> str:
    shadow = " with a contact shadow" if params.get("shadow") == "contact" else ""
    size = f"{params.get('width_px')} x {params.get('height_px')} px"
    return f"product shot on {params.get('color')}, {size}, filled to {number(params, 'fill_percent'):g} %{shadow}"


def _told_resize(params: Mapping[str, Any]) -> str:
    words = {"width_px": "wide", "height_px": "high"}
    sides = [f"{params[name]} px {word}" for name, word in words.items() if name in params]
    return f"resize to {' and '.join(sides)}" + (f" ({params['fit']})" if "fit" in params else "")


def _told_export(params: Mapping[str, Any]) -> str:
    size = f" with a long side of {params['long_side_px']} px" if "long_side_px" in params else ""
    return f"export as {str(params.get('format')).upper()}{size}"


OPERATIONS = (
    Operation(WHITE_BALANCE, ("balance", "picture"), _balance, _told_balance),
    Operation(EXPOSURE, ("picture", "tones"), _exposure, _told_exposure),
    Operation(RELIGHT, (*ROLES, "picture"), _relight, _told_relight),
    Operation(CONTRAST, ("contrast",), _contrast, _told(contrast="amount", saturation="saturation")),
    Operation(
        ENHANCE, ("detail",), _detail, _told(denoise="denoise", local_contrast="local_contrast", sharpen="sharpen")
    ),
    Operation(BLUR, ("blur",), _blur, lambda params: "blur the background"),
    Operation(REMOVE, ("cut",), _cut, lambda params: "remove the background"),
    Operation(CROP, ("cut",), _crop, lambda params: "cut the subject out and crop to it"),
    Operation(REPLACE, ("background", "cut"), _background, lambda params: f"put the subject on {params['color']}"),
    Operation(PRODUCT_SHOT, ("shot", "background", "size", "cut", "shop"), _shot, _told_shot),
    Operation(ENLARGE, ("enlarge",), _enlarge, lambda params: f"enlarge {params.get('factor')} times"),
    Operation(RESIZE, ("size", "shop"), _resize, _told_resize),
    Operation(EXPORT, ("export",), _export, _told_export),
)
