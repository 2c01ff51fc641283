"""`python -m prolight.bench.studio_memory FOLDER PIXELS CALLS`: every operation of one studio in turn, so many calls
of each at a time, on pictures of so many pixels; prints the process's peak memory, and what was done and refused.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.bench.parts import pictures
from prolight.studio import server
from prolight.studio.light import Light, Lighting
from prolight.studio.product import Shot
from prolight.studio.studio import Studio, Unsupported

LIGHTING = Lighting(
    key=Light(azimuth_deg=-45, elevation_deg=35, ev=0.5), rim=Light(azimuth_deg=160, elevation_deg=30, ev=0.5)
)
OPERATIONS: dict[str, Callable[[Studio, str], Awaitable[Any]]] = {
    "inspect_image": lambda studio, picture: studio.inspect(picture),
    "relight": lambda studio, picture: studio.relight(picture, LIGHTING),
    "white_balance": lambda studio, picture: studio.white_balance(picture, 1, 4200, 0.1),
    "adjust_exposure": lambda studio, picture: studio.adjust_exposure(picture, 0.5, 1, -1),
    "adjust_contrast": lambda studio, picture: studio.adjust_contrast(picture, 0.3, 0.2),
    "enhance_image": lambda studio, picture: studio.enhance_image(picture, 0.5, 0.5, 0.5),
    "replace_background": lambda studio, picture: studio.replace_background(picture, "#ffffff"),
    "remove_background": lambda studio, picture: studio.remove_background(picture),
    "blur_background": lambda studio, picture: studio.blur_background(picture, 0.7),
    "crop_out_foreground": lambda studio, picture: studio.crop_out_foreground(picture, 5),
    "product_shot": lambda studio, picture: studio.product_shot(picture, Shot()),
    "increase_resolution": lambda studio, picture: studio.increase_resolution(picture, 2),
    "resize": lambda studio, picture: studio.resize(picture, 1000, None, "inside", "#ffffff"),
    "export": lambda studio, picture: studio.export(picture, "jpeg", None, 92),
}


async def use(folder: Path, pixels: int, calls: int) -> dict[str, Any]:
    """All operations. What a studio refuses honestly is no failure."""
    store = LocalArtifacts(folder / f"memory-{pixels}")
    ids = [(await store.put(content, media_type="image/jpeg")).id for content in pictures(pixels, calls)]
    studio = Studio(store)
    done, refused = [], []
    for name, operate in OPERATIONS.items():
        try:
            await asyncio.gather(*(operate(studio, picture) for picture in ids))
            done.append(name)
        except Unsupported:
            refused.append(name)
    studio.close()
    return {"peak_mb": _peak_mb(), "done": done, "refused": refused}


def _peak_mb() -> int:
    """The most memory that this process has held (ru_maxrss: KiB on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


if __name__ == "__main__":
    assert server.INSTRUCTIONS  # the server's libraries are a part of what a studio holds
    reported = asyncio.run(use(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.write(json.dumps(reported))
