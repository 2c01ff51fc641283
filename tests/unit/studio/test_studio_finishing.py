"""New backgrounds, finished files, measurements, and reading files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from prolight.errors import PictureRefused
from prolight.studio.background import SPILL_REACH, STRIP_ROWS, replace_background
from prolight.studio.codec import decode, encode, encode_lossless
from prolight.studio.colour import Pixels, to_linear, to_srgb
from prolight.studio.export import export
from prolight.studio.matte import decontaminate
from prolight.studio.metrics import estimate_kelvin, inspect
from prolight.studio.picture import Picture
from prolight.studio.resize import MAX_ENLARGEMENT, TooLarge, to_long_side
from prolight.studio.shelf import Shelf

from .pictures import CAT, CONSOLE, HELMET, PLAIN, VASE, as_file, ball, disc, flat, photo, subject_of

SIDE = 700


def on(name: str, colour: str) -> Pixels:
    return to_srgb(replace_background(to_linear(photo(name, SIDE)), subject_of(name, SIDE).alpha, colour))


@pytest.mark.parametrize("name", PLAIN)
def test_a_white_background_is_exactly_255_in_the_corners(name: str) -> None:
    codes = on(name, "#ffffff")
    for corner in (codes[:8, :8], codes[:8, -8:], codes[-8:, :8], codes[-8:, -8:]):
        assert (corner == 255).all()


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_the_far_background_is_exactly_the_colour_asked_for(rgb: tuple[int, int, int]) -> None:
    picture, alpha = ball(64)
    codes = to_srgb(replace_background(picture, alpha, "#{:02x}{:02X}{:02x}".format(*rgb)))
    assert codes[0, 0].tolist() == list(rgb)


def test_the_middle_of_the_subject_is_not_touched() -> None:
    alpha = subject_of(HELMET, SIDE).alpha
    inside = np.zeros_like(alpha, bool)
    inside[180:300, 250:450] = True
    assert alpha[inside].min() == 1
    assert np.abs(on(HELMET, "#ffffff")[inside].astype(int) - photo(HELMET, SIDE)[inside].astype(int)).max() <= 1


def test_no_halo_of_the_old_background_stays_on_the_new_one() -> None:
    alpha = disc(200)
    subject, old = np.array([0.3, 0.05, 0.05], np.float32), np.array([0.02, 0.6, 0.02], np.float32)
    mixed = (old + alpha[..., None] * (subject - old)).astype(np.float32)
    clean = to_srgb(replace_background(mixed, alpha, "#000000")).astype(int)
    wanted = to_srgb(alpha[..., None] * subject).astype(int)
    assert (clean - wanted)[..., 1].max() <= 12, "green spill"
    naive = to_srgb(alpha[..., None] * mixed).astype(int)
    assert (naive - wanted)[..., 1].max() > 60, "the example must have spill to remove"


def test_a_picture_cleaned_in_strips_shows_no_seam() -> None:
    alpha = disc(2 * STRIP_ROWS + 90)
    picture = np.random.default_rng(3).random((*alpha.shape, 3), dtype=np.float32)
    whole = decontaminate(picture, alpha, round(SPILL_REACH * len(alpha)))
    strips = replace_background(picture, alpha, "#000000")
    assert np.abs(to_srgb(strips).astype(int) - to_srgb(alpha[..., None] * whole).astype(int)).max() <= 1


def test_clean_colours_need_no_decontamination() -> None:
    picture, alpha = ball(64, grey=0.3, backdrop=0.3)
    assert decontaminate(picture, alpha, 6)[alpha > 0.9] == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_a_finished_file_is_srgb_and_carries_no_other_metadata(form: str) -> None:
    with Image.open(io.BytesIO(export(Picture(photo(VASE)), form, 640, 92))) as image:  # type: ignore[arg-type]
        assert image.format == form.upper() and image.size == (640, 640)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        assert not image.getexif() and not set(image.info) & {"comment", "exif", "xmp", "dpi", "Software", "date"}


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_a_finished_file_is_the_same_bytes_on_repeat(form: str) -> None:
    assert encode(Picture(photo(VASE, 200)), form, 80) == encode(Picture(photo(VASE, 200)), form, 80)  # type: ignore[arg-type]


def test_lower_quality_makes_a_smaller_file() -> None:
    sizes = [len(export(Picture(photo(VASE)), "jpeg", None, quality)) for quality in (30, 92, 100)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(("side", "size"), [(100, (54, 100)), (1600, (856, 1600)), (3200, (1712, 3200))])
def test_the_long_side_is_as_asked_and_the_shape_is_kept(side: int, size: tuple[int, int]) -> None:
    assert to_long_side(Picture(photo(CONSOLE)), side).pixels.shape[:2] == size


def test_more_than_twofold_enlargement_is_refused_with_the_limit() -> None:
    limit = round(64 * MAX_ENLARGEMENT)
    assert to_long_side(Picture(flat(9)), limit).pixels.shape[0] == limit
    with pytest.raises(TooLarge, match=f"ask for {limit} or less"):
        to_long_side(Picture(flat(9)), limit + 1)


def test_reduction_averages_light_not_codes() -> None:
    checker = np.zeros((64, 64, 3), np.uint8)
    checker[::2, ::2] = checker[1::2, 1::2] = 255
    assert set(to_long_side(Picture(checker), 32).pixels.ravel().tolist()) == {188}, (
        "half the light of white is code 188"
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_what_the_store_holds_can_be_read(form: str) -> None:
    assert decode(as_file(photo(VASE, 200), form)).pixels.shape == (200, 200, 3)


def test_lossless_means_every_code_comes_back() -> None:
    assert (decode(encode_lossless(Picture(photo(VASE)))).pixels == photo(VASE)).all()


def test_transparency_is_kept_in_png_and_webp_and_laid_on_white_in_jpeg() -> None:
    alpha = np.zeros((20, 20), np.uint8)
    alpha[:10] = 255
    red = Picture(np.full((20, 20, 3), (200, 0, 0), np.uint8), alpha)
    for content in (encode_lossless(red), encode(red, "png", 92), encode(red, "webp", 100)):
        kept = decode(content)
        assert kept.alpha is not None and (kept.alpha == alpha).all()
    flattened = decode(encode(red, "jpeg", 100))
    assert flattened.alpha is None and (flattened.pixels[-4:] >= 253).all() and flattened.pixels[4, 4, 2] < 10


@pytest.mark.parametrize("content", [b"", b"no picture", as_file(flat(3), "GIF"), as_file(flat(3))[:-30]])
def test_what_is_no_whole_picture_is_refused(content: bytes) -> None:
    with pytest.raises(PictureRefused, match="picture"):
        decode(content)


def test_sixteen_bits_a_channel_are_refused_not_guessed() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(file, "PNG")
    with pytest.raises(PictureRefused, match="8 bits"):
        decode(file.getvalue())


def test_a_bomb_is_refused_by_its_header() -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    with pytest.raises(PictureRefused, match="50,000,000"):
        decode(file.getvalue())


def test_an_inspection_tells_what_is_in_the_picture() -> None:
    measured = inspect(photo(HELMET, SIDE), subject_of(HELMET, SIDE))
    assert (measured.width, measured.height) == (682, 700)
    assert len(measured.histogram) == 32 and sum(measured.histogram) == pytest.approx(1, abs=1e-4)
    assert measured.mask_trusted and measured.subject_fill_percent == pytest.approx(41, abs=3)
    assert -3 < measured.median_ev < -1
    assert measured.clipped_high_percent < 1


def test_clipping_is_counted_at_both_ends() -> None:
    half = np.concatenate([flat(0), flat(255), flat(128), flat(128)])
    measured = inspect(half, subject_of(CAT, SIDE).__class__(np.ones(half.shape[:2], np.float32), 0, "", False))
    assert (measured.clipped_low_percent, measured.clipped_high_percent) == (25, 25)
    assert measured.subject_fill_percent == 0


def test_a_blurred_picture_is_less_sharp() -> None:
    sharp = photo(HELMET, SIDE)
    soft = np.asarray(Image.fromarray(sharp).resize((170, 175)).resize((682, 700)))
    subject = subject_of(HELMET, SIDE)
    assert inspect(soft, subject).sharpness < 0.5 * inspect(sharp, subject).sharpness


def test_grey_is_daylight_orange_is_warm_and_blue_is_cool() -> None:
    def kelvin(*rgb: int) -> float:
        return estimate_kelvin(to_linear(np.full((64, 64, 3), rgb, np.uint8)))

    assert kelvin(128, 128, 128) == pytest.approx(5500, abs=1)
    assert kelvin(160, 128, 90) < 4000 < 7000 < kelvin(110, 128, 150)


def test_a_shelf_keeps_what_was_used_last_within_its_limit() -> None:
    shelf: Shelf[str] = Shelf(10)
    shelf.put("a", "A", 4)
    shelf.put("b", "B", 4)
    assert shelf.get("a") == "A"
    shelf.put("c", "C", 4)
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == ("A", None, "C")
    shelf.put("huge", "H", 11)
    assert shelf.get("huge") is None and shelf.get("a") == "A"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12))))
def test_a_shelf_never_holds_more_than_its_limit(puts: list[tuple[str, int]]) -> None:
    shelf: Shelf[int] = Shelf(10)
    for name, size in puts:
        shelf.put(name, size, size)
        kept = {letter: item for letter in "abcdef" if (item := shelf.get(letter)) is not None}
        assert sum(kept.values()) <= 10
        assert (name in kept) == (size <= 10)
