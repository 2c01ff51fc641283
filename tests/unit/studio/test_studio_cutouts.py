"""Cut-outs, product shots, blurred backdrops, sizes, and masks that are brought."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.studio.blur import blur_background
from prolight.studio.brought import brought
from prolight.studio.colour import Pixels, Plane, to_linear, to_srgb
from prolight.studio.cutout import crop_out_foreground, extent, remove_background
from prolight.studio.enhance import increase_resolution
from prolight.studio.picture import Picture
from prolight.studio.product import Shot, TooSmall, doubts, product_shot
from prolight.studio.resize import Fit, TooLarge, resize

from .pictures import DUFFEL, HELMET, VASE, ball, disc, flat, noise, photo, subject_of

SIDE = 500


def red_ball(size: int = 160) -> tuple[Pixels, Plane]:
    """A red disc before a green wall, and its alpha."""
    alpha = disc(size)
    front, back = np.array([0.5, 0.02, 0.02], np.float32), np.array([0.05, 0.5, 0.05], np.float32)
    return to_srgb(back + alpha[..., None] * (front - back)), alpha


def test_a_removed_background_is_transparent_and_the_subject_untouched() -> None:
    pixels, alpha = photo(HELMET, SIDE), subject_of(HELMET, SIDE).alpha
    cut = remove_background(pixels, alpha)
    assert cut.alpha is not None and np.array_equal(cut.alpha, np.round(alpha * 255).astype(np.uint8))
    assert (cut.pixels[cut.alpha == 0] == 0).all()
    inside = slice(130, 210), slice(180, 320)
    assert np.abs(cut.pixels[inside].astype(int) - pixels[inside]).max() <= 1


def test_a_cut_out_laid_on_another_colour_shows_none_of_the_old_one() -> None:
    cut = remove_background(*red_ball())
    assert cut.alpha is not None
    edge = (cut.alpha > 20) & (cut.alpha < 235)
    colours = to_linear(cut.pixels)[edge]
    assert edge.any() and np.all(colours[:, 1] < 0.2 * colours[:, 0]), "the edge is red, not olive"


@pytest.mark.parametrize("margin", [0, 5, 40])
def test_a_crop_is_the_subject_and_its_margin(margin: float) -> None:
    pixels, alpha = red_ball(200)
    box = extent(alpha)
    cut = crop_out_foreground(pixels, alpha, margin)
    around = 2 * round(margin / 100 * max(box.height, box.width))
    assert cut.pixels.shape == (box.height + around, box.width + around, 3)
    assert cut.alpha is not None and cut.alpha[cut.alpha.shape[0] // 2, cut.alpha.shape[1] // 2] == 255


@pytest.mark.parametrize("name", [HELMET, VASE, DUFFEL])
@pytest.mark.parametrize("shadow", ["none", "contact"])
def test_a_product_shot_has_its_exact_ground_and_fill(name: str, shadow: str) -> None:
    shot = Shot("#fafbfc", 480, 400, 80, shadow)  # type: ignore[arg-type]
    codes, _ = product_shot(photo(name, SIDE), subject_of(name, SIDE).alpha, shot)
    ground = np.array([0xFA, 0xFB, 0xFC])
    assert codes.shape == (400, 480, 3)
    for corner in (codes[:12, :12], codes[:12, -12:], codes[-12:, :12], codes[-12:, -12:]):
        assert (corner == ground).all()
    other = np.abs(codes.astype(int) - ground).max(axis=2) > 40
    rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert max(height / 400, width / 480) == pytest.approx(0.8, abs=0.02)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(200, abs=5)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(240, abs=5)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_any_ground_is_exact_away_from_the_subject(rgb: tuple[int, int, int]) -> None:
    codes, _ = product_shot(*red_ball(64), Shot("#{:02x}{:02x}{:02x}".format(*rgb), 64, 64, 60))
    assert (codes[:6] == rgb).all() and (codes[-6:] == rgb).all()


def test_a_contact_shadow_is_dark_below_the_subject_and_nowhere_above() -> None:
    pixels, alpha = red_ball(200)
    plain, _ = product_shot(pixels, alpha, Shot(width=300, height=300, fill_percent=60))
    shaded, _ = product_shot(pixels, alpha, Shot(width=300, height=300, fill_percent=60, shadow="contact"))
    darker = plain.astype(int) - shaded
    assert darker.min() >= 0 and darker[238:245, 140:160].max() > 30
    assert darker[:150].max() == 0 and darker[285:].max() == 0


def test_a_subject_that_is_too_small_is_refused_and_a_cut_one_is_said() -> None:
    pixels, alpha = red_ball(100)
    with pytest.raises(TooSmall, match="at most 4 times"):
        product_shot(pixels, alpha, Shot(width=2000, height=2000))
    assert doubts(alpha, 1.0) == ()
    assert "enlarged 3 times" in doubts(alpha, 3.0)[0]
    assert "cut by the frame" in doubts(disc(100, centre=0.1), 1.0)[0]


def test_a_blurred_background_leaves_the_subject_sharp_and_takes_none_of_its_colour() -> None:
    pixels, alpha = red_ball(200)
    blurred = blur_background(pixels, alpha, 1)
    assert np.abs(blurred.astype(int) - pixels)[alpha == 1].max() <= 1
    assert np.abs(blurred.astype(int) - pixels)[alpha == 0].max() <= 2, "a plain wall stays as it is"
    clutter = np.where(alpha[..., None] == 1, pixels, noise(200))
    calm = blur_background(clutter, alpha, 1)[:40, :40].astype(float)
    assert calm.std() < 0.8 * clutter[:40, :40].std()


def test_more_blur_is_blurrier_and_none_changes_nothing() -> None:
    alpha = disc(200)
    assert np.array_equal(blur_background(noise(200), alpha, 0), noise(200))
    left = [
        np.abs(np.diff(blur_background(noise(200), alpha, much)[:, :30].astype(int))).mean() for much in (0.2, 0.5, 1)
    ]
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize(
    ("sides", "fit", "size"),
    [
        ((100, None), "inside", (100, 80)),
        ((None, 100), "inside", (125, 100)),
        ((100, 100), "inside", (100, 80)),
        ((100, 100), "cover", (100, 100)),
        ((100, 100), "pad", (100, 100)),
        ((300, 77), "cover", (300, 77)),
        ((33, 300), "pad", (33, 300)),
        ((None, None), "inside", (200, 160)),
    ],
)
def test_a_size_is_as_asked(sides: tuple[int | None, int | None], fit: Fit, size: tuple[int, int]) -> None:
    made = resize(Picture(photo(DUFFEL, 200)[:160]), *sides, fit, "#102030")
    assert (made.pixels.shape[1], made.pixels.shape[0]) == size
    if fit == "pad":
        assert (made.pixels[0, 0] == (0x10, 0x20, 0x30)).all() and (made.pixels[-1, -1] == (0x10, 0x20, 0x30)).all()


@given(st.integers(16, 120), st.integers(16, 120), st.sampled_from(["cover", "pad"]))
def test_cover_and_pad_are_exact_at_any_size(width: int, height: int, fit: Fit) -> None:
    made = resize(Picture(photo(DUFFEL, 200)[:160]), width, height, fit, "#ffffff")
    assert made.pixels.shape == (height, width, 3)


def test_more_than_twice_the_size_is_refused_with_the_largest_that_is_not() -> None:
    with pytest.raises(TooLarge, match="ask for 128 x 128 px or less"):
        resize(Picture(flat(9)), 200, None, "inside", "#ffffff")


@pytest.mark.parametrize("factor", [2, 4])
def test_increased_resolution_multiplies_the_sides_and_keeps_the_light(factor: int) -> None:
    small = Picture(photo(VASE, 120))
    large = increase_resolution(small, factor)
    assert large.pixels.shape == (120 * factor, 120 * factor, 3)
    assert to_linear(large.pixels).mean() == pytest.approx(to_linear(small.pixels).mean(), rel=0.02)


def test_sizes_change_alpha_likewise_and_colours_do_not_bleed_into_it() -> None:
    cut = remove_background(*red_ball(160))
    for made in (resize(cut, 80, None, "inside", "#ffffff"), increase_resolution(cut, 2)):
        assert made.alpha is not None and made.alpha.shape == made.pixels.shape[:2]
        solid = made.alpha > 250
        assert made.pixels[solid][:, 0].min() > 170, "no black from what is transparent"
        assert made.alpha[0, 0] == 0
    padded = resize(cut, 200, 100, "pad", "#ffffff")
    assert padded.alpha is not None and padded.alpha[50, 10] == 0


def test_a_mask_that_is_brought_is_its_alpha_or_else_its_luma() -> None:
    _, alpha = ball(100)
    codes = np.round(alpha * 255).astype(np.uint8)
    by_luma = brought(Picture(np.repeat(codes[..., None], 3, axis=2)))
    by_alpha = brought(Picture(noise(100), codes))
    assert by_luma.trusted and by_alpha.trusted
    assert np.array_equal(by_luma.alpha, by_alpha.alpha) and np.abs(by_luma.alpha - alpha).max() < 0.003
    assert not brought(Picture(flat(0))).usable
