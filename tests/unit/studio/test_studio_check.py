"""Finished files held against what shops ask for; Pillow and numpy alone confirm what the studio says of them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prolight import presets
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.presets import Preset, preset
from prolight.schemas import Requirements
from prolight.studio.check import Checked
from prolight.studio.product import Shot
from prolight.studio.studio import Studio

from .pictures import CONSOLE, DUFFEL, HEADSET, HELMET, PHOTOS, VASE

AMAZON = preset("amazon-main")
RING = 16
"""Pixels: as far as JPEG spreads an edge."""


class Bench:
    def __init__(self, root: Path) -> None:
        self.store = LocalArtifacts(root)
        self.studio = Studio(self.store)

    async def delivered(self, name: str, one: Preset) -> str:
        """The photograph, made for this shop by the tools that a plan would use."""
        picture = (await self.store.put((PHOTOS / name).read_bytes(), media_type="image/jpeg")).id
        made, size = one.deliver, (one.deliver.width_px, one.deliver.height_px)
        if made.fill_percent is None:
            shaped = await self.studio.resize(picture, *size, "cover", "#ffffff")
        else:
            shaped = await self.studio.product_shot(picture, Shot("#ffffff", *size, made.fill_percent))
        return (await self.studio.export(shaped.artifact.id, made.format, None, 92)).artifact.id

    async def check(self, picture: str, one: Preset) -> Checked:
        return await self.studio.check(picture, one.required, one.recommended)

    async def judge(self, content: bytes, media_type: str = "image/png", **required: Any) -> Checked:
        picture = (await self.store.put(content, media_type=media_type)).id
        return await self.studio.check(picture, Requirements(**required), Requirements())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("artifacts"))
    yield bench
    bench.studio.close()


def read_by_others(content: bytes, asked: Requirements) -> dict[str, bool]:
    """What is met, by rule, as told by another reader of the file."""
    with Image.open(io.BytesIO(content)) as image:
        form, mode = (image.format or "").lower(), image.mode
        codes = np.asarray(image.convert("RGB")).astype(int)
    high, wide = codes.shape[:2]
    off = 255 - codes.min(axis=2)
    rows, columns = np.nonzero((off > 8).any(axis=1))[0], np.nonzero((off > 8).any(axis=0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    far = off.copy()
    far[max(0, top - RING) : bottom + RING, max(0, left - RING) : right + RING] = 0
    white = not far.any() and not (off[0].any() or off[-1].any() or off[:, 0].any() or off[:, -1].any())
    fill = 100 * max((right - left) / wide, (bottom - top) / high)
    ratio = [int(part) for part in (asked.aspect or "1:1").split(":")]
    return {
        "background": asked.background is None or (white and mode == "RGB"),
        "fill": (asked.min_fill_percent or 0) <= fill <= (asked.max_fill_percent or 100),
        "margin": min(top, left, high - bottom, wide - right) >= (asked.min_margin_px or 0),
        "format": not asked.formats or form in asked.formats,
        "long_side": (asked.min_long_side_px or 0) <= max(high, wide) <= (asked.max_long_side_px or 10**9),
        "short_side": min(high, wide) >= (asked.min_short_side_px or 0),
        "pixels": high * wide <= (asked.max_pixels or 10**12),
        "aspect": asked.aspect is None or wide * ratio[1] == high * ratio[0],
        "bytes": len(content) <= (asked.max_bytes or 10**12),
    }


@pytest.mark.parametrize("name", [HELMET, VASE])
@pytest.mark.parametrize("one", [preset(name) for name in presets.names()], ids=lambda one: one.name)
async def test_a_photograph_made_for_a_shop_meets_it_and_another_reader_says_so_too(
    bench: Bench, one: Preset, name: str
) -> None:
    picture = await bench.delivered(name, one)
    checked = await bench.check(picture, one)
    assert checked.met and checked.misses == () and checked.advice == ()
    content = await bench.store.get(picture)
    for asked in (one.required, one.recommended):
        assert all(read_by_others(content, asked).values())


@pytest.mark.parametrize(
    ("name", "white"), [(HELMET, False), (VASE, False), (DUFFEL, False), (CONSOLE, True), (HEADSET, True)]
)
async def test_a_photograph_as_it_was_taken_misses_each_shop_by_the_rules_that_another_reader_finds(
    bench: Bench, name: str, white: bool
) -> None:
    content = (PHOTOS / name).read_bytes()
    picture = (await bench.store.put(content, media_type="image/jpeg")).id
    rules: dict[str, set[str]] = {}
    for one in map(preset, presets.names()):
        checked = await bench.check(picture, one)
        rules[one.name] = {rule for rule, met in read_by_others(content, one.required).items() if not met}
        assert {miss.rule for miss in checked.misses} == rules[one.name]
        assert checked.met == (not rules[one.name]) and all(miss.remedy for miss in checked.misses)
    assert ("background" not in rules["amazon-main"]) == white
    assert "aspect" in rules["instagram-portrait"]


def shot(
    side: int = 1000, *, ground: int = 255, subject: float = 0.9, shift: int = 0, form: str = "PNG", **options: Any
) -> bytes:
    """A dark square on a ground."""
    codes = np.full((side, side, 3), ground, np.uint8)
    half, middle = round(side * subject / 2), side // 2 + shift
    codes[side // 2 - half : side // 2 + half, max(0, middle - half) : middle + half] = 40
    file = io.BytesIO()
    Image.fromarray(codes).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type", "required", "rule"),
    [
        (shot(ground=254), "image/png", {"background": "#ffffff"}, "background"),
        (shot(ground=200), "image/png", {"background": "#ffffff"}, "background"),
        (shot(form="JPEG", quality=43), "image/jpeg", {"background": "#ffffff"}, "background"),
        (shot(subject=0.84), "image/png", {"background": "#ffffff", "min_fill_percent": 85}, "fill"),
        (shot(subject=0.92), "image/png", {"max_fill_percent": 90}, "fill"),
        (shot(shift=50), "image/png", {"min_margin_px": 1}, "margin"),
        (shot(form="WEBP", lossless=True), "image/webp", {"formats": ["jpeg", "png"]}, "format"),
        (shot(999), "image/png", {"min_long_side_px": 1000}, "long_side"),
        (shot(1001), "image/png", {"max_long_side_px": 1000}, "long_side"),
        (shot(499), "image/png", {"min_short_side_px": 500}, "short_side"),
        (shot(1001), "image/png", {"max_pixels": 1_000_000}, "pixels"),
        (shot(1000), "image/png", {"aspect": "4:5"}, "aspect"),
        (shot(1000), "image/png", {"max_bytes": 1_000}, "bytes"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_a_file_that_breaks_one_rule_is_convicted_of_it_with_figure_and_remedy(
    bench: Bench, content: bytes, media_type: str, required: dict[str, Any], rule: str
) -> None:
    checked = await bench.judge(content, media_type, **required)
    (miss,) = [miss for miss in checked.misses if miss.rule == rule]
    assert not checked.met and miss.wanted and miss.found and miss.remedy
    assert not read_by_others(content, Requirements(**required))[rule]


@pytest.mark.parametrize(
    ("content", "required"),
    [
        (shot(subject=0.85), {"background": "#ffffff", "min_fill_percent": 85, "min_margin_px": 1}),
        (shot(1000), {"min_long_side_px": 1000, "max_long_side_px": 1000, "max_pixels": 1_000_000, "aspect": "1:1"}),
        (shot(ground=240), {"min_fill_percent": 85}),
    ],
    ids=["fill", "size", "a ground of another colour"],
)
async def test_exactly_the_limit_is_met(bench: Bench, content: bytes, required: dict[str, Any]) -> None:
    assert (await bench.judge(content, **required)).misses == ()


async def test_a_transparent_ground_is_no_white_one(bench: Bench) -> None:
    codes = np.zeros((100, 100, 4), np.uint8)
    codes[20:80, 20:80] = (10, 20, 30, 255)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    (miss,) = (await bench.judge(file.getvalue(), background="#ffffff")).misses
    assert (miss.rule, miss.found) == ("background", "a transparent one")


async def test_what_a_shop_only_recommends_is_advice_and_no_miss(bench: Bench) -> None:
    picture = (await bench.store.put(shot(1200), media_type="image/png")).id
    checked = await bench.check(picture, AMAZON)
    assert checked.met and [miss.rule for miss in checked.advice] == ["format", "long_side"]


def test_white_survives_jpeg_at_every_quality_from_46_up() -> None:
    for quality in range(46, 101):
        with Image.open(io.BytesIO(shot(160, subject=0.5, form="JPEG", quality=quality))) as image:
            codes = np.asarray(image)
        assert codes[:20].min() == 255, quality


async def test_a_check_that_is_asked_for_twice_answers_the_same(bench: Bench) -> None:
    picture = (await bench.store.put(shot(), media_type="image/png")).id
    once, again = await asyncio.gather(bench.check(picture, AMAZON), bench.check(picture, AMAZON))
    assert once == again
