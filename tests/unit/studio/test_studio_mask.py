"""Finding the subject, and saying honestly whether it was found."""

from __future__ import annotations

import numpy as np
import pytest

from prolight.studio.backdrop import fit_backdrop
from prolight.studio.mask import TRUST, find_subject

from .pictures import (
    CONSOLE,
    DUFFEL,
    HEADSET,
    HELMET,
    MARBLES,
    PLAIN,
    UNCLEAR,
    VASE,
    disc,
    flat,
    noise,
    photo,
    subject_of,
)


@pytest.mark.parametrize("name", PLAIN)
def test_a_subject_before_a_plain_backdrop_is_found_and_trusted(name: str) -> None:
    subject = subject_of(name)
    assert subject.usable and subject.trusted and subject.confidence >= TRUST


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_subject_that_cannot_be_told_apart_is_not_trusted_and_the_reason_is_said(name: str) -> None:
    subject = subject_of(name)
    assert not subject.trusted
    assert subject.reason.startswith("Not trusted: ")


@pytest.mark.parametrize(("name", "percent"), [(HELMET, 41), (VASE, 15), (DUFFEL, 53), (CONSOLE, 50), (HEADSET, 38)])
def test_the_mask_covers_what_a_person_measures(name: str, percent: float) -> None:
    assert 100 * subject_of(name).alpha.mean() == pytest.approx(percent, abs=2.5)


@pytest.mark.parametrize(
    ("name", "x", "y", "inside"),
    [
        (HELMET, 0.50, 0.25, True),
        (HELMET, 0.65, 0.60, False),  # the wall, seen through the right cheek
        (HELMET, 0.53, 0.95, False),  # the acrylic post
        (HEADSET, 0.35, 0.45, False),  # between cable and tripod
        (HEADSET, 0.39, 0.775, False),  # between the pad and its grips
        (HEADSET, 0.145, 0.80, False),
        (DUFFEL, 0.41, 0.45, True),  # white lettering on the strap
        (DUFFEL, 0.50, 0.20, False),  # below the handle
        (VASE, 0.50, 0.85, True),
        (CONSOLE, 0.04, 0.90, False),
    ],
)
def test_openings_are_open_and_print_is_solid(name: str, x: float, y: float, inside: bool) -> None:
    alpha = subject_of(name).alpha
    value = alpha[round(y * alpha.shape[0]), round(x * alpha.shape[1])]
    assert value == (1.0 if inside else 0.0)


def test_a_drawn_disc_is_found_to_the_pixel() -> None:
    alpha = disc(300)
    codes = 60 + alpha[..., None] * np.array([140, 60, -20], np.float32)
    subject = find_subject(np.round(codes).astype(np.uint8))
    assert subject.trusted
    assert np.abs(subject.alpha - alpha).mean() < 0.004
    assert subject.alpha[0, 0] == 0 and subject.alpha[150, 150] == 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_has_no_usable_subject(level: int) -> None:
    subject = find_subject(flat(level))
    assert not subject.usable and not subject.trusted
    assert "nothing" in subject.reason


def test_clutter_is_not_trusted() -> None:
    assert not find_subject(noise()).trusted


def test_without_a_subject_the_whole_frame_is_the_subject() -> None:
    assert subject_of(MARBLES).alpha.min() == 1


@pytest.mark.parametrize("size", [(16, 16), (16, 900), (900, 16), (17, 33)])
def test_the_smallest_and_narrowest_pictures_get_a_mask_of_their_size(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 240, np.uint8)
    pixels[size[0] // 3 : -(size[0] // 3), size[1] // 3 : -(size[1] // 3)] = 20
    assert find_subject(pixels).alpha.shape == size


def test_the_same_picture_gives_the_same_mask() -> None:
    again = find_subject(photo(VASE))
    assert (again.alpha == subject_of(VASE).alpha).all() and again.confidence == subject_of(VASE).confidence


def test_a_stand_that_crosses_the_frame_does_not_bend_the_backdrop() -> None:
    lab = np.zeros((120, 120, 3), np.float32)
    lab[..., 0] = np.linspace(20, 80, 120)[:, None]
    lab[80:, 50:70] = (5, 40, 40)
    backdrop = fit_backdrop(lab)
    assert np.abs(backdrop.colour[:, 60, 0] - np.linspace(20, 80, 120)).max() < 2
    assert backdrop.spread == 1.0 and 0.9 < backdrop.plain_share < 1
