"""A finished file, held against what a shop asks for.

Format, size and bytes are read from the file as it is delivered; the ground and what stands on it from its decoded
pixels. The ground is what the shop asks for, or else the one colour of the frame's edge. What differs from it visibly
is the subject; a shadow is taken for a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from pydantic import Field

from prolight.pictures import measure
from prolight.schemas import Miss, Requirements, Value
from prolight.studio.colour import Pixels
from prolight.studio.cutout import Box
from prolight.studio.picture import Picture

SEEN = 8
"""Codes by which a pixel differs from the ground before it counts as the subject: what JPEG leaves around an edge is
less, and so is a ground that is not quite white, which must not count as subject."""
JPEG_REACH = 16
"""Pixels around the subject into which JPEG spreads its edge: one block of halved chroma (T.81, 4:2:0)."""
ASPECT_SLACK_PX = 1.0


class Figures(Value):
    """What was measured. Fill and margins are null where the picture has no plain ground."""

    format: str
    size_bytes: int
    width: int
    height: int
    transparent: bool
    ground: str | None = Field(description="the one colour that the frame's edge has, if it has one")
    ground_off_percent: float = Field(description="of the ground that was asked for, or found: what is not exactly it")
    ground_off_codes: int = Field(description="how far the worst of that is from it, of 255")
    fill_percent: float | None
    margins_px: tuple[int, int, int, int] | None = Field(description="left, top, right, bottom")


class Checked(Value):
    """`misses` are what is required and not so, `advice` what is recommended and not so."""

    met: bool
    misses: tuple[Miss, ...]
    advice: tuple[Miss, ...]
    figures: Figures


def check(content: bytes, picture: Picture, required: Requirements, recommended: Requirements) -> Checked:
    """`picture` is `content`, decoded."""
    wanted = required.background or recommended.background
    figures = measured(content, picture, wanted)
    misses = tuple(_missed(required, figures))
    advice = tuple(miss for miss in _missed(recommended, figures) if miss.rule not in {one.rule for one in misses})
    return Checked(met=not misses, misses=misses, advice=advice, figures=figures)


def measured(content: bytes, picture: Picture, wanted: str | None) -> Figures:
    """The figures; `wanted` is the ground that is asked for, "#rrggbb"."""
    seen = picture.opaque()
    own = _edge_colour(seen)
    ground = wanted or own
    header = measure(content)
    box = _subject(seen, ground) if ground else None
    off = _off_ground(seen, ground, box) if ground else np.zeros(0, np.uint8)
    height, width = seen.shape[:2]
    return Figures(
        format=header.media_type.removeprefix("image/"),
        size_bytes=len(content),
        width=width,
        height=height,
        transparent=picture.alpha is not None and bool((picture.alpha < 255).any()),
        ground=own,
        ground_off_percent=round(100 * float(np.mean(off > 0)), 3) if off.size else 0.0,
        ground_off_codes=int(off.max(initial=0)),
        fill_percent=round(100 * max(box.width / width, box.height / height), 2) if box else None,
        margins_px=(box.left, box.top, width - box.right, height - box.bottom) if box else None,
    )


def _edge(seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The outermost pixels."""
    return np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])


def _edge_colour(seen: Pixels) -> str | None:
    edge = _edge(seen)
    return f"#{bytes(edge[0]).hex()}" if (edge == edge[0]).all() else None


def _subject(seen: Pixels, ground: str) -> Box | None:
    """The box of what differs visibly from the ground."""
    visible = _difference(seen, ground) > SEEN
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not rows.size:
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _difference(seen: Pixels, ground: str) -> npt.NDArray[np.uint8]:
    """Codes by which the furthest channel is off."""
    colour = np.frombuffer(bytes.fromhex(ground.removeprefix("#")), np.uint8)
    return np.asarray((np.maximum(seen, colour) - np.minimum(seen, colour)).max(axis=2), np.uint8)


def _off_ground(seen: Pixels, ground: str, box: Box | None) -> npt.NDArray[np.uint8]:
    """How far each pixel of the edge, and each that lies well outside the subject's box, is from the ground."""
    off = _difference(seen, ground)
    outside = np.ones(off.shape, bool)
    if box:
        outside[box.grown(JPEG_REACH, *off.shape).slices] = False
    return np.concatenate([_edge(off), off[outside]])


Rule = Callable[[Requirements, Figures], Miss | None]


def _missed(asked: Requirements, found: Figures) -> Iterator[Miss]:
    for rule in RULES:
        if miss := rule(asked, found):
            yield miss


def _background(asked: Requirements, found: Figures) -> Miss | None:
    if asked.background is None:
        return None
    miss = partial(Miss, rule="background", wanted=f"a ground of exactly {asked.background}")
    if found.transparent:
        return miss(found="a transparent one", remedy=f"lay the subject on {asked.background}, or export a JPEG")
    if not found.ground_off_percent:
        return None
    off = f"{found.ground_off_percent:g} % of it off by up to {found.ground_off_codes} codes"
    remedy = f"lay the subject on {asked.background} with product_shot or replace_background, and export PNG or a JPEG"
    return miss(found=off, remedy=f"{remedy} of quality 92, which keeps a plain ground exact")


def _fill(asked: Requirements, found: Figures) -> Miss | None:
    least, most = asked.min_fill_percent, asked.max_fill_percent
    if least is None and most is None:
        return None
    wanted = " and ".join(
        f"{word} {limit:g} %" for word, limit in (("at least", least), ("at most", most)) if limit is not None
    )
    if found.fill_percent is None:
        remedy = "put the subject on a plain ground, against which it can be measured"
        return Miss(rule="fill", wanted=wanted, found="no subject on a plain ground", remedy=remedy)
    if (least or 0) <= found.fill_percent <= (100 if most is None else most):
        return None
    aim = (least or most or 0) if least is None or most is None else (least + most) / 2
    remedy = f"set fill_percent of product_shot to {aim:g}"
    return Miss(rule="fill", wanted=wanted, found=f"{found.fill_percent:g} %", remedy=remedy)


def _margin(asked: Requirements, found: Figures) -> Miss | None:
    least = asked.min_margin_px
    if least is None or (found.margins_px and min(found.margins_px) >= least):
        return None
    margin = f"{min(found.margins_px)} px" if found.margins_px else "no subject on a plain ground"
    remedy = "show the whole subject with ground around it: less fill, or a photograph that does not cut it"
    return Miss(rule="margin", wanted=f"at least {least} px on each side", found=margin, remedy=remedy)


def _format(asked: Requirements, found: Figures) -> Miss | None:
    if not asked.formats or found.format in asked.formats:
        return None
    wanted = " or ".join(name.upper() for name in asked.formats)
    remedy = f"export as {asked.formats[0].upper()}"
    return Miss(rule="format", wanted=wanted, found=found.format.upper(), remedy=remedy)


def _at_least(rule: str, field: str, figure: Callable[[Figures], int], unit: str, remedy: str) -> Rule:
    return _limit(rule, field, figure, unit, remedy, beyond=lambda value, limit: value < limit, word="at least")


def _at_most(rule: str, field: str, figure: Callable[[Figures], int], unit: str, remedy: str) -> Rule:
    return _limit(rule, field, figure, unit, remedy, beyond=lambda value, limit: value > limit, word="at most")


def _limit(
    rule: str,
    field: str,
    figure: Callable[[Figures], int],
    unit: str,
    remedy: str,
    *,
    beyond: Callable[[int, int], bool],
    word: str,
) -> Rule:
    def judge(asked: Requirements, found: Figures) -> Miss | None:
        limit, value = getattr(asked, field), figure(found)
        if limit is None or not beyond(value, limit):
            return None
        return Miss(rule=rule, wanted=f"{word} {limit:,} {unit}", found=f"{value:,} {unit}", remedy=remedy)

    return judge


def _aspect(asked: Requirements, found: Figures) -> Miss | None:
    if asked.aspect is None:
        return None
    wide, high = map(int, asked.aspect.split(":"))
    if abs(found.width - found.height * wide / high) <= ASPECT_SLACK_PX:
        return None
    remedy = f"resize to {asked.aspect} with fit cover (cropped) or pad"
    return Miss(rule="aspect", wanted=asked.aspect, found=f"{found.width} x {found.height} px", remedy=remedy)


LARGER = "make it larger: product_shot, resize, or a photograph with more pixels"
SMALLER = "resize it to less"
RULES: tuple[Rule, ...] = (
    _background,
    _fill,
    _margin,
    _format,
    _at_least("long_side", "min_long_side_px", lambda found: max(found.width, found.height), "px", LARGER),
    _at_most("long_side", "max_long_side_px", lambda found: max(found.width, found.height), "px", SMALLER),
    _at_least("short_side", "min_short_side_px", lambda found: min(found.width, found.height), "px", LARGER),
    _at_most("pixels", "max_pixels", lambda found: found.width * found.height, "pixels", SMALLER),
    _aspect,
    _at_most("bytes", "max_bytes", lambda found: found.size_bytes, "bytes", "export a JPEG, or one of less quality"),
)
"""One for each of the `Requirements`; `shadow` is judged on the plan."""
