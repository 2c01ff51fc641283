"""Print of the backdrop's own colour that reaches the outline: white letters on a strap before white."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]

REACH = 6
"""Pixels at work size: half the width of the widest notch that is looked at."""
ENCLOSED = 0.88
"""Share of a notch's outline that lies against the subject; a gap between two legs is open wider."""
SMALLEST = 6
"""Pixels below which a notch is roughness of the outline."""


def fill_notches(bits: Bits) -> Bits:
    """The subject with what cuts into it from a narrow mouth."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    # Padded, so that the frame itself closes nothing.
    padded = np.pad(bits.astype(np.uint8), REACH)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[REACH:-REACH, REACH:-REACH] > 0
    notches = closed & ~bits
    count, found = cv2.connectedComponents(notches.astype(np.uint8), connectivity=4)
    labels = np.asarray(found, np.intp)
    against, in_all = np.zeros(count), np.zeros(count)
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        edge = notches & (np.roll(labels, step, (0, 1)) != labels)
        in_all += np.bincount(labels[edge], minlength=count)
        against += np.bincount(labels[edge & np.roll(bits, step, (0, 1))], minlength=count)
    filled = (against >= ENCLOSED * in_all) & (np.bincount(labels.ravel(), minlength=count) >= SMALLEST)
    filled[0] = False
    return np.asarray(bits | filled[labels], np.bool_)
