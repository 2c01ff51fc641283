"""Linear light, the colour of lights, and the shoulder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.studio.colour import (
    DAYLIGHT_KELVIN,
    LUMA_WEIGHTS,
    SHOULDER_START,
    Linear,
    light_colour,
    luminance,
    planckian_rgb,
    shoulder,
    to_linear,
    to_srgb,
)

KELVIN = st.integers(1700, 15000)


def grey(*levels: float) -> Linear:
    return np.array(levels, np.float32).reshape(1, -1, 1).repeat(3, axis=2)


def test_every_code_survives_the_way_to_linear_light_and_back() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    assert (to_srgb(to_linear(codes)) == codes).all()


def test_middle_grey_is_code_118() -> None:
    assert to_srgb(grey(0.18)).ravel().tolist() == [118, 118, 118]


def test_light_outside_the_display_is_clipped_not_wrapped() -> None:
    assert to_srgb(grey(-0.5, 7.0))[0, :, 0].tolist() == [0, 255]


def test_planckian_light_matches_the_published_ratio_to_d65() -> None:
    ratio = planckian_rgb(3200) / planckian_rgb(6504)
    assert ratio == pytest.approx([1.609, 0.881, 0.315], abs=0.01)


def test_daylight_changes_no_colour() -> None:
    assert light_colour(DAYLIGHT_KELVIN) == pytest.approx([1, 1, 1], abs=1e-6)


@given(KELVIN)
def test_a_light_of_any_colour_keeps_the_luminance_of_grey(kelvin: int) -> None:
    assert float(light_colour(kelvin) @ LUMA_WEIGHTS) == pytest.approx(1, abs=1e-5)


@given(KELVIN, KELVIN)
def test_the_lower_kelvin_has_more_red_over_blue(one: int, other: int) -> None:
    low, high = sorted((one, other))
    warm, cool = light_colour(low), light_colour(high)
    # A step of one kelvin at 15000 K is below float32's resolution, so equal is allowed for neighbours.
    assert warm[0] / warm[2] >= cool[0] / cool[2] * (1 - 1e-6)
    if high - low > 50:
        assert warm[0] / warm[2] > cool[0] / cool[2]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8))
def test_a_picture_within_white_passes_the_shoulder_unchanged(levels: list[float]) -> None:
    np.testing.assert_allclose(shoulder(grey(*levels)), grey(*levels), rtol=1e-6)  # float32 has seven digits


@given(st.lists(st.floats(0, 16, width=32), min_size=2, max_size=16))
def test_the_shoulder_keeps_order_stays_in_range_and_is_linear_below_its_start(levels: list[float]) -> None:
    before = np.sort(np.array(levels, np.float32))
    after = shoulder(grey(*before))[0, :, 0]
    assert (np.diff(after) >= -1e-6).all()
    assert after.min() >= 0 and to_srgb(shoulder(grey(*before))).max() <= 255
    below = before <= np.float32(SHOULDER_START)
    assert (after[below] == before[below]).all()


def test_two_bright_tones_stay_apart_under_the_shoulder() -> None:
    codes = to_srgb(shoulder(grey(1.0, 1.6, 2.4)))[0, :, 0].astype(int)
    assert codes[0] < codes[1] < codes[2]


def test_luminance_weighs_green_most() -> None:
    pure = np.eye(3, dtype=np.float32).reshape(1, 3, 3)
    assert luminance(pure)[0] == pytest.approx([0.2126, 0.7152, 0.0722])
