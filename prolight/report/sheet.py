"""A contact sheet: small pictures in rows, each with its number and a word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, TEXT = 220, 12, 30
"""Pixels: of a picture's square, between squares, and for the line below."""
COLUMNS = 6
MOST_CELLS = 600
PAPER, INK, EMPTY = (250, 250, 248), (40, 40, 40), (226, 226, 222)
QUALITY = 88
WORD_CHARS = 32


@dataclass(frozen=True, slots=True)
class Cell:
    """`content` is a picture's bytes, or None where there is none."""

    word: str
    content: bytes | None


def contact_sheet(cells: Sequence[Cell]) -> bytes:
    """The cells in their order, as a JPEG."""
    columns = max(1, min(COLUMNS, len(cells)))
    rows = -(-len(cells) // columns)
    step = SIDE + GAP
    sheet = Image.new("RGB", (columns * step + GAP, rows * (step + TEXT) + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * step, GAP + number // columns * (step + TEXT)
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), fill=EMPTY)
        if cell.content:
            small = _small(cell.content)
            sheet.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
        draw.text((left, top + SIDE + 6), cell.word[:WORD_CHARS], INK, font=font)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _small(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.draft("RGB", (SIDE, SIDE))
        small = picture.convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    laid = Image.new("RGB", small.size, (255, 255, 255))
    laid.paste(small, mask=small.getchannel("A"))
    return laid
