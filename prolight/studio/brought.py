"""A mask that was not searched for: brought by the caller, made by another tool, or the picture's own alpha."""

from __future__ import annotations

import cv2
import numpy as np

from prolight.studio.mask import EMPTY_SHARE, Subject
from prolight.studio.picture import Picture


def brought(mask: Picture) -> Subject:
    """The subject as this picture's alpha marks it, or, where it has none, as its luma does (white is subject).

    It is believed: whoever made it has looked. An empty one is not usable.
    """
    codes = mask.alpha if mask.alpha is not None else np.asarray(cv2.cvtColor(mask.pixels, cv2.COLOR_RGB2GRAY))
    alpha = codes.astype(np.float32) / np.float32(255)
    if float(alpha.mean()) < EMPTY_SHARE:
        return Subject(np.ones_like(alpha), 0.0, "The mask that was brought marks nothing.", usable=False)
    return Subject(alpha, 1.0, "The mask was brought.", usable=True)
