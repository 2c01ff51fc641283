"""Exposure, contrast, white balance, enhancement: what they promise, on drawn pictures and photographs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.studio.balance import Cast, measure_cast, white_balance
from prolight.studio.colour import MIDDLE_GREY, SHOULDER_START, Pixels, luminance, to_linear, to_srgb, toned
from prolight.studio.contrast import adjust_contrast
from prolight.studio.enhance import enhance_image, measure_noise
from prolight.studio.exposure import adjust_exposure

from .pictures import CAT, DUFFEL, HELMET, VASE, flat, noise, photo

SIDE = 400
NONE = Cast(np.ones(3), found=False)
OPERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "exposure": lambda pixels: adjust_exposure(pixels, 0.7, 1, -1),
    "contrast": lambda pixels: adjust_contrast(pixels, 0.5, 0.5),
    "balance": lambda pixels: white_balance(pixels, measure_cast(pixels), 0.8, 4200, 0.3),
    "enhance": lambda pixels: enhance_image(pixels, 0.5, 0.5, 0.5),
}
IDLE: dict[str, Callable[[Pixels], Pixels]] = {
    "exposure": lambda pixels: adjust_exposure(pixels, 0, 0, 0),
    "contrast": lambda pixels: adjust_contrast(pixels, 0, 0),
    "balance": lambda pixels: white_balance(pixels, measure_cast(pixels), 0, 5500, 0),
    "enhance": lambda pixels: enhance_image(pixels, 0, 0, 0),
}
unit = st.floats(-1, 1)


def ramp(size: int = 256) -> Pixels:
    """All greys, from left to right."""
    return np.repeat(np.tile(np.arange(size, dtype=np.uint8), (64, 1))[..., None], 3, axis=2)


def mean_light(pixels: Pixels) -> float:
    return float(to_linear(pixels).mean(dtype=np.float64))


def red_over_blue(pixels: Pixels) -> float:
    red, _, blue = to_linear(pixels).reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return float(red / blue)


@pytest.mark.parametrize("name", IDLE)
def test_an_operation_at_nothing_changes_no_code(name: str) -> None:
    assert np.array_equal(IDLE[name](photo(HELMET, SIDE)), photo(HELMET, SIDE))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_the_same_codes_on_repeat(name: str) -> None:
    assert np.array_equal(OPERATIONS[name](photo(HELMET, SIDE)), OPERATIONS[name](photo(HELMET, SIDE)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_mirrored_picture_comes_out_mirrored(name: str) -> None:
    straight = OPERATIONS[name](photo(HELMET, SIDE)).astype(int)
    mirrored = OPERATIONS[name](np.ascontiguousarray(photo(HELMET, SIDE)[:, ::-1]))[:, ::-1].astype(int)
    assert np.mean(np.abs(straight - mirrored) > 1) < 0.001, "beyond what rounding does"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "balance"])
def test_greys_stay_grey(name: str) -> None:
    made = OPERATIONS[name](ramp()).astype(int)
    assert np.ptp(made, axis=2).max() <= 1


@pytest.mark.parametrize("name", ["exposure", "contrast", "balance"])
def test_brighter_greys_stay_brighter(name: str) -> None:
    assert np.diff(OPERATIONS[name](ramp()).astype(int), axis=1).min() >= -1


@given(st.floats(-4, 1))
def test_stops_double_light_below_the_shoulder(ev: float) -> None:
    dim = toned(photo(VASE, 160), lambda linear, _: linear * np.float32(0.35))
    assert mean_light(adjust_exposure(dim, ev)) == pytest.approx(mean_light(dim) * 2**ev, rel=0.02)
    assert to_linear(dim).max() * 2**1 <= SHOULDER_START


def test_light_beyond_white_is_rolled_off_and_keeps_its_order() -> None:
    bright = adjust_exposure(ramp(), 1)
    row = bright[0, :, 0].astype(int)
    assert np.diff(row).min() >= 0 and row[-1] == 255 and len(np.unique(row[188:])) > 5, "188 is half of white"


def test_shadows_and_highlights_change_their_own_half() -> None:
    greys = np.repeat(np.repeat(np.array([8, 118, 250], np.uint8), 100)[None, :, None], 300, axis=0).repeat(3, axis=2)
    lifted = to_linear(adjust_exposure(greys, 0, 2, 0))[150, [50, 150, 250], 0]
    pulled = to_linear(adjust_exposure(greys, 0, 0, -2))[150, [50, 150, 250], 0]
    given = to_linear(greys)[150, [50, 150, 250], 0]
    assert lifted[0] > 2.5 * given[0] and lifted[1:] == pytest.approx(given[1:], rel=0.05)
    assert pulled[2] < 0.5 * given[2] and pulled[0] == pytest.approx(given[0], rel=0.05)


@given(unit)
def test_contrast_leaves_black_middle_grey_and_white_where_they_are(amount: float) -> None:
    grey = int(to_srgb(np.full((1, 1, 3), MIDDLE_GREY, np.float32))[0, 0, 0])
    for level in (0, grey, 255):
        assert abs(int(adjust_contrast(flat(level, 8), amount)[0, 0, 0]) - level) <= 1


@given(unit)
def test_contrast_undoes_itself(amount: float) -> None:
    there_and_back = adjust_contrast(adjust_contrast(ramp(), amount), -amount).astype(int)
    assert np.abs(there_and_back - ramp())[:, 8:].max() <= 4, "two roundings to codes, in the steepest part"


def test_no_saturation_is_the_luminance_and_more_is_more_colourful() -> None:
    given = photo(VASE, SIDE)
    grey = adjust_contrast(given, 0, -1)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    assert luminance(to_linear(grey)).mean() == pytest.approx(luminance(to_linear(given)).mean(), rel=0.01)
    spread = [np.ptp(to_linear(adjust_contrast(given, 0, much)), axis=2).mean() for much in (-0.5, 0, 0.5, 1)]
    assert spread == sorted(spread) and spread[-1] > 1.3 * spread[1]


def test_contrast_keeps_hues_out_of_clipping() -> None:
    strong = adjust_contrast(photo("armchair-textile-bright-room.jpg", SIDE), 1, 1).astype(int)
    orange = strong[(strong[..., 0] - strong[..., 2]) > 60]
    assert len(orange) and np.all(orange[:, 0] >= orange[:, 1]) and np.all(orange[:, 1] >= orange[:, 2])


@given(st.lists(st.floats(1700, 15000), min_size=2, max_size=5, unique_by=round))
def test_a_lower_kelvin_is_never_cooler(kelvins: list[float]) -> None:
    warmth = [red_over_blue(white_balance(flat(110, 8), NONE, 0, kelvin, 0)) for kelvin in sorted(kelvins)]
    assert warmth == sorted(warmth, reverse=True)


def test_tint_goes_from_green_to_magenta() -> None:
    green, neutral, magenta = (
        white_balance(flat(110, 8), NONE, 0, 5500, tint)[0, 0].astype(int) for tint in (-1, 0, 1)
    )
    assert green[1] > neutral[1] > magenta[1] and green[0] < neutral[0] < magenta[0]


@pytest.mark.parametrize("gain", [(0.7, 1.0, 0.6), (1.3, 1.0, 0.6), (0.8, 1.0, 1.3)], ids=["green", "warm", "cool"])
def test_a_cast_that_was_put_in_is_taken_out(gain: tuple[float, float, float]) -> None:
    tinted = toned(photo(VASE, SIDE), lambda linear, _: linear * np.array(gain, np.float32) * np.float32(0.6))
    neutral = white_balance(tinted, measure_cast(tinted), 1, 5500, 0)
    floor = to_linear(neutral)[370:390, 30:120].reshape(-1, 3).mean(axis=0)
    assert floor / floor[1] == pytest.approx(1, abs=0.12)
    half = white_balance(tinted, measure_cast(tinted), 0.5, 5500, 0)
    between = [red_over_blue(picture) for picture in (tinted, half, neutral)]
    assert between in (sorted(between), sorted(between, reverse=True))


def test_a_neutral_picture_has_no_cast_to_take_out() -> None:
    assert measure_cast(photo("tray-matte-cast-shadow.jpg", SIDE)).colour == pytest.approx(1, abs=0.03)
    assert np.array_equal(white_balance(ramp(), measure_cast(ramp()), 1, 5500, 0), ramp())


def test_pure_white_stays_white_when_a_cast_is_taken_out() -> None:
    tinted = toned(photo(DUFFEL, SIDE), lambda linear, _: linear * np.array([1, 0.9, 0.7], np.float32))
    tinted[:40] = 255
    assert (white_balance(tinted, measure_cast(tinted), 1, 5500, 0)[:20] >= 254).all()


@pytest.mark.parametrize("pixels", [flat(0), flat(255), np.full((64, 64, 3), (255, 20, 0), np.uint8)])
def test_where_nothing_is_grey_no_cast_is_found(pixels: Pixels) -> None:
    assert not measure_cast(pixels).found


def test_noise_is_taken_out_and_edges_are_kept() -> None:
    step = np.full((120, 160, 3), 90, np.float32)
    step[:, 80:] = 170
    grain = np.random.default_rng(4).normal(0, 6, step.shape)
    noisy = np.clip(np.round(step + grain), 0, 255).astype(np.uint8)
    calm = enhance_image(noisy, denoise=1).astype(float)
    assert calm[20:100, 10:70].std() < 0.5 * noisy[20:100, 10:70].std()
    assert calm[:, 84:].mean() - calm[:, :76].mean() == pytest.approx(80, abs=2)
    assert np.abs(calm[:, 82].mean() - calm[:, 77].mean()) > 65


def test_noise_is_measured_in_codes() -> None:
    grain = np.random.default_rng(4).normal(128, 5, (200, 200)).astype(np.float32)
    assert measure_noise(grain) == pytest.approx(5, rel=0.1)


def test_sharpening_sharpens_without_halos() -> None:
    step = flat(90, 100)
    step[:, 50:] = 170
    sharp = enhance_image(step, sharpen=1).astype(int)
    assert sharp.min() >= 90 - 5 and sharp.max() <= 170 + 5
    soft = photo(CAT, SIDE)
    before, after = (
        np.abs(np.diff(pixels.astype(int), axis=1)).mean() for pixels in (soft, enhance_image(soft, 0, 0, 1))
    )
    assert after > 1.2 * before


def test_local_contrast_brings_out_texture_and_leaves_flat_parts_alone() -> None:
    assert np.array_equal(enhance_image(flat(120), local_contrast=1), flat(120))
    textured = toned(noise(), lambda linear, _: np.float32(0.2) + np.float32(0.1) * linear)
    assert enhance_image(textured, local_contrast=1).std() > 1.1 * textured.std()
