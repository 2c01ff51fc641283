"""Masks drawn by hand, to measure found ones against.

`outlines.json` holds polygons by photograph, in thousandths of its long side, drawn with the photographs magnified
and before any mask was computed from them. A later polygon goes over an earlier one. "opening" is backdrop inside a
subject, "either" a part that may count or not (a stand): it is left out of the measure. Openings narrower than about
five thousandths, and hair, are not drawn.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from prolight.studio.colour import Plane

Bits = npt.NDArray[np.bool_]
OUTLINES: dict[str, list[tuple[str, str]]] = json.loads(Path(__file__).with_name("outlines.json").read_text())
FRACTION_BITS = 4


class Outline(NamedTuple):
    subject: Bits
    counts: Bits


@cache
def outline(name: str, height: int, width: int) -> Outline:
    """The drawn subject at this size, and where it is to be measured."""
    subject, counts = np.zeros((height, width), np.uint8), np.ones((height, width), np.uint8)
    for kind, polygon in OUTLINES[name]:
        points = np.array([[float(value) for value in pair.split(",")] for pair in polygon.split()])
        corners = np.round(points * max(height, width) / 1000 * 2**FRACTION_BITS).astype(np.int32)
        if kind == "either":
            cv2.fillPoly(counts, [corners], 0, shift=FRACTION_BITS)
        else:
            cv2.fillPoly(subject, [corners], int(kind == "subject"), shift=FRACTION_BITS)
    return Outline(subject.astype(bool), counts.astype(bool))


def overlap(alpha: Plane, name: str) -> float:
    """Intersection over union of a mask with the drawn subject."""
    drawn = outline(name, *alpha.shape)
    found = alpha >= 0.5
    both = np.sum(found & drawn.subject & drawn.counts)
    return float(both / np.sum((found | drawn.subject) & drawn.counts))
