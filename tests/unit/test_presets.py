"""What is known of the shops: complete, sourced, and within itself."""

from __future__ import annotations

import re
from datetime import date

import pytest

from prolight import presets
from prolight.errors import InvalidInput
from prolight.presets import Preset, preset
from prolight.schemas import Requirements

EVERY = [preset(name) for name in presets.names()]


def each(*, of: list[Preset] = EVERY) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("one", of, ids=lambda one: one.name)


def test_the_shops_that_photographers_ask_for_are_known() -> None:
    asked = {"amazon-main", "ebay", "etsy", "google-shopping", "instagram-portrait", "instagram-square", "shopify"}
    assert asked <= set(presets.names())
    assert list(presets.names()) == sorted(presets.names())


@pytest.mark.parametrize("name", ["amazon", "", "../errors", "Amazon-Main", "x" * 500])
def test_an_unknown_preset_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match="amazon-main, ebay, etsy") as refused:
        preset(name)
    assert refused.value.field == "preset"


@each()
def test_every_preset_says_where_it_is_from(one: Preset) -> None:
    assert all(source.read <= date.today() for source in one.sources)
    assert one.required != Requirements(), "it requires nothing"


@each()
def test_what_is_delivered_meets_the_sizes_formats_and_fill_that_are_asked_for(one: Preset) -> None:
    made = one.deliver
    for asked in (one.required, one.recommended):
        long, short = max(made.width_px, made.height_px), min(made.width_px, made.height_px)
        assert (asked.min_long_side_px or 0) <= long <= (asked.max_long_side_px or long)
        assert (asked.min_short_side_px or 0) <= short
        assert made.width_px * made.height_px <= (asked.max_pixels or 10**9)
        assert made.format in (asked.formats or (made.format,))
        wide, high = map(int, (asked.aspect or f"{made.width_px}:{made.height_px}").split(":"))
        assert made.width_px * high == made.height_px * wide
        fill = made.fill_percent
        assert fill is None or (asked.min_fill_percent or 0) <= fill <= (asked.max_fill_percent or 100)


@each()
def test_the_brief_says_the_numbers_that_are_delivered(one: Preset) -> None:
    assert f"{one.deliver.width_px} x {one.deliver.height_px} px" in one.brief
    assert one.deliver.format.upper() in one.brief
    if one.deliver.fill_percent:
        assert f"{one.deliver.fill_percent:g}%" in one.brief
    if one.required.background == "#ffffff":
        assert re.search(r"\bpure white\b", one.brief)


def test_a_run_keeps_of_a_preset_what_it_is_held_to_and_nothing_else() -> None:
    target = preset("amazon-main").target
    assert target.told()["required"]["background"] == "#ffffff"
    assert len(target.model_dump_json(exclude_defaults=True)) < 600
