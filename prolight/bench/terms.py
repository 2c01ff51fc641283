"""What the benchmarks share: how much is done, what is to be reached, how figures are summed up. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prolight.errors import ProLightError

Say = Callable[[str], None]
"""Takes a line of progress, for people."""
Figures = dict[str, Any]
"""JSON-able; the names carry the units."""


class BenchFailed(ProLightError):
    """What was to be measured did not happen as it should, so there is no figure."""

    code = "bench_failed"


@dataclass(frozen=True, slots=True)
class Effort:
    """`repeat` repetitions of `runs` runs (or commits, calls, trials: what the benchmark counts)."""

    repeat: int
    runs: int


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that `percent` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def rounded(value: float, digits: int = 4) -> float:
    """To significant digits: more of them would claim a precision that no machine repeats."""
    return float(f"{value:.{digits}g}")
