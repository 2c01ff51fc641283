"""A decoded picture: its colours, and how opaque each pixel is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from prolight.studio.colour import Pixels, Plane

Codes = npt.NDArray[np.uint8]
"""Height × width."""


@dataclass(frozen=True, slots=True)
class Picture:
    """`pixels` are not multiplied by `alpha` (255 is opaque); without an alpha the whole picture is opaque."""

    pixels: Pixels
    alpha: Codes | None = None

    @property
    def pixel_count(self) -> int:
        return int(self.pixels.shape[0]) * int(self.pixels.shape[1])

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)

    def recoloured(self, pixels: Pixels) -> Picture:
        """Other colours in the same shape."""
        return replace(self, pixels=pixels)

    def opaque(self) -> Pixels:
        """Laid on white, with sRGB values as browsers do it."""
        if self.alpha is None:
            return self.pixels
        layer = Image.fromarray(np.dstack([self.pixels, self.alpha]))
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))


def as_alpha(plane: Plane) -> Codes:
    """0..1 as codes."""
    return np.round(plane * np.float32(255)).astype(np.uint8)
