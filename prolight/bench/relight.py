"""How long one relight of a one-megapixel photograph takes, on one core, through the studio's own code.

A call decodes its picture, lights it, encodes and stores the result. Each call gets a file of its
own (the same pixels, another comment), so that nothing decoded is found again; the mask is named by
one of them, and cached after the first call.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prolight.bench.parts import picture_size, pictures
from prolight.bench.terms import Effort, Figures, Goal, Say, percentile, rounded

FULL, QUICK = Effort(repeat=3, runs=20), Effort(repeat=1, runs=5)
GOALS = (Goal("p50_seconds", at_most=0.5),)
PIXELS = 1_000_000


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """`p50_seconds` of calls that find their mask; `first_seconds` of those that compute it.

    The processor time beside each is what stays when other processes want the core as well.
    """
    with one_core() as pinned:
        first, later = [], []
        for turn in range(effort.repeat):
            taken = await _calls(home / str(turn), effort.runs)
            first.append(taken[0])
            later += taken[1:]
            say(f"{turn + 1}/{effort.repeat} first {taken[0].seconds:.3f} s, then p50 {_p50(taken[1:]).seconds:.3f} s")
    return {
        "p50_seconds": rounded(_p50(later).seconds, 3),
        "p99_seconds": rounded(percentile([call.seconds for call in later], 99), 3),
        "p50_cpu_seconds": rounded(_p50(later).cpu, 3),
        "first_seconds": rounded(_p50(first).seconds, 3),
        "first_cpu_seconds": rounded(_p50(first).cpu, 3),
        "megapixels": rounded(math.prod(picture_size(PIXELS)) / 1e6, 3),
        "one_core": pinned,
    }


class Taken(NamedTuple):
    """What one call took."""

    seconds: float
    cpu: float


def _p50(calls: Sequence[Taken]) -> Taken:
    """The medians of both."""
    seconds, cpu = zip(*calls, strict=True)
    return Taken(statistics.median(seconds), statistics.median(cpu))


async def _calls(artifacts: Path, count: int) -> list[Taken]:
    """The first call of a studio, and `count` more."""
    from prolight.adapters.local_artifacts import LocalArtifacts
    from prolight.studio.light import Light, Lighting
    from prolight.studio.studio import Masking, Studio

    key = Light(azimuth_deg=-45, elevation_deg=35, ev=0.5, kelvin=3800, softness=0.8)
    rim = Light(azimuth_deg=160, elevation_deg=30, ev=0.5, kelvin=7500, softness=0.3)
    store = LocalArtifacts(artifacts)
    ids = [(await store.put(content, media_type="image/jpeg")).id for content in pictures(PIXELS, count + 1)]
    studio = Studio(store)
    try:
        taken = []
        for picture in ids:
            began, cpu_began = time.perf_counter(), time.process_time()
            await studio.relight(picture, Lighting(key=key, rim=rim), Masking(mask_of=ids[0]))
            taken.append(Taken(time.perf_counter() - began, time.process_time() - cpu_began))
        return taken
    finally:
        studio.close()


@contextmanager
def one_core() -> Iterator[bool]:
    """Bind this process to one core in here; False where the system knows no such thing (macOS)."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, cores)
