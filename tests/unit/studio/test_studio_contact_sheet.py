"""The committed contact sheet is what the operations make today."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from prolight.adapters.registry import studio_tools

from .contact_sheet import CELL, LABEL, OPERATIONS, SHEET, SHOWN, sheet

MAX_BYTES = 400_000
NOT_SHOWN = {"inspect_image", "check_picture", "export"}


def test_the_sheet_has_a_row_for_every_operation_and_is_small() -> None:
    named = " ".join(OPERATIONS)
    shorter = {"adjust_contrast": "saturation"}
    for tool in studio_tools().keys() - NOT_SHOWN:
        assert tool in named or shorter[tool] in named
    with Image.open(SHEET) as image:
        assert image.size == (CELL * len(SHOWN), (CELL + LABEL) * len(OPERATIONS))
    assert SHEET.stat().st_size <= MAX_BYTES


@pytest.mark.heavy
def test_the_sheet_shows_what_the_operations_make_today() -> None:
    """If it does not, look at `python -m tests.unit.studio.contact_sheet`'s and commit it."""
    with Image.open(SHEET) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    today = sheet().astype(int)
    for row, name in enumerate(OPERATIONS):
        band = slice(row * (CELL + LABEL) + LABEL, (row + 1) * (CELL + LABEL))
        assert np.abs(shown[band] - today[band]).mean() < 4, f"{name}: more than JPEG makes of it"
