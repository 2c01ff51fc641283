"""What lights do to a picture. `ball` is a flat grey disc, so all its shading is ours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolight.studio.colour import SHOULDER_START, Linear, luminance, to_linear, to_srgb
from prolight.studio.light import Light, Lighting, feather, relight
from prolight.studio.metrics import left_right_ev
from prolight.studio.shape import normals, solve_poisson

from .pictures import CONSOLE, DUFFEL, HELMET, VASE, ball, disc, photo, subject_of

SIDE = 500
WARM, COOL = 3200.0, 8000.0


def light(azimuth: float, ev: float = 0, kelvin: float = 5500, softness: float = 0.5, elevation: float = 25) -> Light:
    return Light(azimuth_deg=azimuth, elevation_deg=elevation, ev=ev, kelvin=kelvin, softness=softness)


def lit(name: str, lighting: Lighting) -> Linear:
    return relight(to_linear(photo(name, SIDE)), subject_of(name, SIDE).alpha, lighting)


lights = st.builds(
    light,
    azimuth=st.floats(-180, 180),
    ev=st.floats(-2, 0),
    kelvin=st.floats(1700, 15000),
    softness=st.floats(0, 1),
    elevation=st.floats(-90, 90),
)


def test_no_light_and_no_exposure_change_nothing() -> None:
    picture, alpha = ball()
    assert (to_srgb(relight(picture, alpha, Lighting())) == to_srgb(picture)).all()


@given(lights, lights, st.floats(-3, 0))
@settings(max_examples=25, deadline=None)
def test_one_stop_of_exposure_doubles_the_light_below_the_shoulder(key: Light, fill: Light, exposure: float) -> None:
    picture, alpha = ball(64, grey=0.01, backdrop=0.01)
    low = relight(picture, alpha, Lighting(key, fill, None, exposure))
    high = relight(picture, alpha, Lighting(key, fill, None, exposure + 1))
    assert high.max() < SHOULDER_START, "the example must stay below the shoulder to show anything"
    assert float(high.mean()) == pytest.approx(2 * float(low.mean()), rel=1e-5)


@given(lights)
@settings(max_examples=25, deadline=None)
def test_one_stop_on_the_only_light_doubles_the_subject(key: Light) -> None:
    picture, alpha = ball(64, grey=0.01)
    inside = alpha == 1
    low = relight(picture, alpha, Lighting(key))[inside]
    high = relight(picture, alpha, Lighting(key.evolve(ev=key.ev + 1)))[inside]
    assert float(high.mean()) == pytest.approx(2 * float(low.mean()), rel=1e-4)


@pytest.mark.parametrize("name", [HELMET, VASE, DUFFEL])
@pytest.mark.parametrize("azimuth", [-60, 0, 45])
def test_a_key_of_0_ev_keeps_the_median_luminance_of_the_subject(name: str, azimuth: float) -> None:
    inside = subject_of(name, SIDE).alpha > 0.5
    before = np.median(luminance(to_linear(photo(name, SIDE)))[inside])
    after = np.median(luminance(lit(name, Lighting(light(azimuth))))[inside])
    assert np.log2(after / before) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("name", [HELMET, VASE, CONSOLE])
@pytest.mark.parametrize("softness", [0.0, 0.5, 1.0])
def test_a_key_from_the_left_brightens_the_left_half_and_one_from_the_right_the_right(
    name: str, softness: float
) -> None:
    alpha = subject_of(name, SIDE).alpha
    left, right = (
        left_right_ev(luminance(lit(name, Lighting(light(azimuth, softness=softness)))), alpha) for azimuth in (-45, 45)
    )
    assert left > right + 0.4


def test_a_harder_light_separates_the_halves_more() -> None:
    alpha = subject_of(HELMET, SIDE).alpha
    hard, soft = (
        left_right_ev(luminance(lit(HELMET, Lighting(light(-60, softness=softness)))), alpha) for softness in (0.0, 1.0)
    )
    assert hard > soft + 0.2


def test_a_flat_disc_becomes_a_ball_that_is_brightest_towards_the_light() -> None:
    picture, alpha = ball(grey=0.05)
    shaded = luminance(relight(picture, alpha, Lighting(light(-50, elevation=0))))
    row = shaded[80]
    assert row[40] > 1.25 * row[80] and row[80] > 1.5 * row[118]
    above = luminance(relight(picture, alpha, Lighting(light(0, elevation=60))))
    assert above[40, 80] > 1.5 * above[118, 80]


@pytest.mark.parametrize("name", [HELMET, VASE, DUFFEL])
@given(key=lights, rim=lights)
@settings(max_examples=4, deadline=None)
def test_mirroring_picture_mask_and_azimuths_mirrors_the_result_within_one_code(
    name: str, key: Light, rim: Light
) -> None:
    picture, alpha = to_linear(photo(name, 300)), subject_of(name, 300).alpha
    straight = to_srgb(relight(picture, alpha, Lighting(key, None, rim)))
    back = Lighting(key.evolve(azimuth_deg=-key.azimuth_deg), None, rim.evolve(azimuth_deg=-rim.azimuth_deg))
    mirrored = to_srgb(relight(np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1]), back))
    assert np.abs(mirrored[:, ::-1].astype(int) - straight.astype(int)).max() <= 1


@given(st.lists(st.integers(1700, 15000), min_size=2, max_size=4, unique_by=lambda kelvin: kelvin // 200))
@settings(max_examples=15, deadline=None)
def test_the_lower_the_kelvin_the_more_red_over_blue_in_the_picture(kelvins: list[int]) -> None:
    picture, alpha = ball(64, grey=0.05)
    ratios = []
    for kelvin in sorted(kelvins):
        red, _, blue = relight(picture, alpha, Lighting(light(-30, kelvin=kelvin)))[alpha == 1].mean(axis=0)
        ratios.append(red / blue)
    assert ratios == sorted(ratios, reverse=True) and len(set(ratios)) == len(ratios)


@given(lights, lights, lights)
@settings(max_examples=10, deadline=None)
def test_black_stays_black_under_any_light(key: Light, fill: Light, rim: Light) -> None:
    _, alpha = ball(64)
    black = np.zeros((64, 64, 3), np.float32)
    assert not to_srgb(relight(black, alpha, Lighting(key, fill, rim))).any()


def test_a_rim_lights_the_outline_on_its_side_and_leaves_the_middle_and_the_backdrop() -> None:
    picture, alpha = ball(grey=0.05, backdrop=0.05)
    plain = luminance(picture)
    added = luminance(relight(picture, alpha, Lighting(rim=light(140, elevation=0, kelvin=COOL)))) - plain
    assert added[80, 125] > 0.05
    assert added[80, 80] < 0.003
    assert added[80, 35] < 0.2 * added[80, 125]
    assert added[80, 150] == pytest.approx(0, abs=1e-6)


def test_a_fill_lifts_the_shadow_side_more_than_the_lit_side() -> None:
    alpha = subject_of(HELMET, SIDE).alpha
    alone = left_right_ev(luminance(lit(HELMET, Lighting(light(-60)))), alpha)
    filled = left_right_ev(luminance(lit(HELMET, Lighting(light(-60), light(60, ev=-1)))), alpha)
    assert filled < alone - 0.1


def test_the_backdrop_takes_part_of_the_light_and_falls_off_away_from_it() -> None:
    picture, alpha = ball()
    shaded = relight(picture, alpha, Lighting(light(-60, kelvin=WARM, elevation=0)))
    near, far = shaded[80, 4], shaded[80, 155]
    assert near[0] > near[2]
    assert 1.2 < luminance(shaded)[80, 4] / luminance(shaded)[80, 155] < 3
    assert far.min() > 0.5 * 0.3 * 0.5


def test_there_is_no_seam_where_the_subject_meets_a_backdrop_of_its_own_colour() -> None:
    picture, alpha = ball(300, grey=0.2, backdrop=0.2)
    codes = to_srgb(relight(picture, feather(alpha), Lighting(light(-60, softness=1))))[..., 1].astype(int)
    assert np.abs(np.diff(codes, axis=1)).max() <= 4


def test_the_result_is_the_same_on_repeat() -> None:
    lighting = Lighting(light(-45, kelvin=WARM), light(40, ev=-2), light(150, kelvin=COOL))
    assert (lit(HELMET, lighting) == lit(HELMET, lighting)).all()


def test_a_white_backdrop_is_not_pushed_out_of_range() -> None:
    result = lit(CONSOLE, Lighting(light(-45, ev=2, kelvin=WARM)))
    assert result.min() >= 0 and result.max() <= 1.001


@pytest.mark.parametrize("size", [(16, 16), (16, 900), (900, 16), (17, 33)])
def test_the_smallest_and_narrowest_pictures_can_be_lit(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 0.2, np.float32)
    lit_picture = relight(picture, np.ones(size, np.float32), Lighting(light(-45), None, light(150)))
    assert lit_picture.shape == picture.shape and np.isfinite(lit_picture).all()


def test_the_picture_given_is_not_changed() -> None:
    picture, alpha = ball(64)
    before = picture.copy()
    relight(picture, alpha, Lighting(rim=light(150), exposure_ev=1))
    assert (picture == before).all()


def test_an_inflated_disc_has_the_height_that_the_formula_gives() -> None:
    alpha = (disc(128, 0.4) > 0.5).astype(np.float32)
    radius_squared = float(alpha.sum()) / np.pi
    assert float(solve_poisson(alpha)[64, 64]) == pytest.approx(radius_squared / 4, rel=0.15)


def test_normals_have_length_one_and_point_outwards_on_each_side() -> None:
    alpha = disc(200)
    field = normals(alpha, np.full_like(alpha, 0.2))
    assert np.linalg.norm(field, axis=-1) == pytest.approx(1, abs=1e-5)
    assert field[100, 45, 0] < -0.5 and field[100, 155, 0] > 0.5
    assert field[45, 100, 1] < -0.5 and field[155, 100, 1] > 0.5
    assert field[100, 100, 2] > 0.99
